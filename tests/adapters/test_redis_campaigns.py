"""Campaign counters on a real Redis, and the queue of sightings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from safeguards_extproc.adapters.redis_campaigns import MOST_WAITING, READ, SIGHTINGS, RedisCounters, RedisSightings
from safeguards_extproc.adapters.redis_link import RedisLink, RedisSettings
from safeguards_extproc.enforcement.campaigns.counting import Counters, Finding
from safeguards_extproc.enforcement.sightings import Sighting, sighting
from safeguards_extproc.enforcement.watch import Watch
from safeguards_extproc.errors import StoreError
from tests.contract.counters_contract import BEGIN, CONTRACT, asks, one
from tests.enforcement.campaigns.playing import exchange, settled, sketch, spec
from tests.redis_server import Server, running

pytestmark = pytest.mark.real

TOLD = sighting(
    spec("template", 20), exchange(1, refused=True), Finding(("template:0-1",), ("end_user", "ann"), 30, 20, 20), ()
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real Redis."""
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest_asyncio.fixture
async def link(server: Server) -> AsyncIterator[RedisLink]:
    """The way to it, emptied."""
    with server.client() as client:
        client.flushall()
    link = RedisLink(RedisSettings(server.url, deadline_s=5.0))
    yield link
    await link.close()


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
async def test_contract(check: Callable[[Counters], Awaitable[None]], link: RedisLink) -> None:
    """What holds in process holds here."""
    await check(RedisCounters(link))


async def test_two_filters_see_what_one_would(link: RedisLink) -> None:
    """A search that is spread over two processes shows as if one had seen all of it."""
    told: list[Sighting] = []

    async def tell(sightings: Sequence[Sighting]) -> None:
        told.extend(sightings)

    counters, specs = RedisCounters(link), [spec("near_duplicates", 20)]
    filters = [Watch(specs, counters, tell, clock=lambda: BEGIN) for _ in range(2)]
    for number in range(30):
        await filters[number % 2].observed([settled(number, refused=number % 2 < 1, sketch=sketch(5))])
    assert 20 == told[0].asks


async def test_nothing_stays(link: RedisLink, server: Server) -> None:
    """Every key that a count made ends by itself, and all of a count lie in one slot of a cluster."""
    await one(RedisCounters(link), asks(member="m", note="n"))
    with server.client() as client:
        keys = [*client.scan_iter("*")]
        assert 3 == len(keys)
        assert all(3600 < client.ttl(key) <= 5402 for key in keys)
        assert all(b"{ann}" in key for key in keys)


async def test_a_queue(link: RedisLink) -> None:
    """Each is taken once, the oldest first."""
    queue = RedisSightings(link)
    await queue.put([TOLD, msgspec.structs.replace(TOLD, asks=31)])
    assert [30, 31] == [each.asks for each in await queue.take()]
    assert [] == await queue.take()


async def test_a_queue_that_nobody_reads(link: RedisLink, server: Server) -> None:
    """Is bounded, and what is no sighting is passed over."""
    queue = RedisSightings(link)
    with server.client() as client:
        client.rpush(SIGHTINGS, *[b"x"] * (MOST_WAITING + 5))
        await queue.put([TOLD])
        assert MOST_WAITING == client.llen(SIGHTINGS)
        client.ltrim(SIGHTINGS, -READ, -1)
    assert [TOLD] == await queue.take()


async def test_redis_is_away(tmp_path: Path) -> None:
    """Whoever counts is told."""
    link = RedisLink(RedisSettings(f"unix://{tmp_path}/nobody"))
    with pytest.raises(StoreError):
        await RedisCounters(link).count([asks()], BEGIN)
    with pytest.raises(StoreError):
        await RedisSightings(link).take()
    await link.close()
