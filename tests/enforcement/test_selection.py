"""Who and what is meant by a filter."""

from __future__ import annotations

from safeguards_extproc.core.account import Step
from safeguards_extproc.enforcement.events import Kind
from safeguards_extproc.enforcement.selection import Entered, Filter, entered
from tests.enforcement.given import DAY, START, event, kinds, ledger, told


def test_bulk_looks_at_who_is_meant(url):
    """Identities by kind, step, rule and label."""
    book, _ = ledger(url)
    book.append(event(Kind.WARN, "a", subject_kind="key", rule="weapons"))
    book.append(event(Kind.LABEL, "b", subject_kind="end_user"))
    book.append(event(Kind.BAN, "c", subject_kind="end_user"))

    def names(**which):
        return [each.subject for each in book.subjects(Filter(**which))]

    assert ["a", "b", "c"] == names()
    assert ["b", "c"] == names(kind="end_user")
    assert ["a", "c"] == names(steps=frozenset({Step.WARNED, Step.BANNED}))
    assert (["a"], ["b"]) == (names(rule="weapons"), names(flag="watched"))
    assert ["a", "z"] == names(subjects=("z", "a", "z"))


def test_events_that_are_in_force_are_meant():
    """By kind, rule and time; the steps of the ladder only by their kind, and nothing that is taken back, or whose
    undo was taken back as well."""
    book, clock = ledger()
    book.strikes([told(number, rule="malware") for number in (1, 2, 3)])
    clock.now = START + DAY
    book.append(event(Kind.NOTE))
    book.strike(told(4))
    book.undo([1, 2], "maria", "wrong")
    book.undo([8], "maria", "right after all")

    def meant(**which):
        with book.reading() as connection:
            return [each.id for each in entered(connection, Entered(**which))]

    assert ["strike", "strike", "strike", "warn", "note", "strike", *["undo"] * 5] == kinds(book.history("a"))
    assert [1, 3, 6] == meant()
    assert [6] == meant(since=START + 1)
    assert [] == meant(until=START)
    assert [1, 3] == meant(rule="malware", until=START + 1)
    assert [4] == meant(kinds=frozenset({Kind.WARN}))
    assert [5] == meant(kinds=frozenset({Kind.NOTE}))
