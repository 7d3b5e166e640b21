"""Sends exchanges through a running stack, a bounded number at once, and judges what comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from safeguards_extproc.core.record import Record
from safeguards_extproc.records.read import Reader
from safeguards_extproc.replay.outcome import Outcome, classify, read
from safeguards_extproc.replay.requests import MODEL_HEADER, STATS_PATH, request
from safeguards_extproc.replay.traffic import Exchange
from safeguards_extproc.replay.witnesses import Reached, Result, judge


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send, and where the other witnesses are. Without `model` or `records` these are not asked."""

    url: str
    model: str = ""
    records: Path | None = None
    concurrency: int = 8
    timeout_s: float = 120.0


async def run(
    exchanges: Sequence[Exchange], target: Target, done: Callable[[Outcome], None] = lambda _: None
) -> list[Result]:
    """Send every exchange once and judge it; `done` hears of each as it ends. Results are in the order given."""
    gate = asyncio.Semaphore(target.concurrency)
    timeout = aiohttp.ClientTimeout(total=target.timeout_s)
    connector = aiohttp.TCPConnector(limit=0)

    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def one(exchange: Exchange) -> Outcome:
            async with gate:
                outcome = await send(session, target.url, exchange)
            done(outcome)
            return outcome

        outcomes = await asyncio.gather(*(one(exchange) for exchange in exchanges))
        reached = await _reached(session, target.model) if target.model else {}
    wanted = {outcome.safeguards_id for outcome in outcomes if outcome.safeguards_id}
    records = await records_of(target.records, wanted) if target.records else {}
    return [
        judge(
            exchange,
            outcome,
            reached.get(exchange.id, Reached()) if target.model else None,
            records.get(outcome.safeguards_id),
        )
        for exchange, outcome in zip(exchanges, outcomes, strict=True)
    ]


async def send(session: aiohttp.ClientSession, url: str, exchange: Exchange) -> Outcome:
    """One exchange as its client sees it. Never raises for what the other side does."""
    sent = request(exchange)
    body, status, complete, first = bytearray(), 0, False, -1.0
    headers: Mapping[str, str] = {}
    began = time.perf_counter()
    try:
        async with session.post(url + sent.path, data=sent.body, headers=sent.headers) as response:
            status = response.status
            headers = {name.lower(): value for name, value in response.headers.items()}
            async for chunk in response.content.iter_any():
                first = first if body else (time.perf_counter() - began) * 1000
                body += chunk
            complete = True
    except (aiohttp.ClientError, TimeoutError):
        complete = False  # what had come is judged as a broken answer
    seen = read(bytes(body), status, headers.get("content-type", ""))
    from_model = MODEL_HEADER in headers
    return Outcome(
        id=exchange.id,
        kind=classify(seen, status, from_model=from_model, complete=complete),
        status=status,
        from_model=from_model,
        seen=seen,
        headers=headers,
        bytes_in=len(body),
        first_byte_ms=first,
        duration_ms=(time.perf_counter() - began) * 1000,
    )


async def _reached(session: aiohttp.ClientSession, model: str) -> dict[str, Reached]:
    async with session.get(model + STATS_PATH) as response:
        served = (await response.json())["exchanges"]
    return {name: Reached(**row) for name, row in served.items()}


async def records_of(path: Path, wanted: Iterable[str], *, patience_s: float = 3.0) -> dict[str, Record]:
    """Decision records by id. Waits up to `patience_s` for those `wanted`: a record follows the last byte closely."""
    missing = set(wanted)
    deadline = time.monotonic() + patience_s
    while True:
        records = _records(path)
        if missing <= records.keys() or time.monotonic() > deadline:
            return records
        await asyncio.sleep(0.05)


def _records(path: Path) -> dict[str, Record]:
    """Whole records of a file that may still grow: the half of a line is skipped, and read the next time."""
    return {record.id: record for record in Reader([path])} if path.exists() else {}
