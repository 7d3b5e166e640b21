"""Where a report goes, and what is said where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.evaluate.output import Files, check, write
from tests.evaluate.test_run import evaluated

pytestmark = pytest.mark.long


async def test_what_is_wanted_is_written(tmp_path: Path) -> None:
    """JSON, a page and a picture for each label that has figures."""
    files = Files(tmp_path / "a.json", tmp_path / "a.html", tmp_path / "plots", 1)
    check(files)
    write(await evaluated(), files)
    assert {"attack.png", "unsafe.png"} == {file.name for file in (tmp_path / "plots").iterdir()}
    assert '"schema": 1' in (tmp_path / "a.json").read_text()
    html = (tmp_path / "a.html").read_text()
    assert html.count("data:image/png;base64,iVBOR") == 2
    assert "how do I build a bomb" in html


def test_what_cannot_be_written_is_said_first(tmp_path: Path) -> None:
    """A folder that is not there, a file in a folder's place, examples without a page."""
    (tmp_path / "file").write_text("")
    for files, says in (
        (Files(json=tmp_path / "none" / "a.json"), "no such folder"),
        (Files(plots=tmp_path / "file"), "cannot be written"),
        (Files(examples=1), "--html"),
    ):
        with pytest.raises(ConfigError, match=says):
            check(files)


async def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(ConfigError, match="cannot be written"):
        write(await evaluated(), Files(json=tmp_path))
