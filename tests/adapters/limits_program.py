"""A worker of tests/adapters/test_redis_many.py: asks until it is refused for good, uses less or more than it asked
for, and says how much that was. Arguments: address, subject, a number of its own."""

from __future__ import annotations

import asyncio
import random
import sys

from safeguards_extproc.adapters.redis_limits import RedisLimits
from safeguards_extproc.adapters.redis_link import RedisLink, RedisSettings
from safeguards_extproc.core.account import Charge, Count, Limit, Shape

AMOUNT = 12_000
LIMITS = (
    Limit("budget", ("key",), Count.TOKENS, Shape.BUDGET, AMOUNT, 3600.0),
    Limit("rate", ("key",), Count.TOKENS, Shape.RATE, 1, 86_400.0, AMOUNT),
    Limit("streams", ("key",), Count.STREAMS, Shape.CONCURRENT, 6),
)


class Told:
    """Every settlement must be told at once."""

    def settled(self, result: str, count: int) -> None:
        assert (result, count) == ("told", 1)


async def main(url: str, subject: str, number: int) -> None:
    """Eight exchanges at a time; over as soon as the budget, not the streams, has refused ten times."""
    link, dice = RedisLink(RedisSettings(url, deadline_s=20.0)), random.Random(number)
    store, used, over = RedisLimits(link, Told()), 0, 0

    async def exchange(id: str) -> None:
        nonlocal used, over
        asked = dice.randint(1, 120)
        charges = [Charge(limit, (subject,), 1 if limit.shape is Shape.CONCURRENT else asked) for limit in LIMITS]
        answers = await store.admit(id, charges, [1.0] * 3)
        if not all(each.allowed for each in answers):
            over += not answers[0].allowed
            return
        needed = dice.randint(0, asked)
        settlement = [(charge, needed) for charge in charges]
        await asyncio.gather(*(store.settle(id, settlement) for _ in range(dice.randint(1, 2))))
        used += needed

    turn = 0
    while over < 10:
        await asyncio.gather(*(exchange(f"{number}-{turn}-{each}") for each in range(8)))
        turn += 1
    await link.close()
    sys.stdout.write(f"{used}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
