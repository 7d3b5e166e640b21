"""The accounts of a worker, joined in each of the three ways to run."""

import asyncio
import time
from dataclasses import replace

import pytest

from safeguards_extproc.adapters.health import Component, Health
from safeguards_extproc.adapters.policy_store import PolicyStore
from safeguards_extproc.adapters.redis_intake import RedisIntake
from safeguards_extproc.adapters.redis_standings import RedisBoard
from safeguards_extproc.app_accounts import join, patient_link, publish_since, redis_settings
from safeguards_extproc.core.account import Admission, Identity, Settlement, Standing, Step, Usage
from safeguards_extproc.enforcement.events import Event, Kind
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.load import load
from safeguards_extproc.settings import Settings
from safeguards_extproc.telemetry import Metrics
from tests import redis_server

POLICY = """
version: 1
name: house
identity: {end_user: [{header: x-user, trusted: true}]}
limits: [{name: requests, per: [end_user], rate: 2/1h, burst: 2}]
enforcement:
  strikes: [{outcomes: [block]}]
  ladder: [{at: 2, step: suspend}]
"""
CAMPAIGN = """
version: 1
name: house
identity: {end_user: [{header: x-user, trusted: true}]}
campaigns: {detect: [{name: flood, detect: refusals, threshold: 0.5, window: 1h}]}
"""
WHO = Identity({"end_user": "user1"})


class House:
    """What a worker has."""

    def __init__(self, folder, policy=POLICY, **settings):
        path = folder / "policy.yaml"
        path.write_text(policy)
        self.settings, self.metrics, self.health = Settings(policy=path, **settings), Metrics(), Health()
        self.policies = PolicyStore(path, load, self.metrics)
        self.joined = join(self.settings, self.policies, self.metrics, self.health)

    async def ask(self, id, outcome="allow"):
        """Ask as user1, and end with `outcome`."""
        asked = Admission(id, WHO, self.policies.current.charges(WHO, "", 0, 0, 0))
        answer = await self.joined.accounts.admit(asked)
        self.joined.accounts.settle(Settlement(asked, Usage(), outcome, category="spam", rule="no-spam"))
        return answer

    async def close(self):
        await self.joined.accounts.close()
        await self.joined.close()


async def soon(holds):
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 (a snapshot tells nobody)
            await asyncio.sleep(0.01)


async def test_by_itself_limits_count_and_nobody_is_suspended(tmp_path):
    """In this process alone; the third request of the hour is refused."""
    house = House(tmp_path)
    await house.joined.start()
    answers = [await house.ask(str(number), "block") for number in range(3)]
    house.joined.probe(house.health)
    await house.close()

    assert [answer.refused is not None for answer in answers] == [False, False, True]
    assert {answer.standing.step for answer in answers} == {Step.GOOD}
    assert house.health.components == {}


async def test_one_machine_keeps_its_ledger_itself(tmp_path):
    """Strikes lead to a suspension, which the next exchange meets; a restart forgets nothing."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    house = House(tmp_path, ledger=url)
    await house.joined.start()
    first = [await house.ask(str(number), "block") for number in range(2)]
    await soon(lambda: house.joined.snapshot.of(["user1"]).step is Step.SUSPENDED)
    refused = await house.ask("3")
    house.joined.probe(house.health)
    await house.close()
    again = House(tmp_path, ledger=url)
    await again.joined.start()
    still = await again.ask("4")
    await again.close()

    assert [answer.standing.step for answer in first] == [Step.GOOD, Step.GOOD]
    assert (refused.standing.step, refused.source, still.standing.step) == (Step.SUSPENDED, "none", Step.SUSPENDED)
    assert house.health.components == {"standings": Component.READY, "ledger": Component.READY}


async def test_a_campaign_is_seen_and_flags_who_is_in_it(tmp_path):
    """From settled exchanges to the standing that rules read."""
    house = House(tmp_path, CAMPAIGN, ledger=f"sqlite:///{tmp_path}/ledger.db")
    await house.joined.start()
    for number in range(40):
        await house.ask(str(number), "block")
    await soon(lambda: house.joined.snapshot.of(["user1"]).flags)
    flags = (await house.ask("last")).standing.flags
    await house.close()

    assert flags == {"flood"}


async def test_what_was_told_last_reaches_the_ledger(tmp_path):
    """A worker that ends leaves no strike behind."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    house = House(tmp_path, ledger=url)
    await house.joined.start()
    await house.ask("1", "block")
    await house.close()
    ledger = Ledger(url, (), time.time)
    events = ledger.history("user1")
    ledger.close()

    assert [event.kind for event in events] == [Kind.STRIKE]


async def test_with_redis_workers_share_limits_and_standings(tmp_path, monkeypatch):
    """What one counts the other knows; a step that is published is met by both; strikes wait for a keeper."""
    patient = lambda urls: replace(redis_settings(urls), deadline_s=5.0)  # noqa: E731 (a busy machine is no away Redis)
    monkeypatch.setattr("safeguards_extproc.app_accounts.redis_settings", patient)
    with redis_server.running(tmp_path / "redis") as server:
        houses = [House(tmp_path, redis=(server.url,)) for _ in range(2)]
        link = patient_link([server.url])
        board = RedisBoard(link)
        token = await board.begin()
        await board.finish(token)
        for house in houses:
            await house.joined.start()
        answers = [await houses[number % 2].ask(str(number), "block") for number in range(3)]
        await board.publish([("user1", Standing(Step.BANNED, revision=1))])
        for house in houses:
            await soon(lambda house=house: house.joined.snapshot.held)
            house.joined.probe(house.health)
        banned = [await house.ask("9") for house in houses]
        for house in houses:
            await house.close()
        strikes = await RedisIntake(link, "keeper").read()
        await link.close()

    assert [(answer.source, answer.refused is not None) for answer in answers] == [
        ("store", False),
        ("store", False),
        ("store", True),
    ]
    assert [answer.standing.step for answer in banned] == [Step.BANNED] * 2
    assert {strike.record for _, strike in strikes} >= {"0", "1"}
    assert houses[0].health.components == {"redis": Component.READY, "standings": Component.READY}


async def test_without_its_redis_a_worker_serves_degraded(tmp_path, monkeypatch):
    """At first it is not ready; then it serves by what it knows, which may be nothing."""
    house = House(tmp_path, redis=(f"unix://{tmp_path}/none.sock",))
    await house.joined.start()
    house.joined.probe(house.health)
    first = dict(house.health.components)
    answer = await house.ask("1")
    monkeypatch.setattr("safeguards_extproc.app_accounts.FIRST_S", 0.0)
    house.joined.probe(house.health)
    await house.close()

    assert (first["standings"], house.health.components["standings"]) == (Component.STARTING, Component.DEGRADED)
    assert (answer.source, answer.refused) == ("local", None)
    assert house.health.ready


async def test_limits_alone_need_no_keeper(tmp_path):
    """A policy without enforcement waits for nobody's news, and nobody is told that there are none."""
    house = House(tmp_path, POLICY.split("enforcement")[0], redis=(f"unix://{tmp_path}/none.sock",))
    await house.joined.start()
    house.joined.probe(house.health)
    await house.close()

    assert Component.READY == house.health.components["standings"]
    assert 0 == house.metrics.registry.get_sample_value("safeguards_degraded", {"what": "standings"})


async def test_what_the_command_line_did_is_published(tmp_path):
    """All that has changed since, and nothing else."""
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db", (), time.time)
    for number in range(3):
        ledger.append(Event(kind=Kind.WARN, subject=f"user{number}", reason="r", actor="m"))
    with redis_server.running(tmp_path / "redis") as server:
        count = await asyncio.to_thread(publish_since, [server.url], ledger, 1)
        stored = set(server.client().hkeys("safeguards:{standings}:state"))
    ledger.close()

    assert count == 2
    assert stored == {b"user1", b"user2", b"@sequence"}


def test_several_urls_are_a_cluster():
    """One is a server."""
    assert not redis_settings(["redis://a:1"]).cluster
    assert redis_settings(["redis://a:1", "redis://b:1"]).cluster
    with pytest.raises(ConfigError, match="no address of Redis"):
        patient_link(["http://a"])
