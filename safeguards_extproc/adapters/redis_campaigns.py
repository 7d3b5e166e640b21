"""Campaign counters on Redis, shared by all filters, and the queue by which what they see reaches a keeper.

A count is one script call. All its keys have its tag as hash tag, so they lie on one server of a cluster, and the calls
of many counts share a round trip. Slots expire by themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from safeguards_extproc.adapters.redis_link import Call, RedisLink, Script
from safeguards_extproc.enforcement.campaigns.counting import NOTES, SLOTS, Count, Reply
from safeguards_extproc.enforcement.sightings import Sighting, decode, encode
from safeguards_extproc.errors import StoreError

TOGETHER = 32
"""Calls in one round trip. Redis answers a pipeline to its end before it turns to the next client, so 0.3 ms."""

SIGHTINGS = "safeguards:{campaigns}:sightings"
MOST_WAITING = 10_000
"""Sightings that wait for a keeper; the oldest are left out. A campaign that goes on is told of again."""

READ = 200
"""Sightings that a keeper takes at once."""


def _script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


_KEYS = SLOTS + 1

COUNT = _script(f"""
local ttl, opens, member, note, adds = ARGV[1], ARGV[2] == '1', ARGV[3], ARGV[4], tonumber(ARGV[5])
local names, more = {{}}, {{}}
for place = 6, 5 + 2 * adds, 2 do
  names[#names + 1] = ARGV[place]
  more[#more + 1] = tonumber(ARGV[place + 1])
end
for place = 6 + 2 * adds, #ARGV do names[#names + 1] = ARGV[place] end
local totals, now, known = {{}}, {{}}, {{}}
for place = 1, #names do totals[place], now[place], known[place] = 0, 0, false end
for slot = 1, {_KEYS} do
  local values = redis.call('HMGET', KEYS[slot], unpack(names))
  for place = 1, #names do
    local value = tonumber(values[place])
    if value then
      totals[place], known[place] = totals[place] + value, true
      if slot == 1 then now[place] = value end
    end
  end
end
local wrote = false
for place = 1, adds do
  if opens or known[place] then
    redis.call('HINCRBY', KEYS[1], names[place], more[place])
    totals[place], now[place], wrote = totals[place] + more[place], now[place] + more[place], true
  end
end
if wrote then redis.call('EXPIRE', KEYS[1], ttl) end
local distinct = 0
if member ~= '' then
  redis.call('PFADD', KEYS[{_KEYS + 1}], member)
  redis.call('EXPIRE', KEYS[{_KEYS + 1}], ttl)
  distinct = redis.call('PFCOUNT', unpack(KEYS, {_KEYS + 1}, {2 * _KEYS}))
end
if note ~= '' then
  redis.call('LPUSH', KEYS[{2 * _KEYS + 1}], note)
  redis.call('LTRIM', KEYS[{2 * _KEYS + 1}], 0, {NOTES - 1})
  redis.call('EXPIRE', KEYS[{2 * _KEYS + 1}], ttl)
end
return {{distinct, totals, now}}
""")
"""KEYS: the window's hashes, its HyperLogLogs, its lists of notes, each the current slot first. ARGV: seconds to live,
whether it opens, member, note, how many fields are added to, those with how much, and fields that are heard."""

NOTED = _script("""
local notes = {}
for slot = 1, #KEYS do
  for _, note in ipairs(redis.call('LRANGE', KEYS[slot], 0, -1)) do notes[#notes + 1] = note end
end
return notes
""")

PUT = _script(f"""
local waiting = redis.call('RPUSH', KEYS[1], unpack(ARGV))
redis.call('LTRIM', KEYS[1], -{MOST_WAITING}, -1)
return waiting
""")

TAKE = _script(f"""
local taken = redis.call('LRANGE', KEYS[1], 0, {READ - 1})
redis.call('LTRIM', KEYS[1], {READ}, -1)
return taken
""")


class RedisCounters:
    """counting.Counters. `link` wants a deadline of its own: nobody waits for these counts."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def count(self, counts: Sequence[Count], at: float) -> Sequence[Reply]:
        """Count all of it, in order. Raises StoreError."""
        replies: list[Reply] = []
        for first in range(0, len(counts), TOGETHER):
            part = counts[first : first + TOGETHER]
            answers = await self._run(COUNT, [_call(count, at) for count in part])
            replies += [_reply(count, answer) for count, answer in zip(part, answers, strict=True)]
        return replies

    async def notes(self, count: Count, at: float) -> Sequence[str]:
        """The notes of the window, the newest first. Raises StoreError."""
        (notes,) = await self._run(NOTED, [Call(_keys(count, at, "n"), ())])
        return [note.decode() for note in notes]

    async def close(self) -> None:
        """The link is closed by who made it."""

    async def _run(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        answers = await self._link.run(script, calls)
        for answer in answers:
            if isinstance(answer, StoreError):
                raise answer
        return answers


class RedisSightings:
    """The queue of sightings: filters put, one keeper or several take. What a keeper took and lost is told again while
    the campaign goes on."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def put(self, sightings: Sequence[Sighting]) -> None:
        """Leave them for a keeper. Raises StoreError."""
        await self._run(PUT, [encode(each) for each in sightings])

    async def take(self) -> list[Sighting]:
        """Some that nobody else gets. Raises StoreError."""
        return [found for raw in await self._run(TAKE, ()) if (found := decode(raw)) is not None]

    async def _run(self, script: Script, args: Sequence[bytes]) -> Any:
        (answer,) = await self._link.run(script, [Call([SIGHTINGS], args)])
        if isinstance(answer, StoreError):
            raise answer
        return answer


def _keys(count: Count, at: float, kind: str) -> list[str]:
    newest = count.slot(at)
    start = f"safeguards:{{{count.tag}}}:campaign:{count.name}:{kind}:"
    return [f"{start}{newest - back}" for back in range(_KEYS)]


def _call(count: Count, at: float) -> Call:
    keys = _keys(count, at, "h")
    if count.member or count.note:
        keys += _keys(count, at, "d") + _keys(count, at, "n")[:1]
    pairs = [each for pair in count.add.items() for each in pair]
    life = int(count.window_s + 2 * count.slot_s) + 1
    return Call(keys, [life, int(count.opens), count.member, count.note, len(count.add), *pairs, *count.read])


def _reply(count: Count, answer: Any) -> Reply:
    match answer:
        case [int(distinct), [*totals], [*now]] if len(totals) == len(now) == len(count.fields):
            fields = count.fields
            return Reply(dict(zip(fields, totals, strict=True)), dict(zip(fields, now, strict=True)), distinct)
        case _:
            raise StoreError("bad-response")
