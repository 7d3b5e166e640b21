"""The hot path can be compiled, what is compiled does the same, and a checkout never runs it without being told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from safeguards_extproc.core import COMPILED
from tools import compiled
from tools.compiled import MODULES, PACKAGE, ROOT, sources

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def run(*argv: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *argv], cwd=cwd, capture_output=True, text=True, check=False)


def test_every_module_of_the_list_exists_once() -> None:
    """A module that was renamed does not silently stay interpreted."""
    listed = sources(MODULES)
    assert [] == [path for path in listed if not (ROOT / path).is_file()]
    assert len(set(listed)) == len(listed)


@pytest.mark.skipif(COMPILED, reason="a copy that is compiled, made by `make compiled`")
def test_nothing_in_a_checkout_is_compiled() -> None:
    """Python would take it before the source that somebody edits. `make clean` would not find it, so remove it."""
    assert [] == [*(ROOT / PACKAGE).rglob("*.so"), *ROOT.glob(f"{PACKAGE}__mypyc*")]


def test_a_checkout_is_not_compiled_in_place() -> None:
    """Not by mistake either."""
    done = run("tools/compiled.py", "package", ".")
    assert done.returncode == 2
    assert "edits would be ignored" in done.stderr


def test_an_edit_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy is kept while the package's sources are what it was made of; tests beside it are always those of now."""
    root, copy, made = tmp_path / "checkout", tmp_path / "copy", []
    for name in (f"{PACKAGE}/core/scan.py", "tests/test_scan.py", "build/old"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("1")
    monkeypatch.setattr(compiled, "ROOT", root)
    monkeypatch.setattr(compiled, "__file__", str(root / PACKAGE / "core" / "scan.py"))
    monkeypatch.setattr(compiled, "package", lambda folder, files: made.append(folder))
    compiled.checkout(copy)
    (root / "tests" / "test_scan.py").write_text("2")
    compiled.checkout(copy)
    assert ([copy], "2") == (made, (copy / "tests" / "test_scan.py").read_text())
    (root / PACKAGE / "core" / "scan.py").write_text("2")
    compiled.checkout(copy)
    assert ([copy, copy], "2") == (made, (copy / PACKAGE / "core" / "scan.py").read_text())
    assert not (copy / "build").exists()


@pytest.mark.real
@pytest.mark.timeout(400)
@pytest.mark.skipif(not COMPILER, reason="no C compiler: apt-get install gcc libc6-dev")
def test_what_is_compiled_passes_the_same_tests(tmp_path: Path) -> None:
    """HTTP/2's frames and gRPC's status, as native code: the smallest part of the list that stands alone."""
    shutil.copytree(ROOT / PACKAGE / "rpc", tmp_path / PACKAGE / "rpc", ignore=shutil.ignore_patterns("*.so"))
    shutil.copytree(ROOT / "tests" / "rpc", tmp_path / "tests" / "rpc")
    (tmp_path / PACKAGE / "__init__.py").touch()
    some = sources({"rpc": "frames status"})
    program = (
        f"from pathlib import Path; from tools.compiled import package; package(Path({str(tmp_path)!r}), {some}, '0')"
    )
    made = run("-c", program)
    assert made.returncode == 0, made.stderr[-2000:]
    asked = "from safeguards_extproc.rpc import frames, status; print(frames.__file__, status.__file__)"
    files = run("-c", asked, cwd=tmp_path).stdout.split()
    assert [".so", ".so"] == [Path(file).suffix for file in files if Path(file).is_relative_to(tmp_path)]
    options = ["-q", "-p", "no:cacheprovider", "--override-ini", "addopts=", "--rootdir", "."]
    done = run("-m", "pytest", *options, "tests/rpc/test_frames.py", "tests/rpc/test_status.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
