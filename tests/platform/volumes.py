"""A pod's volumes as folders of this machine, filled and renewed as the kubelet does it.

The one rule: what comes from a ConfigMap or a Secret changes all at once, by the exchange of one symbolic link.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Found = Callable[[str, str], Mapping[str, Any] | None]
"""An object of the cluster by kind and name; None if there is none."""

_count = itertools.count()


def contents(volume: Mapping[str, Any], found: Found) -> dict[str, tuple[bytes, int]] | None:
    """Files and their modes of a volume that is written by the kubelet; None if it is another kind.

    KeyError, with the object's name, where there is no such object: the pod waits for it.
    """
    match volume:
        case {"configMap": source}:
            return _files("ConfigMap", source["name"], source, found)
        case {"secret": source}:
            return _files("Secret", source["secretName"], source, found)
        case {"projected": {"sources": sources} as projected}:
            files: dict[str, tuple[bytes, int]] = {}
            for source in sources:
                [(kind, inner)] = source.items()
                row = {"defaultMode": projected.get("defaultMode", 0o644), **inner}
                files |= _files({"configMap": "ConfigMap", "secret": "Secret"}[kind], inner["name"], row, found)
            return files
        case _:
            return None


def _files(kind: str, name: str, source: Mapping[str, Any], found: Found) -> dict[str, tuple[bytes, int]]:
    held = found(kind, name)
    if held is None:
        if source.get("optional"):
            return {}
        raise KeyError(f"{kind} {name}")
    mode = source.get("defaultMode", 0o644)
    data = {key: text.encode() for key, text in (held.get("data") or {}).items()} if kind == "ConfigMap" else {}
    if kind == "Secret":
        data = {key: base64.b64decode(text) for key, text in (held.get("data") or {}).items()}
        data |= {key: text.encode() for key, text in (held.get("stringData") or {}).items()}
    items = source.get("items")
    if items is None:
        return {key: (text, mode) for key, text in data.items()}
    return {item["path"]: (data[item["key"]], item.get("mode", mode)) for item in items}


def write(folder: Path, files: Mapping[str, tuple[bytes, int]], group: int) -> None:
    """Put these files there instead of those before."""
    folder.mkdir(exist_ok=True)
    new = folder / f"..{next(_count)}"
    new.mkdir()
    new.chmod(0o755)
    for name, (data, mode) in files.items():
        path = new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
        own(path, -1, group)
    old = folder / "..data"
    before = old.resolve() if old.exists() else None
    link = folder / "..data.new"
    link.symlink_to(new.name)
    link.replace(old)
    for top in {name.partition("/")[0] for name in files}:
        if not (folder / top).is_symlink():
            (folder / top).symlink_to(f"..data/{top}")
    for path in folder.iterdir():
        if path.is_symlink() and not path.name.startswith("..") and not path.exists():
            path.unlink()
    if before is not None:
        shutil.rmtree(before)


def own(path: Path, user: int, group: int) -> None:
    """Give a file or folder to a pod; without the right to do so it is ours, and so is the pod."""
    with contextlib.suppress(OSError):
        os.chown(path, user, group)


def shared(folder: Path, name: str, group: int) -> Path:
    """A folder that pods of this group may write to: an emptyDir, or a claim."""
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o2777)
    own(path, -1, group)
    return path
