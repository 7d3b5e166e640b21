"""Strikes on their way from filters to a keeper: a Redis stream, read by a group, so that each goes to one keeper and,
if that dies, to another. A strike is taken off only when the ledger has it; the ledger takes none twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import structlog

from safeguards_extproc.adapters.redis_link import RedisLink
from safeguards_extproc.adapters.redis_script import ask, script
from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.enforcement.strikes import decode, encode
from safeguards_extproc.enforcement.telling import Observer

log = structlog.get_logger()

STREAM = "safeguards:{strikes}:stream"
GROUP = "keepers"

MOST_WAITING = 1_000_000
"""Strikes that wait for a keeper; more are lost, and counted."""

TOGETHER = 200
"""Strikes that a keeper reads at once."""

CLAIM_AFTER_S = 30.0
"""A keeper that has held strikes so long without the ledger's having them is dead."""

ADD = script("""
local room, taken = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1]), 0
for place = 2, #ARGV do
  if taken >= room then break end
  redis.call('XADD', KEYS[1], '*', 's', ARGV[place])
  taken = taken + 1
end
return taken
""")

READ = script("""
if redis.call('EXISTS', KEYS[1]) == 0 or #redis.call('XINFO', 'GROUPS', KEYS[1]) == 0 then
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
end
if ARGV[4] ~= '' then
  local left = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[4], '0-0', 'COUNT', ARGV[3])[2]
  if #left > 0 then return left end
end
local read = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1], '>')
return read and read[1][2] or {}
""")

DONE = script("""
for place = 2, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[place])
  redis.call('XDEL', KEYS[1], ARGV[place])
end
return redis.call('XLEN', KEYS[1])
""")

LEAVE = script("""
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  if consumer[4] == 0 and (consumer[2] == ARGV[2] or consumer[6] > tonumber(ARGV[3])) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer[2])
  end
end
return 0
""")


class RedisStrikes:
    """What filters tell strikes to."""

    def __init__(self, link: RedisLink, observer: Observer, most: int = MOST_WAITING) -> None:
        self._link, self._observer, self._most = link, observer, most

    async def put(self, strikes: Sequence[Strike]) -> None:
        """Leave them for a keeper. Raises StoreError; told again, a strike may be there twice."""
        taken = await ask(self._link, ADD, [STREAM], [self._most, *map(encode, strikes)])
        if taken < len(strikes):
            self._observer.account_lost("strikes", len(strikes) - taken)


class RedisIntake:
    """What one keeper reads strikes from. Everything raises StoreError."""

    def __init__(self, link: RedisLink, keeper: str) -> None:
        """`keeper` is a name that no other keeper has."""
        self._link, self._keeper = link, keeper
        self._claimed = 0.0

    async def read(self) -> list[tuple[str, Strike | None]]:
        """Strikes that nobody else has, with what to say when they are done; None for what is no strike."""
        now, claim = time.monotonic(), ""
        if now - self._claimed > CLAIM_AFTER_S / 3:
            claim = str(int(CLAIM_AFTER_S * 1000))
        found: list[Any] = await ask(self._link, READ, [STREAM], [GROUP, self._keeper, TOGETHER, claim])
        if claim and len(found) < TOGETHER:
            self._claimed = now
        return [(entry.decode(), decode(fields[1])) for entry, fields in found if fields]

    async def done(self, entries: Sequence[str]) -> int:
        """The ledger has them. How many still wait."""
        return int(await ask(self._link, DONE, [STREAM], [GROUP, *entries]))

    async def close(self) -> None:
        """Leave the group, with those who left it in no good order an hour ago."""
        await ask(self._link, LEAVE, [STREAM], [GROUP, self._keeper, 3_600_000])
