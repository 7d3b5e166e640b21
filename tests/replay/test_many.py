"""Many exchanges: in order, in one process or several, with models or with what they said then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.core.taken import Message, Taken
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import capture
from safeguards_extproc.replay.many import Plan, Row, deserved, in_processes, with_models
from safeguards_extproc.replay.source import Frame
from safeguards_extproc.replay.through_core import Asked
from safeguards_extproc.replay.verdict import MUST_ALLOW, MUST_BLOCK, UNKNOWN
from tests.replay.worlds import SAMPLES, decided, file, model


def frames(*found: Taken) -> list[Frame]:
    return [Frame(number, number, number, capture.encode(taken), None, "test") for number, taken in enumerate(found)]


ALL = [decided(name) for name in SAMPLES]


class Judge:
    """A scorer that thinks as `worlds.model` does."""

    asked = 0

    async def start(self) -> None: ...

    async def score(self, model_: Model, texts: Sequence[str], prompt: str = "") -> Result:
        self.asked += 1
        return model(Asked(texts, model_, prompt))

    async def ready(self, model: Model) -> bool:
        return True

    async def close(self) -> None: ...


def still(rows: list[Row]) -> list[tuple[int, object]]:
    return [(row.number, row.pair) for row in rows]


@pytest.mark.long
def test_the_same_policy_changes_nothing(tmp_path: Path) -> None:
    """In several processes as in one, and in the order of the capture."""
    plan = Plan(file(tmp_path))
    alone = list(in_processes(frames(*ALL), plan, 1))
    assert [(number, True) for number in range(len(ALL))] == [
        (row.number, row.pair is not None and row.pair.before.same(row.pair.after)) for row in alone
    ]
    assert still(alone) == still(list(in_processes(frames(*ALL), plan, 2)))


@pytest.mark.long
def test_models_are_asked_beside_each_other(tmp_path: Path) -> None:
    """About what the capture does not say, or about everything."""
    plan, judge = Plan(file(tmp_path)), Judge()
    assert still(list(in_processes(frames(*ALL), plan, 1))) == still(list(with_models(frames(*ALL), plan, judge)))
    assert 0 == judge.asked
    bare = [SAMPLES[name]() for name in SAMPLES] * 20
    rows = list(with_models(frames(*bare), plan, judge))
    assert judge.asked
    assert [row.pair.after.said for row in rows if row.pair] == [
        row.pair.after.said for row in in_processes(frames(*ALL), plan, 1) if row.pair
    ] * 20
    judge.asked = 0
    list(with_models(frames(*ALL), replace(plan, recorded=False), judge))
    assert judge.asked


def test_two_policies_are_compared(tmp_path: Path) -> None:
    """Both decide now, whatever was decided then."""
    plan = Plan(file(tmp_path, 0.05), against=file(tmp_path, 0.95))
    (row,) = in_processes(frames(decided("harmless")), plan, 1)
    assert row.pair is not None
    assert (False, True, "bad") == (row.pair.before.refused, row.pair.after.refused, row.pair.after.rule)


def test_an_exchange_that_nobody_decided_had_passed(tmp_path: Path) -> None:
    """A sample, or what a proxy without a filter captured."""
    (row,) = with_models(frames(SAMPLES["bad question"]()), Plan(file(tmp_path)), Judge())
    assert row.pair is not None
    assert ("allow", "block") == (row.pair.before.outcome, row.pair.after.outcome)


def test_an_answer_that_nobody_asked_for_is_unknown(tmp_path: Path) -> None:
    """The upstream never saw the request that the other policy lets go."""
    before = decided("bad question")
    before.messages = [message for message in before.messages if message.place >= 0]
    (row,) = in_processes(frames(before), Plan(file(tmp_path, 0.95)), 1)
    assert row.pair is not None
    assert UNKNOWN == row.pair.after.response.applied


def test_what_was_replayed_can_be_kept(tmp_path: Path) -> None:
    """With its record and scores: the next replay needs no models."""
    plan = Plan(file(tmp_path), keep=True)
    rows = list(with_models(frames(*(SAMPLES[name]() for name in SAMPLES)), plan, Judge()))
    kept = [capture.decode(row.plain) for row in rows]
    again = list(in_processes(frames(*kept), Plan(file(tmp_path)), 1))
    assert all(row.pair and row.pair.before.same(row.pair.after) and not row.unknown for row in again)


def test_what_cannot_be_read_is_a_row_of_its_own(tmp_path: Path) -> None:
    """And what was changed ends the replay: nobody knows what else is not as it was."""
    broken = Taken("broken", messages=[Message(0, 0, True, b"\xff")])
    rows = list(in_processes(frames(ALL[0], broken), Plan(file(tmp_path)), 1))
    assert [True, False] == [row.pair is not None for row in rows]
    sealed = capture.Sealed(bytes(32))
    with pytest.raises(ConfigError, match="exchange 0 is not as it was written"):
        list(in_processes([Frame(0, 0, 0, bytes(40), sealed, "x")], Plan(file(tmp_path)), 1))


def test_labels() -> None:
    """What somebody has said of a direction says what the exchange deserves."""
    for expected, wanted in (
        ({"request": "allow", "response": "stop"}, MUST_BLOCK),
        ({"request": "suspend"}, MUST_BLOCK),
        ({"request": "allow"}, MUST_ALLOW),
        ({"response": "redact"}, MUST_ALLOW),
        ({}, ""),
    ):
        assert wanted == deserved(Taken("one", expected=expected))
