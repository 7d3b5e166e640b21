"""A wheel is pure Python unless somebody asks for a compiled one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from tools.compiled import PACKAGE, ROOT
from tools.hatch_build import ASKED, Compiled


@pytest.fixture
def hook(tmp_path: Path) -> Compiled:
    config: Any = None
    metadata: ProjectMetadata[PluginManager] = ProjectMetadata(str(ROOT), PluginManager())
    return Compiled(str(ROOT), {}, config, metadata, str(tmp_path), "wheel")


def build_data() -> dict[str, Any]:
    return {"force_include": {}, "pure_python": True, "infer_tag": False}


@pytest.mark.parametrize(
    ("value", "version"), [(None, "standard"), ("0", "standard"), ("", "standard"), ("1", "editable")]
)
def test_nobody_needs_a_compiler(
    hook: Compiled, monkeypatch: pytest.MonkeyPatch, value: str | None, version: str
) -> None:
    """A plain `pip install`, and every editable one, has nothing to compile."""
    monkeypatch.delenv(ASKED, raising=False)
    if value is not None:
        monkeypatch.setenv(ASKED, value)
    data = build_data()
    hook.initialize(version, data)
    assert build_data() == data
    assert bool(hook.dependencies()) == (value == "1")


def test_a_compiled_wheel_holds_sources_and_native_code(hook: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is of this Python and this machine, and what was made for it goes."""

    def compile_one(argv: list[Any], *, check: bool) -> None:
        *_, program, what, folder = argv
        assert (True, "package") == (check and Path(program).is_file(), what)
        (folder / PACKAGE / "core" / "scan.so").touch()

    monkeypatch.setenv(ASKED, "1")
    monkeypatch.setattr("tools.hatch_build.subprocess.run", compile_one)
    data = build_data()
    hook.initialize("standard", data)
    assert [f"{PACKAGE}/core/scan.so"] == list(data["force_include"].values())
    assert (False, True) == (data["pure_python"], data["infer_tag"])
    made = [Path(path) for path in data["force_include"]]
    assert all(path.exists() for path in made)
    hook.finalize("standard", data, "")
    assert not any(path.exists() for path in made)
