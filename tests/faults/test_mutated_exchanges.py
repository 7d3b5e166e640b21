"""Ten thousand broken exchanges over the real wire formats and a real policy: none crashes, none lets a word slip."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from safeguards_extproc.core import intake as intake_module
from safeguards_extproc.core import marks as marks_module
from safeguards_extproc.core import scan as scan_module
from safeguards_extproc.core.decision import ALLOWED, Facts, Span, Verdict
from safeguards_extproc.core.exchange import Exchange
from safeguards_extproc.core.windows import Window
from safeguards_extproc.policy.compile import CompiledPolicy
from tests.faults.witness import STRICT, play

ROUNDS, EACH = 20, 500


@pytest.mark.long
@pytest.mark.parametrize("number", range(ROUNDS))
def test_ten_thousand_broken_exchanges(number: int) -> None:
    """Whatever is cut, doubled, swapped, late, slow or wrong: only IllegalEvent is raised, every word that left had
    been scanned, the forbidden ones never leave, one record is kept, and where all was said and answered, an end."""
    ends: Counter[str] = Counter()
    spoilt = judged = 0
    for seed in range(number * EACH, (number + 1) * EACH):
        witness = play(seed)
        ends[witness.record.termination] += 1
        spoilt += bool(witness.told.spoilt)
        judged += bool(witness.texts)
    assert EACH == ends.total()
    assert ROUNDS * EACH == 10_000
    # The campaign is of use only as long as it reaches every end, and reads what leaves.
    assert ends.keys() >= {"complete", "refused", "stopped", "closed", "shutdown", "error"}
    assert min(spoilt, judged, EACH - spoilt) > EACH // 5


def caught(fault: contextlib.AbstractContextManager[object], most: int = 12_000) -> bool:
    """Whether any of so many exchanges shows the fault."""
    with fault:
        for seed in range(most):
            try:
                play(seed)
            except AssertionError:
                return True
    return False


def eager() -> contextlib.AbstractContextManager[object]:
    """A window is cleared when it is cut."""
    submit = scan_module.Scan._submit

    def clearing(scan: scan_module.Scan, windows: list[Window]) -> None:
        submit(scan, windows)
        for window in windows:
            scan._windows.clear(window)

    return patch.object(scan_module.Scan, "_submit", clearing)


def lenient() -> contextlib.AbstractContextManager[object]:
    """What cannot be read passes."""
    return patch.object(scan_module.Scan, "uninspectable", lambda scan, reason: ALLOWED)


def forgetful() -> contextlib.AbstractContextManager[object]:
    """Only the marks of the last window count."""

    def take(marks: marks_module.Marks, window: Window, spans: list[Span]) -> None:
        offset = window.start - window.lead
        known = marks._of(window.channel)
        known.spans = [Span(one.start + offset, one.end + offset, one.entity) for one in spans]

    return patch.object(marks_module.Marks, "take", take)


def impatient() -> contextlib.AbstractContextManager[object]:
    """Frames that could not be read go with their neighbours."""
    frame = intake_module.Intake._frame

    def framed(intake: intake_module.Intake, raw: bytes) -> None:
        frame(intake, raw)
        for each in intake.frames:
            if isinstance(each, intake_module.Frame):
                each.unread = None

    return patch.object(intake_module.Intake, "_frame", framed)


def deaf() -> contextlib.AbstractContextManager[object]:
    """A model's failure is taken for a score of nothing."""
    decide = CompiledPolicy.decide

    def deciding(policy: CompiledPolicy, facts: Facts) -> Verdict:
        facts.failed.clear()
        return decide(policy, facts)

    return patch.object(CompiledPolicy, "decide", deciding)


def recordless() -> contextlib.AbstractContextManager[object]:
    """An exchange that is cut off leaves nothing."""
    return patch.object(Exchange, "_abort", lambda self, cause: None)


def endless() -> contextlib.AbstractContextManager[object]:
    """Where nothing is enforced the scan stops at its first verdict."""
    settle = scan_module.Scan.settle

    def settling(scan: scan_module.Scan, *, enforcing: bool = True) -> Iterator[Window]:
        return settle(scan)

    return patch.object(scan_module.Scan, "settle", settling)


@pytest.mark.long
@pytest.mark.parametrize("fault", [eager, lenient, forgetful, impatient, deaf, recordless, endless])
@pytest.mark.interpreted
def test_the_campaign_catches(fault: object) -> None:
    """Planted faults: each breaks the product in one place, and the campaign says so."""
    assert callable(fault)
    assert caught(fault())


def test_the_policies_are_real() -> None:
    """Compiled from YAML, with detectors in process, a model, and windows small enough to matter."""
    assert isinstance(STRICT, CompiledPolicy)
    assert {"lists", "pii"} == set(STRICT.local)
