"""Action and undo together change nothing: random histories of random actions, on a ledger in memory."""

from __future__ import annotations

import os
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test

from safeguards_extproc.core.account import Step
from safeguards_extproc.enforcement import undo
from safeguards_extproc.enforcement.events import Event, Kind
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.tables import ACCOUNTS
from safeguards_extproc.errors import NotAllowed
from safeguards_extproc.policy.account_document import Delay, Rung
from tests.enforcement.given import DAY, event, kinds, ledger, told

RUNGS = [
    Rung(at=1, step="warn", lasting=2 * DAY),
    Rung(at=2, step="throttle", share=0.5),
    Rung(at=3, step="suspend", lasting=DAY, delay=Delay(at_least=60.0, at_most=3600.0)),
    Rung(at=4, step="ban"),
]


def projected(book: Ledger) -> dict[str, tuple[Any, ...]]:
    """The projection without its revisions: every row that is not as if the identity were unknown."""
    leave = ("revision", "at", "kind")
    query = sa.select(*[column for column in ACCOUNTS.c if column.name not in leave]).order_by(ACCOUNTS.c.subject)
    with book.reading() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    unknown = {row[0]: row for row in rows if "good" in row and '"effects":[]' in row[-1] and '"count":0' in row[-1]}
    return {row[0]: row for row in rows if row[0] not in unknown}


def taken(entered: list[Event]) -> list[int]:
    """The ids to undo, so that all that was entered is: what was done, not what followed from it."""
    return [each.id for each in entered if each.cause is None or each.kind in (Kind.OVERTURN, Kind.APPEAL)]


SUBJECTS = st.sampled_from(["a", "b", "c"])


class Actions(RuleBasedStateMachine):
    """Strikes, steps, appeals and undos of two identities, while time goes by. Each action is taken back at once and
    brought back again, or stays."""

    done: Bundle[list[int]] = Bundle("done")

    def __init__(self) -> None:
        super().__init__()
        self.book, self.clock = ledger(ladder=RUNGS, draw=lambda least, most: (least + 2 * most) / 3)
        self.records = 0

    def act(self, action, stays):
        """Do, undo, undo the undo, and undo that too if it is not to stay; each must be where it was before."""
        before = projected(self.book)
        try:
            entered = action()
        except NotAllowed:
            assert before == projected(self.book)
            return []
        after, back = projected(self.book), self.book.undo(taken(entered), "zoe", "check")
        assert before == projected(self.book)
        again = self.book.undo(taken(back), "zoe", "check")
        assert after == projected(self.book)
        if stays:
            return taken(entered)
        self.book.undo(taken(again), "zoe", "check")
        assert before == projected(self.book)
        return []

    @rule(
        target=done,
        subject=SUBJECTS,
        weight=st.sampled_from([0.5, 1.0, 2.0]),
        half_life=st.sampled_from([None, DAY]),
        late=st.sampled_from([0.0, 0.5 * DAY]),
        stays=st.booleans(),
    )
    def strike(self, subject, weight, half_life, late, stays):
        self.records += 1
        strike = told(self.records, subject, weight=weight, half_life=half_life, at=self.clock.now - late)
        return self.act(lambda: self.book.strike(strike), stays)

    @rule(
        target=done,
        subject=SUBJECTS,
        kind=st.sampled_from([kind for kind in Kind if kind not in ("undo", "overturn", "appeal")]),
        due=st.sampled_from([0.0, 600.0]),
        until=st.sampled_from([0.0, 0.5 * DAY]),
        stays=st.booleans(),
    )
    def enter(self, subject, kind, due, until, stays):
        due, until = due and self.clock.now + due, until and self.clock.now + until
        return self.act(lambda: self.book.append(event(kind, subject, due=due, until=until, weight=1.0)), stays)

    @rule(target=done, ids=done, stays=st.booleans())
    def undo(self, ids, stays):
        return self.act(lambda: self.book.undo(ids, "maria", "wrong"), stays) if ids else []

    @rule(target=done, id=st.integers(1, 40), stays=st.booleans())
    def undo_any(self, id, stays):
        return self.act(lambda: self.book.undo([id], "maria", "wrong"), stays)

    @rule(target=done, first=consumes(done), second=consumes(done), stays=st.booleans())
    def undo_several(self, first, second, stays):
        ids = [*first, *second]
        return self.act(lambda: self.book.undo(ids, "maria", "wrong"), stays) if ids else []

    @rule(target=done, id=st.integers(1, 40), stays=st.booleans())
    def overturn(self, id, stays):
        found = self.book.event(id)
        if found is None:
            return []
        try:
            (appeal,) = self.book.append(event(Kind.APPEAL, found.subject, actor="customer", cause=id))
        except NotAllowed:
            return []
        return self.act(lambda: self.book.overturn(appeal.id, "omar", "sorry"), stays)

    @rule(new=st.sampled_from(["b", "c"]))
    def alias(self, new):
        self.book.alias(new, "a")

    @rule(hours=st.sampled_from([1, 12, 24, 48]))
    def wait(self, hours):
        self.clock.now += hours * 3600
        self.book.run_due(self.clock.now)

    def teardown(self):
        """At the end the projection is what the events make of it, and the last revision was given to somebody."""
        revisions = [each.revision for _, each in self.book.changed(0, 10)]
        assert sorted(set(revisions)) == revisions
        assert self.book.revision() == max(revisions, default=0)
        assert 0 == self.book.rebuild()
        self.book.close()


@pytest.mark.long
def test_action_and_undo_change_nothing():
    """10,000 sequences by SAFEGUARDS_UNDO_SEQUENCES=10000; a few in every run."""
    sequences = int(os.environ.get("SAFEGUARDS_UNDO_SEQUENCES", "12"))
    run_state_machine_as_test(Actions, settings=settings(max_examples=sequences, stateful_step_count=12, deadline=None))


def test_a_rung_is_held_by_the_strikes_that_are_left():
    """The strike that fired it is undone, another bears the step: the next strike does not fire it again."""
    book, _ = ledger(ladder=RUNGS[:1])
    book.strike(told(1))
    book.strike(told(2))
    book.undo([1], "maria", "wrong")

    assert Step.WARNED == book.standing("a").step
    assert ["strike"] == kinds(book.strike(told(3)))
    book.undo([3, 5], "maria", "wrong")
    assert Step.GOOD == book.standing("a").step
    assert ["strike", "warn"] == kinds(book.strike(told(4)))


def test_it_bites(monkeypatch):
    """An undo that leaves the ladder's steps standing is found."""
    monkeypatch.setattr(undo, "settle", lambda *_: None)
    actions = Actions()

    with pytest.raises(AssertionError):
        actions.strike("a", 1.0, None, 0.0, True)


def test_a_step_goes_with_its_strikes():
    """Undoing any strike that a step rests on takes it back; bringing the strike back brings it back; one that other
    strikes reach as well stays."""
    book, _ = ledger()
    book.strikes([told(number) for number in (1, 2, 3)])

    assert ["undo", "undo"] == kinds(book.undo([1], "maria", "wrong"))
    assert Step.GOOD == book.standing("a").step
    assert ["undo", "undo"] == kinds(book.undo([5], "maria", "right after all"))
    assert Step.WARNED == book.standing("a").step
    book.strike(told(4))
    assert ["undo"] == kinds(book.undo([3], "maria", "wrong"))
    assert Step.WARNED == book.standing("a").step


def test_a_step_that_a_person_took_back_stays_away():
    """The ladder does not fire it again, nor does an undo of its strikes and back; the next rung fires."""
    book, _ = ledger()
    book.strikes([told(number) for number in (1, 2, 3)])
    book.undo([4], "maria", "a first mistake")

    back = book.undo([1], "maria", "wrong")
    book.undo([back[0].id], "maria", "right after all")
    assert Step.GOOD == book.standing("a").step
    assert ["strike"] == kinds(book.strike(told(4)))
    assert ["strike", "throttle"] == kinds(book.strike(told(5)))


def test_what_followed_is_not_undone_by_itself():
    """Whoever wants a step back that went with its strikes brings back the strikes."""
    book, _ = ledger()
    book.strikes([told(number) for number in (1, 2, 3)])
    _, followed = book.undo([1], "maria", "wrong")

    with pytest.raises(NotAllowed, match="follows from event 5: undo that one"):
        book.undo([followed.id], "maria", "no")
