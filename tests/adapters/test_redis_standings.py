"""Standings in Redis: what a keeper writes every filter knows, and nobody is forgiven because a server forgot."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from safeguards_extproc.adapters import redis_standings
from safeguards_extproc.adapters.redis_intake import RedisIntake, RedisStrikes
from safeguards_extproc.adapters.redis_link import RedisLink, RedisSettings
from safeguards_extproc.adapters.redis_standings import KEYS, RedisBoard, RedisStandings
from safeguards_extproc.core.account import Standing, Step
from safeguards_extproc.enforcement.events import Event, Kind, Strike
from safeguards_extproc.enforcement.keeper import Keeper
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.snapshot import Snapshot, good
from safeguards_extproc.errors import NotAllowed, StoreError
from safeguards_extproc.policy.account_document import Rung
from tests import redis_server


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory(prefix="redis-") as folder, redis_server.running(Path(folder)) as started:
        yield started


class House:
    """A board and a filter's snapshot on one server."""

    board_of = RedisBoard

    def __init__(self, server):
        self.link = RedisLink(RedisSettings(server.url, deadline_s=2.0))
        self.board, self.snapshot = self.board_of(self.link), Snapshot()
        self.standings = RedisStandings(self.link, self.snapshot)

    def another(self):
        snapshot = Snapshot()
        return snapshot, RedisStandings(self.link, snapshot)

    async def build(self, changes=()):
        token = await self.board.begin(anew=True)
        await self.board.publish(changes, token)
        assert await self.board.finish(token)


@pytest.fixture
async def house(server):
    server.client().flushall()
    house = House(server)
    yield house
    await house.standings.close()
    await house.link.close()


def suspended(revision, **more):
    return Standing(Step.SUSPENDED, revision=revision, **more)


async def test_what_is_published_is_known(house):
    """All of it at first, then what has changed; who is in good standing again is forgotten."""
    await house.build([(f"u{number}", suspended(number)) for number in range(1, 2501)])
    await house.standings.pull()
    many = len(house.snapshot.held)
    await house.board.publish([("u7", Standing(revision=2501)), ("new", suspended(2502, models=frozenset("*")))])
    await house.standings.pull()

    assert many == 2500
    assert house.snapshot.of(["u7"]).step is Step.GOOD
    assert house.snapshot.of(["new"]) == suspended(2502, models=frozenset("*"))
    assert len(house.snapshot.held) == 2500


async def test_of_two_standings_the_newer_stays_whoever_comes_last(house):
    """Two keepers and a person at the command line may publish at once."""
    await house.build()
    await house.board.publish([("a", suspended(9))])
    await house.board.publish([("a", Standing(Step.WARNED, revision=8)), ("b", suspended(3))])
    await house.board.publish([("a", suspended(9))])
    await house.standings.pull()

    assert house.snapshot.held == {"a": suspended(9), "b": suspended(3)}


async def test_a_late_publisher_is_not_passed_over(house):
    """A change with an older revision that comes after a newer one of another identity reaches a filter all the same:
    filters follow the order in which Redis took the changes."""
    await house.build()
    await house.board.publish([("b", suspended(105))])
    await house.standings.pull()
    await house.board.publish([("a", suspended(104))])
    await house.standings.pull()

    assert set(house.snapshot.held) == {"a", "b"}


async def test_a_nudge_is_heard(house, monkeypatch):
    """A filter knows long before its next look; a nudge that was missed costs that look and no more."""
    monkeypatch.setattr(redis_standings, "PULL_EVERY_S", 30.0)
    await house.build()
    await house.standings.start()
    client = house.link.client
    async with asyncio.timeout(10):
        while dict(await client.pubsub_numsub(redis_standings.CHANNEL)).popitem()[1] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await house.board.publish([("a", suspended(1))])
        while not house.snapshot.held:  # noqa: ASYNC110 (a snapshot tells nobody)
            await asyncio.sleep(0.001)

    assert house.snapshot.of(["a"]).step is Step.SUSPENDED


async def test_a_server_that_forgot_forgives_nobody(house, server):
    """Restarted empty, half evicted, or being built: what is known stays; once it is whole it is read anew."""
    await house.build([("a", suspended(1)), ("b", suspended(2))])
    await house.standings.pull()
    for lost in ([KEYS[0]], [KEYS[1]], [KEYS[2]], KEYS):
        server.client().delete(*lost)
        await house.standings.pull()
        assert (await house.board.built(), set(house.snapshot.held)) == (False, {"a", "b"})
        await house.build([("a", suspended(1)), ("b", suspended(2))])
    token = await house.board.begin(anew=True)
    await house.board.publish([("b", suspended(2))], token)
    await house.standings.pull()
    during = set(house.snapshot.held)
    await house.board.finish(token)
    await house.standings.pull()

    assert during == {"a", "b"}
    assert set(house.snapshot.held) == {"b"}


async def test_a_build_that_was_lost_on_the_way_is_no_copy(house, server):
    """A flush in the middle of a build must not leave half of it looking whole."""
    token = await house.board.begin()
    await house.board.publish([("a", suspended(1))], token)
    server.client().flushall()
    with pytest.raises(StoreError):
        await house.board.publish([("b", suspended(2))], token)

    assert not await house.board.finish(token)
    assert not await house.board.built()


async def test_one_keeper_builds_at_a_time(house):
    """The second waits; the first may begin again, if its last try failed."""
    other = RedisBoard(house.link)
    first = await house.board.begin()
    refused = await other.begin()
    again = await house.board.begin()

    assert first
    assert refused == ""
    assert await house.board.finish(again)
    assert await other.begin() == ""


async def test_who_came_late_reads_everything_anew(house, monkeypatch):
    """Of those in good standing again only the last are remembered."""
    monkeypatch.setattr(redis_standings, "MOST_GONE", 3)
    await house.build([(f"u{number}", suspended(number)) for number in range(1, 9)])
    await house.standings.pull()
    for number in range(1, 7):
        await house.board.publish([(f"u{number}", Standing(revision=10 + number))])
    await house.standings.pull()

    assert set(house.snapshot.held) == {"u7", "u8"}
    assert await house.link.client.hlen(KEYS[0]) == 2 + 3 + 3
    assert await house.link.client.zcard(KEYS[2]) == 1 + 3


async def test_a_standing_that_cannot_be_read_changes_nothing(house):
    """Written by a newer version: what this one knows stays."""
    await house.build([("a", suspended(1)), ("b", suspended(2))])
    await house.standings.pull()
    client = house.link.client
    await client.hset(KEYS[0], "a", '3 {"step":"exiled"}')
    await client.zadd(KEYS[1], {"a": 99})
    await house.board.publish([("c", suspended(4))])
    await client.zadd(KEYS[1], {"c": 100})
    await house.standings.pull()

    assert set(house.snapshot.held) == {"a", "b", "c"}


async def test_without_redis_what_is_known_stays(house, server):
    """And it is said how old it is."""
    await house.build([("a", suspended(1))])
    before = house.standings.age_s
    await house.standings.pull()
    await house.link.close()
    with pytest.raises(StoreError):
        await house.standings.pull()

    assert before == float("inf")
    assert house.standings.age_s < 10
    assert house.snapshot.of(["a"]).step is Step.SUSPENDED


LADDER = [Rung(at=2.0, step="throttle", share=0.5), Rung(at=3.0, step="suspend", lasting=3600.0)]
SUBJECTS = st.sampled_from(["u1", "u2", "u3"])


@pytest.mark.long
async def test_a_cluster_keeps_all_of_it_in_one_place(tmp_path):
    """Every script touches one slot; nudges come through whichever node is heard, and strikes go the same way."""
    options = ("--cluster-enabled", "yes")
    with redis_server.running(tmp_path, *options, port=redis_server.free_port(), ask=False) as server:
        server.ready()
        server.client().execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        redis_server.until("the cluster", lambda: server.client().cluster("info")["cluster_state"] == "ok")
        link = RedisLink(RedisSettings(server.url, cluster=True, deadline_s=5.0))
        board, snapshot = RedisBoard(link), Snapshot()
        standings = RedisStandings(link, snapshot, [server.url])
        await board.finish(await board.begin())
        await standings.start()
        await redis_server.soon(lambda: server.client().pubsub_numsub(redis_standings.CHANNEL)[0][1] == 1)
        await board.publish([("a", suspended(1))])
        await redis_server.soon(lambda: set(snapshot.held) == {"a"})
        intake, strike = RedisIntake(link, "one"), Strike(subject="a", record="r1")
        await RedisStrikes(link, Quiet()).put([strike])
        found = await intake.read()
        left = await intake.done([entry for entry, _ in found])
        await standings.close()
        await link.close()

    assert [each for _, each in found] == [strike]
    assert left == 0


class Undoing(RuleBasedStateMachine):
    """A ledger, a keeper and a filter, over a real Redis. Every action can be taken back, and then nobody, neither the
    ledger nor Redis nor the filter, can tell that it was ever taken."""

    server = None

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory(prefix="undo-")
        self.server.client().flushall()
        self.now = 1000.0
        self.ledger = Ledger(f"sqlite:///{self.folder.name}/ledger.db", LADDER, lambda: self.now)
        self.loop.run_until_complete(self.begin())
        self.strikes = 0
        self.saw = Counter()

    async def begin(self):
        self.house = House(self.server)
        self.house.snapshot._clock = lambda: self.now
        self.keeper = Keeper(self.ledger, None, self.house.board, Quiet(), clock=lambda: self.now)
        await self.keeper.publish()

    async def settle(self):
        await self.keeper.publish()
        await self.house.standings.pull()

    def picture(self):
        """What everybody knows, without revisions, which only ever grow."""
        self.loop.run_until_complete(self.settle())
        names = ["u1", "u2", "u3"]
        known = {name: strip(self.house.snapshot.of([name])) for name in names}
        fresh, reading = self.house.another()
        fresh._clock = lambda: self.now
        self.loop.run_until_complete(reading.pull())
        stored = {name: strip(fresh.of([name])) for name in names}
        ledger = {name: strip(self.ledger.standing(name)) for name in names}
        assert known == stored == ledger
        return known

    def taken_back(self, act):
        before = self.picture()
        entered = act()
        self.picture()
        mine = [event.id for event in entered if event.cause is None]
        try:
            self.ledger.undo(mine, "maria", "taken back")
        except NotAllowed:
            assert not mine
        assert self.picture() == before

    def strike(self, subject):
        self.strikes += 1
        return self.ledger.strike(Strike(subject=subject, record=f"r{self.strikes}", policy="house"))

    def step(self, subject, kind, lasting):
        data = {Kind.THROTTLE: {"share": 0.2}, Kind.RESTRICT: {"models": ["*"]}, Kind.LABEL: {"flag": "farm"}}
        until = self.now + lasting if lasting else 0.0
        return self.ledger.append(
            Event(kind=kind, subject=subject, reason="r", actor="m", until=until, data=data.get(kind, {}))
        )

    KINDS = st.sampled_from([Kind.WARN, Kind.THROTTLE, Kind.RESTRICT, Kind.SUSPEND, Kind.BAN, Kind.LABEL])
    LASTING = st.sampled_from([0.0, 60.0, 3600.0])

    @rule(subject=SUBJECTS)
    def strike_stays(self, subject):
        self.strike(subject)

    @rule(subject=SUBJECTS, kind=KINDS, lasting=LASTING)
    def step_stays(self, subject, kind, lasting):
        self.step(subject, kind, lasting)

    @rule(subject=SUBJECTS)
    def strike_and_back(self, subject):
        self.taken_back(lambda: self.strike(subject))

    @rule(subject=SUBJECTS, kind=KINDS, lasting=LASTING)
    def step_and_back(self, subject, kind, lasting):
        self.taken_back(lambda: self.step(subject, kind, lasting))

    @rule(subject=SUBJECTS)
    def reinstated_and_back(self, subject):
        event = Event(kind=Kind.REINSTATE, subject=subject, reason="r", actor="m")
        self.taken_back(lambda: self.ledger.append(event))

    @rule(seconds=st.sampled_from([30.0, 100.0]))
    def time_goes_by(self, seconds):
        self.now += seconds
        self.ledger.run_due(self.now)

    @rule()
    def redis_forgets(self):
        self.server.client().flushall()

    @invariant()
    def all_know_the_same(self):
        self.picture()

    def teardown(self):
        self.loop.run_until_complete(self.house.link.close())
        self.loop.close()
        self.ledger.close()
        self.folder.cleanup()


class Quiet:
    def standings_published(self, count): ...

    def standings_built(self, identities, seconds): ...


def strip(standing):
    return Standing() if good(standing) else replace_revision(standing)


def replace_revision(standing):
    return Standing(
        standing.step,
        standing.rule,
        standing.reason,
        standing.until,
        standing.share,
        standing.models,
        standing.tools,
        standing.flags,
    )


class Unforgiving(RedisBoard):
    """A board that never says that somebody is in good standing again."""

    async def publish(self, changes, token=""):
        await super().publish([each for each in changes if not good(each[1])], token)


@pytest.mark.long
def test_action_and_undo_change_nothing(server):
    """On the ledger, on Redis, in a filter that was there all along and in one that came just now."""
    Undoing.server = server
    case = Undoing.TestCase
    case.settings = settings(
        max_examples=10, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()


def test_the_law_bites(server, monkeypatch):
    """A board that forgives nobody is found out."""
    monkeypatch.setattr(House, "board_of", Unforgiving)
    Undoing.server = server
    machine = Undoing()
    with pytest.raises(AssertionError):
        machine.step_and_back("u1", Kind.BAN, 0.0)
    machine.teardown()
