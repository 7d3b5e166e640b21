"""A whole house: four workers, a keeper, a ledger, Redis, and the command line; people come, go and fail."""

import asyncio
import signal

import pytest

from bench import accounts
from safeguards_extproc.core.account import Step
from safeguards_extproc.enforcement.ledger import Ledger
from tests import redis_server

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    redis_server.needed()
    with accounts.running(tmp_path_factory.mktemp("house"), 4) as running:
        yield running


@pytest.mark.timeout(300)
@pytest.mark.parametrize("tell", [True, False], ids=["told", "kept"])
def test_a_suspension_reaches_the_last_worker(stage, tell):
    """Told by the command line, or by the keeper that finds it in the ledger; under load, nobody else is refused."""
    took = asyncio.run(accounts.suspensions(stage, 3, tell=tell, load_per_s=8, offset=0 if tell else 10))

    assert len(took) == 3


async def refused_everywhere(stage, user):
    async with accounts.channels(stage) as opened:
        return [await accounts.refused(channel, user) for channel in opened]


@pytest.mark.timeout(300)
def test_a_redis_that_forgot_is_built_anew_and_forgives_nobody(stage):
    """While it is empty, and while no keeper runs; the next keeper builds it."""
    asyncio.run(accounts.suspensions(stage, 1, tell=True, load_per_s=8, offset=20))
    stage.keeper.process.send_signal(signal.SIGKILL)
    stage.keeper.process.wait()
    stage.redis.flushall()
    during = asyncio.run(refused_everywhere(stage, "user-20"))
    stage.start_keeper()
    accounts.until_built(stage, 1)
    after = asyncio.run(refused_everywhere(stage, "user-20"))

    assert during == after == [True] * 4


def suspended(stage):
    """How many the ledger knows."""
    ledger = Ledger(stage.ledger, (), lambda: 0.0)
    try:
        return sum(each.standing.step is Step.SUSPENDED for each in ledger.subjects())
    finally:
        ledger.close()


@pytest.mark.timeout(300)
def test_a_keeper_ends_cleanly(stage):
    """SIGTERM: status 0, the ledger is as it was, and its place among the readers of strikes is free."""
    asyncio.run(accounts.suspensions(stage, 1, tell=True, load_per_s=8, offset=30))
    before = suspended(stage)
    stage.keeper.process.send_signal(signal.SIGTERM)
    status = stage.keeper.process.wait(60)
    after = suspended(stage)
    readers = stage.redis.xinfo_consumers("safeguards:{strikes}:stream", "keepers")
    stage.start_keeper()

    assert 1 <= before
    assert (status, after) == (0, before)
    assert all(reader["pending"] == 0 for reader in readers)
