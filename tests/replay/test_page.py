"""The page for whoever decides: everything in it, nothing from elsewhere, nothing unescaped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from safeguards_extproc.replay import gate
from safeguards_extproc.replay.compare import Comparison
from safeguards_extproc.replay.identities import Stands
from safeguards_extproc.replay.page import page
from safeguards_extproc.replay.report import Report, report
from tests.replay.decided import policy
from tests.replay.test_report import ABOUT, HOLD, replayed


def example(folder: Path) -> Report:
    comparison, found = replayed(folder, policy(("attack: 0.7", "attack: 0.97")))
    moved = [Stands("key", "k<1>", "good", "warned")]
    return replace(
        found, gate=gate.judge(HOLD, comparison), identities=moved, moves=[("good", "warned", 1)], identities_changed=1
    )


def test_what_a_reader_needs(tmp_path: Path) -> None:
    """The verdict of the gate first, numbers, charts, ids of examples, how to find the same again."""
    found = example(tmp_path)
    shown = page(found, {})
    for text in (
        "The gate is not held",
        "newly allowed",
        "By rule",
        "must be blocked",
        "Latency",
        "Again:",
        ABOUT.command,
    ):
        assert text in shown
    assert shown.index("The gate") < shown.index("How many are refused") < shown.index("How this was found")
    for some in found.examples.values():
        assert all(each.id in shown for each in some)
    for chart in re.findall(r"<svg.*?</svg>", shown, re.DOTALL):
        ET.fromstring(chart)
    assert shown.count("<svg") >= 4


def test_nothing_is_fetched(tmp_path: Path) -> None:
    """No script, no link, no picture from elsewhere."""
    shown = page(example(tmp_path), {}).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"<script|src=|href=|url\(|@import|https?:", shown)


@pytest.mark.long
def test_what_comes_from_files_is_escaped(tmp_path: Path) -> None:
    """Names, pseudonyms and texts; a text only where it was given."""
    found = example(tmp_path)
    some = next(iter(found.examples.values()))
    shown = page(found, {some[0].id: "<b>bold</b>"})
    assert "&lt;b&gt;bold&lt;/b&gt;" in shown
    assert "k&lt;1&gt;" in shown
    assert "<b>" not in shown
    assert "<pre>" not in page(found, {}).split("Again:")[0]


def test_a_replay_of_nothing_has_a_page() -> None:
    """No charts, and no numbers that nobody took."""
    assert "0 exchanges" in page(report(ABOUT, Comparison(), policy(), None, 0.0), {})
