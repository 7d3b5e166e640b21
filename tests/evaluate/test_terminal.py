"""What an evaluation says on a terminal."""

from __future__ import annotations

import dataclasses
import io
import re

from rich.console import Console

from safeguards_extproc.evaluate.measure import proportion
from safeguards_extproc.evaluate.terminal import robust, summary, tables
from tests.evaluate.test_run import reported


async def test_it_fits_on_a_screen() -> None:
    """Each label with the scores that answer for it, each source with what was done, and one line of all."""
    report = await reported()
    console = Console(width=180, file=io.StringIO(), record=True)
    for table in tables(report):
        console.print(table)
    text = console.export_text()
    assert re.search(r"attack +2 +2 +screen\.attack +1\.000 \(1\.00-1\.00\)", text)
    assert "screen.any" not in text
    assert "100.0 % (34.2-100.0)" in text
    assert "bomb" not in text
    assert summary(report).startswith("7 texts in ")
    assert summary(report).endswith(f"0 errors; policy small {report.policy_digest[:12]}, screen 1@words")


async def test_robustness_is_told_by_group() -> None:
    """Of each label the least that is kept, and where."""
    found = (await reported(each=2)).robustness
    assert found is not None
    console = Console(width=180, file=io.StringIO(), record=True)
    console.print(robust(found))
    text = console.export_text()
    assert re.search(r"attack +padding +1\.000 +1\.000 +\d+ characters", text)
    assert re.search(r"attack +evasion +[01]\.\d{3}", text)


async def test_the_share_that_escalates_is_told() -> None:
    """Where a model was not asked about everything."""
    report = await reported()
    some = dataclasses.replace(report.measured, asked={"screen": proportion(1, 8)})
    assert "screen 1@words (asked about 12.5 % of windows)" in summary(dataclasses.replace(report, measured=some))
