"""Compile the hot path: mypyc makes native modules of the same sources, in a copy and never in a checkout.

`python -m tools.compiled checkout FOLDER` copies this checkout to FOLDER and compiles the package there, so that tests
and benchmarks can run on it; what is compiled already from the same sources stays. `python tools/compiled.py package
FOLDER` compiles the copy of the package in FOLDER, which is how `hatch_build.py` makes a wheel. Python takes a native
module before its source: in a checkout, an edit would change nothing, and nobody would notice.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "safeguards_extproc"

MODULES = {
    "core": "actions admission aside cascade context effects events exchange intake known lifecycle listing marks "
    "masking media outbox paragraphs placeholders pour question recipes redact request response restore scan sentences "
    "text weight windows",
    "rpc": "call connection frames status",
    "wire": "alike anthropic_read anthropic_stream asked azure_read edits leaves openai_api openai_chat openai_media "
    "openai_message openai_read openai_stream places shapes sse strict_json vllm_read",
    "detectors": "expression hiding scanner sieve views",
    "policy": "closure compile decide",
    "adapters": "asking dues extproc server shared stream",
    "records": "encode write",
    "replay": "through_core",
}
"""What an exchange spends its time in. Left out is what others look into as plain Python: `core/decision.py` is pickled
to the reader's process; msgspec reads what `core/account.py`, `core/record.py` and `core/taken.py` hold by annotations.
"""

STAMP = ".compiled"
NOT_COPIED = """
.git .venv .peers .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis __pycache__ build dist reports var
*.egg-info *.so
"""


def sources(modules: dict[str, str]) -> list[str]:
    """Their paths within a checkout, in order."""
    return [f"{PACKAGE}/{folder}/{name}.py" for folder, names in modules.items() for name in names.split()]


def package(folder: Path, files: Sequence[str], optimise: str = "1") -> None:
    """Compile these files of the package in `folder`, beside their sources. It takes mypyc and a C compiler.

    Raises SystemExit if one of them cannot be compiled. Only the standard library's types are known: what is compiled
    does not depend on what else is installed.
    """
    from mypyc.build import mypycify
    from setuptools import setup

    os.chdir(folder)
    options = ["--config-file=", "--no-site-packages", "--ignore-missing-imports"]
    extensions = mypycify([*options, *files], opt_level=optimise, debug_level="0", group_name=PACKAGE, multi_file=True)
    setup(name=PACKAGE, packages=[], ext_modules=extensions, script_args=["--quiet", "build_ext", "--inplace"])
    shutil.rmtree("build")


def digest() -> str:
    """Of all that a compiled package is made of."""
    found = hashlib.sha256(sys.version.encode())
    for path in [Path(__file__), *sorted((ROOT / PACKAGE).rglob("*.py"))]:
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def checkout(folder: Path) -> None:
    """A copy of this checkout whose package is compiled."""
    folder.mkdir(parents=True, exist_ok=True)
    made_of, stamp = digest(), folder / STAMP
    kept = {STAMP, PACKAGE} if stamp.exists() and stamp.read_text() == made_of else set()
    kept |= {path.name for path in folder.glob(f"{PACKAGE}__mypyc.*")} if kept else set()
    for path in folder.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in ROOT.iterdir():
        if path.name not in kept | ignored(str(ROOT), [path.name]):
            _copy(path, folder / path.name)
    if not kept:
        package(folder, sources(MODULES))
        stamp.write_text(made_of)


ignored = shutil.ignore_patterns(*NOT_COPIED.split())


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=ignored)
    else:
        shutil.copy2(source, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["checkout", "package"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    folder = options.folder.resolve()
    if options.what == "checkout":
        checkout(folder)
    elif (folder / "pyproject.toml").exists():
        parser.error(f"{options.folder} is a checkout, in which nothing is compiled: edits would be ignored")
    else:
        package(folder, sources(MODULES))


if __name__ == "__main__":
    main()
