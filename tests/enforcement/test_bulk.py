"""Acting on many: what was previewed, to no more than one person may, and undone as a whole."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from safeguards_extproc.core.account import Step
from safeguards_extproc.enforcement import bulk
from safeguards_extproc.enforcement.bulk import Act, Undo
from safeguards_extproc.enforcement.events import Kind
from safeguards_extproc.enforcement.selection import Entered, Filter
from safeguards_extproc.enforcement.tables import BULKS
from safeguards_extproc.errors import NotAllowed
from tests.enforcement.given import event, ledger, told

SUSPEND = Act(Filter(steps=frozenset({Step.WARNED})), Kind.SUSPEND, "one farm", rule="farm")


def warned(url: str, count: int = 5):
    """A ledger with so many who are warned, and one who is banned."""
    book, _ = ledger(url)
    for number in range(count):
        book.append(event(Kind.WARN, f"u{number}", subject_kind="end_user"))
    book.append(event(Kind.BAN, "z"))
    return book


def steps(book):
    """Where each stands."""
    return {each.subject: each.standing.step for each in book.subjects()}


@pytest.mark.long
def test_what_was_previewed_is_done_and_undone(url):
    """All of it at once, with one id; undone by it, and that undo too."""
    book = warned(url)
    before, seen = steps(book), bulk.preview(book, SUSPEND)

    assert (5, {Step.WARNED: 5}) == (seen.count, seen.by_step)
    assert seen == bulk.preview(book, SUSPEND)
    done = bulk.apply(book, SUSPEND, seen.digest, "maria")
    assert list(seen.subjects) == [each.subject for each in done.events]
    assert {"u0": Step.SUSPENDED, "z": Step.BANNED}.items() <= steps(book).items()

    undone = bulk.undo(book, done.id, "omar", "not a farm")
    assert (5, before) == (len(undone.events), steps(book))
    bulk.undo(book, undone.id, "omar", "a farm")
    assert Step.SUSPENDED == steps(book)["u4"]
    with pytest.raises(NotAllowed, match="nothing of bulk action"):
        bulk.undo(book, undone.id, "omar", "again")
    assert 0 == book.rebuild()


def test_something_changed_since(url):
    """One more, one less or one who stands elsewhere: nothing is done, and the preview is asked for again."""
    book = warned(url)
    seen = bulk.preview(book, SUSPEND)
    book.append(event(Kind.LABEL, "u1"))

    with pytest.raises(NotAllowed, match="5 identities now; preview it again"):
        bulk.apply(book, SUSPEND, seen.digest, "maria")
    other = Act(SUSPEND.which, Kind.BAN, SUSPEND.reason)
    with pytest.raises(NotAllowed, match="not what was previewed"):
        bulk.apply(book, other, bulk.preview(book, SUSPEND).digest, "maria")
    assert Step.WARNED == steps(book)["u0"]


def test_above_the_cap_two_people(url):
    """One person may not, nor the same person twice; two may, and neither decides the appeal."""
    book = warned(url)
    digest = bulk.preview(book, SUSPEND).digest

    with pytest.raises(NotAllowed, match="5 identities are more than 4: a second person must approve"):
        bulk.apply(book, SUSPEND, digest, "maria", cap=4)
    with pytest.raises(NotAllowed, match="another than the first"):
        bulk.apply(book, SUSPEND, digest, "maria", cap=4, approver="maria")
    done = bulk.apply(book, SUSPEND, digest, "maria", cap=4, approver="omar")

    with book.reading() as connection:
        rows = connection.execute(sa.select(BULKS.c["id", "actor", "approver", "count", "cap"])).all()
    assert [(done.id, "maria", "omar", 5, 4)] == [tuple(row) for row in rows]
    (appeal,) = book.append(event(Kind.APPEAL, "u0", actor="customer", cause=done.events[0].id))
    for involved in ("maria", "omar"):
        with pytest.raises(NotAllowed, match="had no part"):
            book.overturn(appeal.id, involved, "sorry")
    assert 1 == len(book.overturn(appeal.id, "ada", "sorry"))


def test_a_rule_that_was_wrong(url):
    """All strikes by a rule are taken back at once, and the steps to which they led; others stay."""
    book, _ = ledger(url)
    book.strikes([told(number, subject) for subject in ("a", "b") for number in range(5)])
    book.strikes([told(number, "b", rule="malware") for number in range(3)])
    what = Undo(Entered(rule="weapons", kinds=frozenset({Kind.STRIKE})), "the rule was wrong")

    seen = bulk.preview(book, what)
    assert (("a", "b"), 10) == (seen.subjects, len(seen.events))
    done = bulk.apply(book, what, seen.digest, "maria")
    assert {"a": Step.GOOD, "b": Step.WARNED} == steps(book)
    bulk.undo(book, done.id, "maria", "it was right")
    assert {"a": Step.THROTTLED, "b": Step.RESTRICTED} == steps(book)
    assert 0 == book.rebuild()


def test_nobody_is_meant():
    """An action on nobody is one, and does nothing."""
    book, _ = ledger()
    nobody = Act(Filter(kind="tenant"), Kind.WARN, "none")

    assert [] == bulk.apply(book, nobody, bulk.preview(book, nobody).digest, "maria").events
