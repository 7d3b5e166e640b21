"""Cases: one for each campaign, with a flag and one strike for each who is in it, and nothing in shadow."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from safeguards_extproc.core.account import Step
from safeguards_extproc.enforcement.cases import Cases
from safeguards_extproc.enforcement.events import Kind
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.sightings import Member, Sighting
from safeguards_extproc.policy.account_document import Rung

pytestmark = pytest.mark.long

NOW = 1_800_000_000.0
LADDER = [Rung(at=2.0, step="throttle")]


class World:
    """A ledger with its cases, and a clock."""

    def __init__(self, url: str) -> None:
        self.now = NOW
        self.ledger = Ledger(url, LADDER, lambda: self.now)
        self.cases = Cases(self.ledger)

    def strikes(self, pseudonym: str) -> int:
        """How many the ledger has of somebody."""
        return sum(event.kind is Kind.STRIKE for event in self.ledger.history(pseudonym))


@pytest.fixture
def world(url: str) -> Iterator[World]:
    """An empty one, on each database."""
    world = World(url)
    yield world
    world.ledger.close()


def seen(*people: str, key: str = "0-1", at: float = NOW, **other: object) -> Sighting:
    """A template that these people share."""
    one = Sighting(
        campaign="template",
        detect="template",
        keys=(f"template:{key}",),
        at=at,
        members=tuple(Member("end_user", person, f"r-{person}") for person in people),
        records=("r9",),
        identities=len(people),
        asks=50,
        refusals=20,
        hold_s=86_400.0,
        strike=2.0,
        enforced=True,
    )
    return msgspec.structs.replace(one, **other)


def test_a_case_is_opened_once(world: World) -> None:
    """Told again it goes on; another bucket with people in common is the same case, one of strangers is another."""
    (id,) = world.cases.take([seen("ann", "bob")])
    assert [] == world.cases.take([seen("ann", "bob", at=NOW + 60, asks=70), seen("bob", "cy", key="1-7", at=NOW + 90)])
    assert 1 == len(world.cases.take([seen("dora", key="5-5")]))
    case = world.cases.show(id)
    assert case is not None
    assert ("0-1", "1-7") == case.buckets
    assert ["ann", "bob", "cy"] == [member.pseudonym for member in case.members]
    assert ("r-ann", "r-bob", "r-cy", "r9") == case.records
    assert (NOW, NOW + 90, 70, 20) == (case.opened, case.last, case.asks, case.refusals)
    assert id == world.cases.list()[0].id
    assert 2 == len(world.cases.list())
    assert [] == world.cases.list(since=NOW + 91)


def test_everybody_in_it_has_a_flag_and_one_strike(world: World) -> None:
    """However often it is told; the ladder follows from the strike, and the flag ends by itself."""
    for _ in range(3):
        world.cases.take([seen("ann", "bob")])
    for person in ("ann", "bob"):
        assert 1 == world.strikes(person)
        standing = world.ledger.standing(person)
        assert frozenset({"template"}) == standing.flags
        assert Step.THROTTLED is standing.step
    world.now += 86_401
    assert frozenset() == world.ledger.standing("ann").flags


def test_a_flag_is_renewed(world: World) -> None:
    """While the campaign goes on it does not end, and costs one event in half of its time."""
    for hour in range(40):
        world.now = NOW + 3600 * hour
        world.cases.take([seen("ann", at=world.now)])
    assert frozenset({"template"}) == world.ledger.standing("ann").flags
    assert 4 >= sum(event.kind is Kind.LABEL for event in world.ledger.history("ann"))
    assert 1 == world.strikes("ann")


def test_shadow(world: World) -> None:
    """A case, and nothing else."""
    (id,) = world.cases.take([seen("ann", enforced=False)])
    assert world.cases.show(id) is not None
    assert [] == world.ledger.history("ann")
    assert 1 == len(world.cases.take([seen("ann")]))


def test_what_it_did_can_be_undone(world: World) -> None:
    """Somebody was in it by mistake."""
    world.cases.take([seen("ann")])
    world.ledger.undo([event.id for event in world.ledger.history("ann") if event.cause is None], "maria", "a mistake")
    standing = world.ledger.standing("ann")
    assert (Step.GOOD, frozenset()) == (standing.step, standing.flags)


def test_a_campaign_that_ended_is_another_when_it_comes_again(world: World) -> None:
    """After the time that its flags stay."""
    world.cases.take([seen("ann")])
    world.now += 90_000
    again = seen("ann", at=world.now, members=(Member("end_user", "ann", "another record"),))
    assert 1 == len(world.cases.take([again]))
    assert 2 == world.strikes("ann")


def test_all_or_nothing(world: World) -> None:
    """A planted fault: the second of two cannot be entered, so the first is not there either."""
    broken = seen("bob", key="9-9", hold_s=float("inf"))
    with pytest.raises(Exception, match="times"):
        world.cases.take([seen("ann"), broken])
    assert [] == world.cases.list()
    assert [] == world.ledger.history("ann")


def test_nothing_of_that_id(world: World) -> None:
    """Somebody mistypes."""
    assert world.cases.show("none") is None
