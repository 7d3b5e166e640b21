"""The ledger on both databases: strikes lead to steps once, nothing is lost or counted twice, and changes are told."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.account import IN_GOOD_STANDING, Step
from safeguards_extproc.enforcement.events import Kind
from safeguards_extproc.errors import NotAllowed
from safeguards_extproc.policy.account_document import Delay, Rung
from tests.enforcement.given import DAY, START, event, kinds, ledger, told


def test_strikes_lead_up_the_ladder(url):
    """Three warn, five throttle as well; who is throttled and restricted is both."""
    book, _ = ledger(url)

    entered = [kinds(book.strike(told(number))) for number in range(1, 9)]

    once = ["strike"]
    assert [once, once, ["strike", "warn"], once, ["strike", "throttle"], once, once, ["strike", "restrict"]] == entered
    stands = book.standing("a")
    assert (Step.RESTRICTED, 0.25, {"large"}, True) == (stands.step, stands.share, stands.models, stands.tools)
    assert [("a", stands)] == book.changed(0, 10)


def test_a_strike_is_told_once(url):
    """The same record and rule again is without effect; another rule's is a strike of its own."""
    book, _ = ledger(url)

    assert ["strike"] == kinds(book.strike(told(1)))
    assert [] == book.strike(told(1))
    assert ["strike"] == kinds(book.strikes([told(1), told(1, rule="malware"), told(1, rule="malware")]))
    assert 2 == len(book.history("a"))


def test_who_was_never_acted_on_is_not_told(url):
    """A strike that leads nowhere changes no standing, so no filter needs to hear of it."""
    book, _ = ledger(url)
    book.strike(told(1))

    assert ([], 0, IN_GOOD_STANDING) == (book.changed(0, 10), book.revision(), book.standing("a"))
    assert IN_GOOD_STANDING == book.standing("nobody-knows")


def test_changes_are_told_in_order_and_once(url):
    """Whoever has seen a revision hears of each identity that changed since, by its last change."""
    book, _ = ledger(url)
    for subject in ("a", "b", "c"):
        book.append(event(Kind.WARN, subject))
    (note,) = book.append(event(Kind.BAN, "a"))

    assert [("b", 2), ("c", 3), ("a", 4)] == [(name, each.revision) for name, each in book.changed(0, 10)]
    assert [("b", 2)] == [(name, each.revision) for name, each in book.changed(1, 1)]
    assert [] == book.changed(4, 10)
    assert 4 == book.revision() == note.id


def test_what_ends_or_begins_is_run(url):
    """A step ends and what is beneath it is in force again; one that was delayed begins. Each is told as a change."""
    book, clock = ledger(url)
    (warn,) = book.append(event(Kind.WARN))
    (throttle,) = book.append(event(Kind.THROTTLE, until=START + 60))
    (ban,) = book.append(event(Kind.BAN, due=START + 90))

    clock.now = START + 59
    assert [] == book.run_due(clock.now)
    clock.now = START + 60
    assert Step.WARNED == book.standing("a").step
    assert [throttle] == book.run_due(clock.now)
    assert (Step.WARNED, 3) == (book.changed(0, 1)[0][1].step, book.revision())
    clock.now = START + 100
    assert [ban] == book.run_due(clock.now)
    assert (Step.BANNED, 4) == (book.changed(0, 1)[0][1].step, book.revision())
    assert [] == book.run_due(clock.now)
    assert [warn, throttle, ban] == book.history("a")


def test_a_new_pseudonym_stands_where_the_former_does(url):
    """An identity under a rotated key keeps its standing, its strikes and its history; later changes reach both."""
    book, _ = ledger(url)
    book.strikes([told(1), told(2)])
    book.strike(told(3, "b"))

    book.alias("b", "a")
    book.alias("b", "a")
    book.alias("c", "b")
    fired = book.strike(told(4, "c"))

    assert ["strike", "warn"] == kinds(fired)
    assert [*["strike"] * 3, "note", "note", "strike", "warn"] == kinds(book.history("a"))
    assert book.history("a") == book.history("b") == book.history("c")
    assert {"a", "b", "c"} == {name for name, each in book.changed(0, 10) if each.step is Step.WARNED}
    assert ["a"] == [each.subject for each in book.subjects()]
    book.undo([1, 2], "maria", "wrong")
    assert {"a", "b", "c"} == {name for name, each in book.changed(3, 10) if each.step is Step.GOOD}
    assert 0 == book.rebuild()
    with pytest.raises(NotAllowed, match="already"):
        book.alias("b", "d")
    with pytest.raises(NotAllowed, match="already"):
        book.alias("a", "c")


def test_a_step_is_drawn_within_its_delay(url):
    """What is delayed is not in force before the time that was drawn, and lasts from then on."""
    ladder = [Rung(at=1, step="suspend", lasting=DAY, delay=Delay(at_least=60.0, at_most=600.0))]
    book, clock = ledger(url, ladder, draw=lambda least, most: (least + most) / 2)

    _, step = book.strike(told(1))

    assert (START + 330, START + 330 + DAY) == (step.due, step.until)
    assert Step.GOOD == book.standing("a").step
    clock.now = step.due
    assert Step.SUSPENDED == book.standing("a").step
