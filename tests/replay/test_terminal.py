"""The report in a few lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safeguards_extproc.replay import gate
from safeguards_extproc.replay.terminal import headline, lines
from tests.replay.decided import policy
from tests.replay.test_report import ABOUT, HOLD, replayed


def test_what_a_person_reads_first(tmp_path: Path) -> None:
    """A sentence, shares with intervals, what changed by rule, what did not hold, and how to do it again."""
    comparison, found = replayed(tmp_path, policy(("attack: 0.7", "attack: 0.97")))
    found = replace(found, gate=gate.judge(HOLD, comparison), undecided={"why": 3})
    shown = list(lines(found))
    assert headline(found) == shown[0]
    assert f"{found.total.newly_allowed} newly allowed" in shown[0]
    assert shown[0].endswith("3 could not be decided.")
    assert any(line.startswith("  refused ") and "to" in line for line in shown)
    assert any(line.startswith("  rule ") and "attack" in line for line in shown)
    assert any(line.startswith("  NOT HELD ") for line in shown)
    assert any(line.startswith("  recall ") for line in shown)
    assert f"  again: {ABOUT.command}" == shown[-1]
