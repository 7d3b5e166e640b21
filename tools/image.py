"""What the Dockerfile builds, without an engine: its build stage's own lines, run in a folder. `make sbom` does so.

Only paths are changed (/opt/venv and the working directory lie in the folder), and three things are not the image's:
the Python is the one that runs this, what apt installs must be on the machine, and the hot path is not compiled. The
last stage adds a user, labels and an entry point to the same folder; `tests/test_image.py` reads those.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
VENV = "/opt/venv"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage's instructions in order, each with its arguments on one line."""

    name: str
    lines: tuple[tuple[str, str], ...]


def stages(dockerfile: str) -> list[Stage]:
    """The stages of a Dockerfile; what stands before the first is left out."""
    text = "\n".join(line for line in dockerfile.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    found: list[Stage] = []
    for line in joined.splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append(Stage(rest.partition(" AS ")[2], ()))
        elif word and found:
            found[-1] = Stage(found[-1].name, (*found[-1].lines, (word, rest)))
    return found


def context(root: Path) -> list[Path]:
    """The files that .dockerignore lets through, as paths within `root`."""
    rules = (root / ".dockerignore").read_text().split()
    kept = [rule.strip("!/") for rule in rules if rule.startswith("!")]
    dropped = [rule.removeprefix("**").rstrip("/") for rule in rules if rule.startswith("**")]
    files = [path for name in kept for path in ([*(root / name).rglob("*")] or [root / name]) if path.is_file()]
    inner = [path.relative_to(root) for path in sorted(files)]
    return [
        path for path in inner if not any(fnmatch.fnmatch(f"/{part}", rule) for rule in dropped for part in path.parts)
    ]


def build(folder: Path, *, extras: str = "", root: Path = ROOT) -> Path:
    """Run the build stage in a folder; what the last stage copies of it. Raises CalledProcessError."""
    source, venv = folder / "src", folder / VENV.lstrip("/")
    source.mkdir(parents=True)
    venv.parent.mkdir(parents=True)
    allowed = context(root)
    env = os.environ | {
        "EXTRAS": extras,
        "COMPILED": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    [stage] = [stage for stage in stages((root / "Dockerfile").read_text()) if stage.name == "build"]
    for word, rest in stage.lines:
        if word == "COPY":
            for name in rest.split()[:-1]:
                for inner in (path for path in allowed if path.is_relative_to(name)):
                    (source / inner).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(root / inner, source / inner)
        elif word == "RUN" and not rest.startswith("apt-get"):
            subprocess.run(["sh", "-ec", rest.replace(VENV, str(venv))], cwd=source, env=env, check=True)
    return venv


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def bill(venv: Path, file: Path) -> None:
    """Write the bill of materials of a virtual environment, as CycloneDX has it. Raises CalledProcessError."""
    argv = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--output-format", "JSON"]
    argv += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-file", str(file), str(venv / "bin" / "python")]
    subprocess.run(argv, check=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Build into a folder, say how large it is, and write its bill of materials if asked."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.image", description="Build what the image holds, in a folder."
    )
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--extras", default="", help="as the image's: [records]")
    parser.add_argument("--sbom", type=Path, help="write the bill of materials there")
    args = parser.parse_args(argv)
    venv = build(args.folder, extras=args.extras)
    sys.stdout.write(f"{venv}: {size(venv) / 1e6:.0f} MB\n")
    if args.sbom:
        bill(venv, args.sbom)
        sys.stdout.write(f"{args.sbom}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
