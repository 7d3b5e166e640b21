"""The filter killed under load, again and again: whoever had an answer finds its record in the spool.

`python -m tests.faults.test_spool_killed 25` says how many records a second that was, and what came of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from safeguards_extproc.adapters.extproc import METHOD
from safeguards_extproc.records.encode import from_json
from safeguards_extproc.records.read import gaps
from safeguards_extproc.records.segments import read, recover, segments
from tests.adapters.peer import DUPLEX, headers
from tests.envoy import rules
from tests.envoy.rig import serve

STREAMS = 48
FIRST, LAST = headers("request", end=True, mode=DUPLEX), headers("response", end=True)
ID = re.compile(rb"[0-9a-f]{11}-[0-9a-f]{15}")


async def exchange(channel: grpc.aio.Channel) -> str:
    """One exchange, as short as any; the id that the last answer names, "" if there was none."""
    rpc = channel.stream_stream(METHOD, None, None)(None)
    answer: object = b""
    for message in (FIRST, LAST):
        await rpc.write(message)
        answer = await rpc.read()
    rpc.cancel()
    found = ID.search(answer) if isinstance(answer, bytes) else None
    return found.group().decode() if found is not None else ""


async def load(socket: Path, count: int, kill: Callable[[], None], acknowledged: set[str]) -> float:
    """Exchanges on many streams at once until so many more are acknowledged, and then `kill` in the middle of the next
    ones; how many a second there were."""
    wanted, enough = len(acknowledged) + count, asyncio.Event()

    async def stream(channel: grpc.aio.Channel) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while id_ := await exchange(channel):
                acknowledged.add(id_)
                if len(acknowledged) >= wanted:
                    enough.set()

    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        began = time.monotonic()
        streams = [asyncio.create_task(stream(channel)) for _ in range(STREAMS)]
        await enough.wait()
        rate = count / (time.monotonic() - began)
        kill()
        await asyncio.wait(streams)
    return rate


def lives(folder: Path, kills: int) -> tuple[set[str], list[float]]:
    """What filters acknowledged that were killed one after the other, and how many a second."""
    policy, acknowledged, rates = rules.write(folder / "policy.yaml", rules.words("nothing")), set[str](), []
    for _ in range(kills):
        one = serve(policy, folder / "filter.sock", records=folder / "spool", sink="spool")
        process = one.part.process
        rates.append(asyncio.run(load(one.socket, random.randrange(1000, 3000), process.kill, acknowledged)))
        process.wait()
    recover(folder / "spool")
    return acknowledged, rates


def wrong(folder: Path, acknowledged: set[str]) -> Counter[str]:
    """What is not as it was acknowledged. A torn record would be one that is lost, or a number that is missing."""
    kept = [from_json(each) for one in segments(folder / "spool") for each in read(one.path)]
    ids = Counter(record.id for record in kept)
    missing = sum(len(each) for ranges in gaps(kept).values() for each in ranges)
    return +Counter(lost=len(acknowledged - ids.keys()), doubled=ids.total() - len(ids), missing=missing)


@pytest.mark.real
def test_a_filter_that_is_killed_leaves_every_answered_exchange_in_its_spool(tmp_path: Path) -> None:
    """At any moment: the record is there, whole and once, and each life numbered its records without a gap. Each life
    closes what the one before left."""
    kills = 3
    acknowledged, _ = lives(tmp_path, kills)
    assert Counter() == wrong(tmp_path, acknowledged)
    assert kills * 1000 <= len(acknowledged)
    assert kills == len({one.epoch for one in segments(tmp_path / "spool") if one.closed})


def main() -> None:
    """Say what came of so many kills."""
    kills = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        acknowledged, rates = lives(Path(name), kills)
        found = dict(wrong(Path(name), acknowledged)) or "nothing"
    each = f"{min(rates):,.0f} to {max(rates):,.0f} a second, median {statistics.median(rates):,.0f}"
    sys.stdout.write(f"{kills} kills, {len(acknowledged):,} records acknowledged ({each}); wrong: {found}\n")


if __name__ == "__main__":
    main()
