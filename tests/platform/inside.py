"""What a container runtime does before a container's program begins. Run as root in the pod's network namespace:

    nsenter --net=… unshare --mount --uts python inside.py SPEC.json

The root is this machine's own below an overlay, so what the program writes is written nowhere else; volumes are bound
to their paths; then user, groups and capabilities are those of the security context, and the program takes our place.
Only the standard library, so that it can begin anywhere.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
LAST_CAPABILITY = 40


def mount(*args: str | Path) -> None:
    done = subprocess.run(["mount", *map(str, args)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"mount {' '.join(map(str, args))}: {done.stderr.strip()}")


def build(spec: dict[str, Any]) -> Path:
    """The container's root."""
    folder = Path(spec["folder"])
    mount("-t", "tmpfs", "none", folder)
    upper, work, root = (folder / name for name in ("upper", "work", "root"))
    for path in (upper, work, root):
        path.mkdir()
    mount("-t", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", "none", root)
    for name, options in (("proc", ("--rbind", "/proc")), ("dev", ("--rbind", "/dev"))):
        mount(*options, root / name)
    mount("-t", "tmpfs", "-o", "mode=1777", "none", root / "dev/shm")
    mount("-t", "tmpfs", "-o", "mode=1777", "none", root / "tmp")
    for name, text in spec["files"].items():
        (root / name).unlink(missing_ok=True)
        (root / name).write_text(text)
    for volume in sorted(spec["volumes"], key=lambda row: str(row["at"])):
        bind(root, volume)
    for kept in spec["kept"]:  # the programs themselves, which an image would hold
        place = under(root, kept)
        place.mkdir(parents=True, exist_ok=True)
        mount("--bind", kept, place)
        for parent in Path(kept).parents:
            if not parent.stat().st_mode & 0o001:
                under(root, parent).chmod(0o755)
    if spec["read_only"]:
        mount("-o", "remount,ro", root)
    return root


def under(root: Path, path: str | Path) -> Path:
    return root / str(path).lstrip("/")


def bind(root: Path, volume: dict[str, Any]) -> None:
    """One volume at its path. With `size` it is a disk of its own, of so many bytes."""
    source, place = Path(volume["source"]), under(root, volume["at"])
    if source.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    else:
        place.mkdir(parents=True, exist_ok=True)
    mount("--bind", source, place)
    if volume["read_only"]:
        mount("-o", "remount,bind,ro", place)


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    libc = ctypes.CDLL(None, use_errno=True)
    root = build(spec)
    socket.sethostname(spec["hostname"])
    os.chroot(root)
    os.chdir(spec["directory"])
    for capability in range(LAST_CAPABILITY + 1) if spec["no_capabilities"] else ():
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups(spec["groups"])
    os.setresgid(spec["group"], spec["group"], spec["group"])
    os.setresuid(spec["user"], spec["user"], spec["user"])
    if spec["no_new_privileges"]:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # who asked for it, before, lost it with the change of user
    os.umask(0o022)
    os.execvpe(spec["argv"][0], spec["argv"], spec["env"])


if __name__ == "__main__":
    main()
