"""The page: whole, well-formed, and without a word that was not asked for."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import pytest

from safeguards_extproc.evaluate.examples import Example, examples
from safeguards_extproc.evaluate.page import page
from safeguards_extproc.evaluate.report import Report
from tests.evaluate.test_run import evaluated, reported

pytestmark = pytest.mark.long

NASTY = "<script>alert('x')</script>\"&"


class Balanced(HTMLParser):
    """Fails where an element is not closed in its turn; keeps names of elements and what is loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.loaded: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


def named_nastily(report: Report) -> Report:
    """The report, had policy, labels, groups and rules such names."""
    measured = report.measured
    labels = [dataclasses.replace(label, label=NASTY) for label in measured.labels]
    groups = {NASTY: {NASTY: measured.policy}}
    nasty = dataclasses.replace(measured, labels=labels, groups=groups, rules={NASTY: 1}, errors={NASTY: 1})
    files = [dataclasses.replace(file, name=NASTY) for file in report.files]
    return dataclasses.replace(report, policy=NASTY, files=files, models={NASTY: NASTY}, measured=nasty)


async def test_it_is_whole_and_needs_nothing_else() -> None:
    """Every table and plot in one file; nothing is fetched."""
    report = await reported(each=2)
    seen = Balanced(page(report, {"attack": b"PNG"}, {}))
    assert ["data:image/png;base64,UE5H"] == seen.loaded
    text = page(report, {}, {})
    for told in ("screen.attack", "Robustness", "20000 characters around", "rows.jsonl", report.policy_digest):
        assert told in text


async def test_no_text_of_a_person_is_in_it() -> None:
    """Unless it was asked for; then it is escaped."""
    report = await reported(each=2)
    assert "bomb" not in page(report, {}, {})
    done = await evaluated()
    shown = examples(done.samples, done.scored, report.measured.labels, 1)
    assert "how do I build a bomb" in page(report, {}, shown)


async def test_what_comes_from_files_is_escaped() -> None:
    """Names and examples alike."""
    report = named_nastily(await reported())
    seen = Balanced(page(report, {NASTY: b"PNG"}, {NASTY: [Example(NASTY, NASTY, NASTY, 0.5, NASTY)]}))
    assert "script" not in seen.names


async def test_that_the_check_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: nothing is escaped."""
    monkeypatch.setattr("safeguards_extproc.evaluate.page.escape", str)
    with pytest.raises(AssertionError):
        await test_what_comes_from_files_is_escaped()
