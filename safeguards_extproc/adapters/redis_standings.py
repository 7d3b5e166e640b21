"""Where identities stand, in Redis: a copy of the ledger's projection that keepers write and filters read.

`state` holds every standing by pseudonym, as "revision JSON" (nothing after the revision: in good standing again),
`order` the pseudonyms by the sequence in which Redis took the changes, `gone` those in good standing again, the newest
of which are kept for filters that come late. A copy counts only while all three bear the same epoch, which the rebuild
writes last: after a restart without data, a flush or an eviction there is none, filters keep what they know, and a
keeper builds anew. One hash tag, so that a cluster keeps all of it in one place.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from redis.exceptions import RedisError

from safeguards_extproc.adapters.redis_link import RedisLink, Script
from safeguards_extproc.adapters.redis_script import ask, script
from safeguards_extproc.core.account import Standing
from safeguards_extproc.enforcement.snapshot import Snapshot, decode, encode, good
from safeguards_extproc.errors import StoreError

log = structlog.get_logger()

_TAG = "safeguards:{standings}:"
KEYS = [_TAG + name for name in ("state", "order", "gone", "building")]
CHANNEL = _TAG + "changed"

PAGE = 1000
"""Identities in one message."""

MOST_GONE = 10_000
"""Identities in good standing again that are remembered: who has missed more of them reads everything anew."""

BUILDING_S = 30
"""A keeper that builds and says nothing for so long has died."""

PULL_EVERY_S = 1.0
SILENT_S = 15.0
PULL_AT_MOST_EVERY_S = 0.02

PUBLISH = script("""
local state, order, gone, building = unpack(KEYS)
local token = ARGV[1]
if token ~= '' then
  if redis.call('GET', building) ~= token then return -1 end
  redis.call('EXPIRE', building, ARGV[3])
end
local sequence, changed = tonumber(redis.call('HGET', state, '@sequence') or '0'), 0
for place = 5, #ARGV, 3 do
  local name, revision, text = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  local held = redis.call('HGET', state, name)
  local known = held and tonumber(string.match(held, '^%d+')) or -1
  if tonumber(revision) > known and (held or text ~= '') then
    sequence, changed = sequence + 1, changed + 1
    redis.call('HSET', state, name, revision .. ' ' .. text)
    redis.call('ZADD', order, sequence, name)
    if text == '' then redis.call('ZADD', gone, sequence, name) else redis.call('ZREM', gone, name) end
  end
end
if changed > 0 then
  redis.call('HSET', state, '@sequence', sequence)
  local over = redis.call('ZCOUNT', gone, '-inf', '(inf') - tonumber(ARGV[2])
  if over > 0 then
    local floor = 0
    local old = redis.call('ZRANGE', gone, 0, over - 1, 'WITHSCORES')
    for place = 1, #old, 2 do
      redis.call('HDEL', state, old[place])
      redis.call('ZREM', order, old[place])
      redis.call('ZREM', gone, old[place])
      floor = old[place + 1]
    end
    redis.call('HSET', state, '@floor', floor)
  end
  redis.call('PUBLISH', ARGV[4], sequence)
end
return changed
""")

PULL = script("""
local state, order, gone = KEYS[1], KEYS[2], KEYS[3]
local epoch = redis.call('HGET', state, '@epoch')
if not epoch or not redis.call('ZSCORE', order, '@' .. epoch) or not redis.call('ZSCORE', gone, '@' .. epoch) then
  return {'', 0, 0}
end
local named = redis.call('ZRANGEBYSCORE', order, '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local answer = {epoch, tonumber(redis.call('HGET', state, '@floor') or '0'), tonumber(ARGV[1])}
for place = 1, #named, 2 do
  answer[#answer + 1] = named[place]
  answer[#answer + 1] = redis.call('HGET', state, named[place]) or ''
  answer[3] = tonumber(named[place + 1])
end
return answer
""")

BEGIN = script("""
local state, order, gone, building = unpack(KEYS)
local epoch = redis.call('HGET', state, '@epoch')
if epoch and ARGV[3] == '' and redis.call('ZSCORE', order, '@' .. epoch) and redis.call('ZSCORE', gone, '@' .. epoch)
then return 0 end
local other = redis.call('GET', building)
if other and other ~= ARGV[4] then return 0 end
redis.call('SET', building, ARGV[1], 'EX', ARGV[2])
redis.call('UNLINK', state, order, gone)
return 1
""")

FINISH = script("""
local state, order, gone, building = unpack(KEYS)
if redis.call('GET', building) ~= ARGV[1] then return 0 end
redis.call('HSET', state, '@epoch', ARGV[1])
redis.call('ZADD', order, 0, '@' .. ARGV[1])
redis.call('ZADD', gone, 'inf', '@' .. ARGV[1])
redis.call('DEL', building)
redis.call('PUBLISH', ARGV[2], 0)
return 1
""")


class RedisBoard:
    """Where keepers, and people at the command line, write standings. Several may do so at once: of two standings of
    an identity the one of the higher revision stays. Everything raises StoreError where Redis does not answer."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._token = ""

    async def publish(self, changes: Sequence[tuple[str, Standing]], token: str = "") -> None:
        """Identities now stand so; filters are told. `token` is that of a rebuild."""
        for start in range(0, len(changes), PAGE):
            rows: list[str | int] = []
            for name, standing in changes[start : start + PAGE]:
                rows += (name, standing.revision, "" if good(standing) else encode(standing))
            if await self._run(PUBLISH, token, MOST_GONE, BUILDING_S, CHANNEL, *rows) < 0:
                raise StoreError("unavailable")

    async def built(self) -> bool:
        """Whether the copy is whole."""
        return bool((await ask(self._link, PULL, KEYS[:3], [0, 0]))[0])

    async def begin(self, *, anew: bool = False) -> str:
        """Begin to build, once more if it was begun here: a token for `publish` and `finish`; "" if the copy is whole
        (unless `anew`), or another keeper builds."""
        before, self._token = self._token, secrets.token_hex(8)
        if await self._run(BEGIN, self._token, BUILDING_S, "anew" if anew else "", before):
            return self._token
        self._token = before
        return ""

    async def finish(self, token: str) -> bool:
        """The copy is whole; False if it was lost meanwhile."""
        return bool(await self._run(FINISH, token, CHANNEL))

    async def _run(self, what: Script, *arguments: str | int) -> int:
        return int(await ask(self._link, what, KEYS, arguments))


@dataclass(slots=True)
class _Page:
    """What Redis says: `last` is the sequence up to which `changes` are complete, `floor` the one from which on every
    change is remembered."""

    epoch: str
    floor: int
    last: int
    changes: list[tuple[str, Standing]]
    whole: bool


class RedisStandings:
    """Keeps a snapshot up to date: on a nudge, and every second, whether nudged or not."""

    def __init__(self, link: RedisLink, snapshot: Snapshot, urls: Sequence[str] = ()) -> None:
        """`urls` are the nodes of a cluster, any of which passes nudges on; the link's own if there is one server."""
        self._link, self._snapshot, self._urls = link, snapshot, urls or (link.settings.url,)
        self._epoch, self._last = "", 0
        self._nudged = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._heard = -1.0

    @property
    def age_s(self) -> float:
        """Seconds since the snapshot was surely what Redis holds; infinite if it never was."""
        return time.monotonic() - self._heard if self._heard >= 0 else float("inf")

    async def start(self) -> None:
        """Read everything once, if Redis answers, and go on in the background."""
        with contextlib.suppress(StoreError):
            await self.pull()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._listen()), loop.create_task(self._pull_on())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def pull(self) -> None:
        """Read what has changed, or everything where that cannot be told. Where there is no whole copy, nothing is
        known of anybody, and what was known before stays. Raises StoreError."""
        while True:
            page = await self._page(self._last)
            if not page.epoch:
                return
            if page.epoch != self._epoch or page.floor > self._last:
                await self._reload(page.epoch)
                return
            self._snapshot.put(page.changes)
            self._last = page.last
            if page.whole:
                self._heard = time.monotonic()
                return

    async def _reload(self, epoch: str) -> None:
        everyone: dict[str, Standing] = {}
        last = 0
        while True:
            page = await self._page(last)
            if page.epoch != epoch:
                return
            everyone.update(page.changes)
            last = page.last
            if page.whole:
                break
        self._snapshot.reload(everyone)
        self._epoch, self._last, self._heard = epoch, last, time.monotonic()
        log.info("standings loaded", identities=len(self._snapshot.held))

    async def _page(self, since: int) -> _Page:
        epoch, floor, last, *rows = await ask(self._link, PULL, KEYS[:3], [since, PAGE])
        return _Page(epoch.decode(), floor, last, list(_standings(rows)), len(rows) < 2 * PAGE)

    async def _pull_on(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PULL_EVERY_S):
                    await self._nudged.wait()
            self._nudged.clear()
            try:
                await self.pull()
            except StoreError as error:
                log.warning("standings not read", reason=error.reason)
            await asyncio.sleep(PULL_AT_MOST_EVERY_S)

    async def _listen(self) -> None:
        """Hear nudges. Who hears none for a while asks whether anybody is there, and else begins anew."""
        place = 0
        while True:
            link = RedisLink(replace(self._link.settings, url=self._urls[place], cluster=False))
            place = (place + 1) % len(self._urls)
            try:
                async with link.client.pubsub() as heard:
                    await heard.subscribe(CHANNEL)
                    silent_s = 0.0
                    while silent_s < 2 * SILENT_S:
                        if await heard.get_message(timeout=PULL_EVERY_S) is not None:
                            silent_s = 0.0
                            self._nudged.set()
                            continue
                        silent_s += PULL_EVERY_S
                        if silent_s == SILENT_S:
                            await heard.ping()
            except (RedisError, OSError) as error:
                log.warning("no nudges", error=type(error).__name__)
            finally:
                await link.close()
            await asyncio.sleep(PULL_EVERY_S)


def _standings(rows: Sequence[Any]) -> Iterable[tuple[str, Standing]]:
    """What can be read of names and values; a standing of a form not known here is left as it is known."""
    for name, value in zip(rows[::2], rows[1::2], strict=True):
        revision, _, text = value.partition(b" ")
        standing = decode(text) if text else Standing(revision=int(revision or 0))
        if standing is None:
            log.error("a standing cannot be read", length=len(text))
        else:
            yield name.decode(), standing
