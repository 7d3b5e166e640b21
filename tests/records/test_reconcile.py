"""Each kind of gap is found when it is old enough, named once, and nothing else is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.record import Record
from safeguards_extproc.records.access_log import Line
from safeguards_extproc.records.reconcile import NAMED, Counters, Gap, Kind, Reconciliation
from tests.records.sealing import record

GRACE = 30.0


@dataclass(slots=True)
class Elsewhere:
    """Records in a store."""

    there: list[Record] = field(default_factory=list)

    def ids(self, ids: Sequence[str]) -> set[str]:
        return {each.id for each in self.there} & set(ids)

    def numbers(self, producer: str, epoch: str, first: int, last: int) -> set[int]:
        return {each.sequence for each in self.there if first <= each.sequence <= last and each.producer == producer}


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


@pytest.fixture
def told(elsewhere: Elsewhere) -> Reconciliation:
    return Reconciliation(GRACE, elsewhere)


def line(number: int, *, id: bool = True) -> Line:
    """What Envoy logs of the exchange of a record."""
    exchange = record(number)
    return Line(exchange.id if id else "", exchange.time, "200" if id else "503")


def kinds(gaps: Sequence[Gap]) -> dict[str, int]:
    return {gap.kind.value: gap.count for gap in gaps}


@given(st.permutations([("line", n) for n in range(1, 7)] + [("record", n) for n in range(1, 7)]))
def test_whatever_comes_first_a_pair_is_no_gap(order: Sequence[tuple[str, int]]) -> None:
    """Log and spool are read one after the other, and each lags as it likes."""
    told = Reconciliation(GRACE, Elsewhere())
    for at, (what, number) in enumerate(order):
        if what == "line":
            told.logged(line(number), at)
        else:
            told.recorded(record(number), at)
        assert [] == told.due(at)
    assert [] == told.due(1000)
    assert (6, 6, 0) == (told.totals.lines, told.totals.records, told.totals.gaps)


def test_a_logged_exchange_without_a_record_is_missing(told: Reconciliation) -> None:
    """Once it is old enough, and once."""
    told.logged(line(1), 0)
    assert [] == told.due(GRACE - 1)
    (gap,) = told.due(GRACE)
    time = record(1).time
    assert Gap(Kind.MISSING, "status 200", 1, [record(1).id], time, time) == gap
    assert [] == told.due(1000)
    told.recorded(record(1), 1001)
    assert [] == told.due(2000)


def test_a_record_that_was_sealed_meanwhile_is_not_missing(told: Reconciliation, elsewhere: Elsewhere) -> None:
    """It is looked for before anything is named; nor are the numbers before the next one."""
    told.recorded(record(1), 0, before=True)
    elsewhere.there = [record(2), record(3)]
    told.logged(line(2), 0)
    told.recorded(record(4), 0, before=True)
    assert [] == told.due(GRACE)


def test_a_request_without_an_id_was_not_seen(told: Reconciliation) -> None:
    """At once; many of one cause are one gap with both ends of their time."""
    for number in range(1, 4):
        told.logged(line(number, id=False), 0)
    assert [Gap(Kind.UNSEEN, "status 503", 3, [], record(1).time, record(3).time)] == told.due(0)
    assert [] == told.due(1000)


def test_a_record_that_envoy_did_not_log_is_named(told: Reconciliation) -> None:
    """Unless there is no log, or it is from before."""
    told.recorded(record(1), 0, before=True)
    told.recorded(record(2), 0)
    assert {"unlogged": 1} == kinds(told.due(GRACE))
    told.logged(line(2), 1000)
    assert [] == told.due(2000)
    without = Reconciliation(GRACE, Elsewhere(), logs=False)
    without.recorded(record(1), 0)
    assert [] == without.due(GRACE)


def test_two_records_of_one_exchange_are_named(told: Reconciliation) -> None:
    """Under another number, or of another producer; the same record from two places is one."""
    told.logged(line(1), 0)
    told.recorded(record(1), 0)
    told.recorded(record(1), 0)
    assert [] == told.due(0)
    told.recorded(dataclasses.replace(record(1), sequence=2), 0)
    told.recorded(dataclasses.replace(record(1), producer="other"), 0)
    assert {"doubled": 2} == kinds(told.due(0))


@given(st.sets(st.integers(1, 40)), st.randoms(use_true_random=False))
def test_numbers_that_do_not_come_are_lost(kept: set[int], shuffle) -> None:
    """As many as are missing between the first that was told and the highest, late ones not counted."""
    told = Reconciliation(GRACE, Elsewhere(), logs=False)
    order = sorted(kept)
    told_first = order[:1]
    rest = order[1:]
    shuffle.shuffle(rest)
    for number in told_first + rest:
        told.recorded(record(number), 0)
    lost = max(kept) - min(kept) + 1 - len(kept) if kept else 0
    assert [] == told.due(GRACE - 1)
    assert lost == sum(gap.count for gap in told.due(GRACE))
    assert [] == told.due(1000)


def test_a_long_outage_costs_no_memory(told: Reconciliation) -> None:
    """A run of numbers is one gap, whatever its length."""
    told.recorded(record(1), 0, before=True)
    told.recorded(record(10**12), 0, before=True)
    (gap,) = told.due(GRACE)
    assert (Kind.LOST, 10**12 - 2) == (gap.kind, gap.count)


def counted(told: Reconciliation, completed: int, at: float, active: int = 0, **notes: int) -> dict[str, int]:
    told.counted(Counters(completed, active, notes))
    return kinds(told.due(at))


def test_requests_that_only_envoy_counted_are_named(elsewhere: Elsewhere) -> None:
    """When the difference has lasted: its log is some seconds late. With what else Envoy counted since."""
    told = Reconciliation(GRACE, elsewhere, logs=False)
    told.counted(Counters(100, 0, {"streams_failed": 7}))
    for number in (1, 2, 3):
        told.recorded(record(number), 1)
    assert {} == counted(told, 103, 1)
    assert {} == counted(told, 105, 10)
    assert {} == counted(told, 105, 39)
    told.counted(Counters(105, 0, {"streams_failed": 9}))
    (gap,) = told.due(40)
    assert (Kind.UNCOUNTED, 2, "Envoy's counters: streams_failed 2") == (gap.kind, gap.count, gap.why)
    assert {} == counted(told, 105, 100)


def test_what_the_log_tells_of_is_not_counted_again(told: Reconciliation) -> None:
    """A line that comes late, with or without an id, closes the difference."""
    told.counted(Counters(0, 0))
    assert {} == counted(told, 2, 1)
    told.logged(line(1), 10)
    told.logged(line(2, id=False), 10)
    assert {"unseen": 1} == counted(told, 2, 10)
    assert {"missing": 1} == counted(told, 2, 100)
    assert {} == counted(told, 2, 200)


def test_requests_that_were_active_at_the_beginning_are_no_difference(told: Reconciliation) -> None:
    """Their records may be from before."""
    told.counted(Counters(0, 2))
    assert {} == counted(told, 2, 1)
    assert {} == counted(told, 2, 50)
    assert {"uncounted": 1} == counted(told, 3, 51) | counted(told, 3, 100)


def test_an_envoy_that_starts_anew_counts_from_its_beginning(told: Reconciliation) -> None:
    """Lower counters are those of another life."""
    told.counted(Counters(1000, 0))
    assert {} == counted(told, 1, 1)
    assert {} == counted(told, 1, 100)
    assert {} == counted(told, 4, 101)
    assert {"uncounted": 3} == counted(told, 4, 150)


def test_a_gap_names_some_ids_and_counts_the_rest(told: Reconciliation) -> None:
    """A thousand missing records are one line."""
    for number in range(1, 1001):
        told.logged(line(number), 0)
    (gap,) = told.due(GRACE)
    assert (1000, NAMED) == (gap.count, len(gap.ids))
