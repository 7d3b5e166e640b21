"""How a live object becomes another: merge patches, strategic ones by kubectl itself, and server-side apply."""

from __future__ import annotations

import copy
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Path_ = tuple[str, ...]


def merge(live: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    found = dict(live) if isinstance(live, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge(found.get(key), value)
    return found


def strategic(kubectl: Path, live: Json, patch: Json) -> Json:
    """A strategic merge patch, whose rules for lists are in Kubernetes' types: kubectl knows them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "live.json"
        file.write_text(json.dumps(live))
        command = [str(kubectl), "patch", "--local", "-f", str(file), "--type=strategic", "-p", json.dumps(patch)]
        done = subprocess.run(
            [*command, "-o", "json"], capture_output=True, text=True, timeout=30, env={"HOME": folder, "PATH": ""}
        )
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return dict(json.loads(done.stdout))


def applied(live: Json, before: Json, wanted: Json) -> Json:
    """Server-side apply by one owner: what it wants, without what it wanted before and wants no longer, and with what
    others put there. Lists are replaced whole."""
    found: Json = {}
    for key in [*live, *(key for key in wanted if key not in live)]:
        old, mine, new = live.get(key), before.get(key), wanted.get(key)
        if isinstance(old, dict) and (isinstance(new, dict) or isinstance(mine, dict)):
            inner = applied(old, mine if isinstance(mine, dict) else {}, new if isinstance(new, dict) else {})
            if inner or key in wanted:
                found[key] = inner
        elif key in wanted:
            found[key] = copy.deepcopy(new)
        elif key not in before:
            found[key] = copy.deepcopy(old)
    return found


def conflicts(wanted: Json, owners: Mapping[str, Json], owner: str) -> Iterator[str]:
    """Fields that `owner` wants to be other than another owner made them, and whose they are."""
    mine = dict(_leaves(wanted))
    for other, theirs in owners.items():
        for path, value in _leaves(theirs):
            if other != owner and path in mine and mine[path] != value:
                yield f'conflict with "{other}": .{".".join(path)}'


def _leaves(value: Json, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    for key, each in value.items():
        if isinstance(each, dict) and each:
            yield from _leaves(each, (*path, key))
        else:
            yield (*path, key), each
