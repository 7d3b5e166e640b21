"""Exchanges sent again through a real Envoy and a whole filter: a client that asks as the client did, an upstream that
answers as the upstream did, chunk by chunk, at once or in the time that it took then.

The exchange is known on its way by the trace that its request names: the upstream finds its answer by that, and the
filter's record says it. Models are answered for by what they said of the same window then.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.taken import Taken, shown
from safeguards_extproc.ports import Scorer
from safeguards_extproc.replay import messages, verdict
from safeguards_extproc.replay.many import Row, deserved, said_before
from safeguards_extproc.replay.messages import HOP_BY_HOP, Side
from safeguards_extproc.replay.source import Frame
from safeguards_extproc.replay.verdict import UNKNOWN, Pair

TRACE = "traceparent"
"""The header that names an exchange (www.w3.org/TR/trace-context)."""

PATIENCE_S = 10.0
"""How long a record may take after the client has its answer."""

_ENVOYS = ("x-envoy-", "x-forwarded-", "x-request-id", TRACE)
"""Headers that Envoy sets anew."""

_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
"""Headers that a client of this library would add."""


@dataclass(slots=True)
class Underway:
    """An exchange on its way: its answer, if one is known, whether the upstream was asked for it, and its record."""

    answer: Side | None
    record: asyncio.Future[Record]
    reached: bool = False


@dataclass(slots=True)
class Stage:
    """What client, upstream, filter and models share. `timed` keeps the times of then."""

    timed: bool = False
    underway: dict[str, Underway] = field(default_factory=dict)
    scores: RecordedScores = field(default_factory=lambda: RecordedScores(None))
    prefix: str = field(default_factory=lambda: secrets.token_hex(8))

    def trace(self, number: int) -> str:
        """The trace of exchange `number`."""
        return f"{self.prefix}{number + 1:016x}"


class RecordedScores:
    """A ports.Scorer that says what models said of the same window then, if they are to be `believed`. What the
    exchanges under way do not say is asked of `others`, or unavailable. The same window has the same scores, so it is
    not asked whose it is."""

    def __init__(self, others: Scorer | None, *, believed: bool = True) -> None:
        self._others, self._believed = others, believed
        self._known: dict[tuple[bytes, str], tuple[Result, int]] = {}

    def begin(self, taken: Taken) -> None:
        """An exchange is on its way."""
        for key, result in _results(taken):
            before = self._known.get(key)
            self._known[key] = (result if before is None or before[0].failure else before[0], (before or (0, 0))[1] + 1)

    def end(self, taken: Taken) -> None:
        """It is over."""
        for key, _ in _results(taken):
            result, count = self._known[key]
            if count == 1:
                del self._known[key]
            else:
                self._known[key] = (result, count - 1)

    async def start(self) -> None:
        if self._others is not None:
            await self._others.start()

    async def score(self, model: Model, texts: Sequence[str], prompt: str = "") -> Result:
        """See ports.Scorer."""
        known = self._known.get((shown(texts, prompt if model.exchange else ""), model.detector))
        if known is not None and self._believed:
            return known[0]
        if self._others is None:
            return Result(model.detector, failure="unavailable")
        return await self._others.score(model, texts, prompt)

    async def ready(self, model: Model) -> bool:
        return self._others is None or await self._others.ready(model)

    async def close(self) -> None:
        if self._others is not None:
            await self._others.close()


class Records:
    """A ports.RecordSink: each record goes to the exchange that its trace names."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def keep(self, record: Record) -> None:
        underway = self._stage.underway.get(record.trace_id)
        if underway is not None and not underway.record.done():
            underway.record.set_result(record)

    def durable(self, record: Record) -> None:
        """Nobody waits for a disk."""

    def close(self) -> None: ...


def upstream(stage: Stage) -> web.Server:
    """Answers as the upstream did then."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        underway = stage.underway.get(request.headers.get(TRACE, "")[3:35])
        if underway is None:
            return web.Response(status=404)
        underway.reached = True
        side = underway.answer
        if side is None:
            return web.Response(status=503)
        headers = CIMultiDict((name, value) for name, value in _plain(side) if name not in HOP_BY_HOP)
        response = web.StreamResponse(status=int(side.get(":status") or 200), headers=headers)
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):  # who refuses an answer hangs up on it
            await response.prepare(request)
            for at, data in side.body:
                await _until(began, at - side.at, stage)
                await response.write(data)
            await response.write_eof()
        return response

    return web.Server(answer)


async def rows(frames: Iterable[Frame], stage: Stage, url: str, concurrency: int) -> AsyncIterator[Row]:
    """Send exchanges to `url`, so many at once, and yield what became of each, in order."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=120.0)
    connector = aiohttp.TCPConnector(limit=0)
    running: deque[asyncio.Task[Row]] = deque()
    clock = _Clock(stage)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, auto_decompress=False, skip_auto_headers=_AUTOMATIC
    ) as session:
        rest = iter(frames)
        try:
            while True:
                for frame in itertools.islice(rest, concurrency - len(running)):
                    taken = frame.open()
                    await clock.wait(taken)
                    running.append(asyncio.create_task(_row(frame, taken, stage, session, url)))
                if not running:
                    return
                yield await running.popleft()
        finally:
            for task in running:
                task.cancel()


class _Clock:
    """Has exchanges begin as far apart as they did then, where times are kept and known."""

    def __init__(self, stage: Stage) -> None:
        self._timed = stage.timed
        self._first: tuple[float, float] | None = None

    async def wait(self, taken: Taken) -> None:
        if not self._timed or not taken.time:
            return
        then = datetime.datetime.fromisoformat(taken.time).timestamp()
        if self._first is None:
            self._first = then, time.monotonic()
        await asyncio.sleep(max(0.0, then - self._first[0] - (time.monotonic() - self._first[1])))


async def _row(frame: Frame, taken: Taken, stage: Stage, session: aiohttp.ClientSession, url: str) -> Row:
    asked, answered = messages.sides(taken.messages)
    if asked is None:
        return Row(frame.number, frame.done, None)
    trace = stage.trace(frame.number)
    underway = stage.underway[trace] = Underway(answered, asyncio.get_running_loop().create_future())
    stage.scores.begin(taken)
    try:
        await _send(asked, trace, stage, session, url)
        record = await asyncio.wait_for(underway.record, PATIENCE_S)
    except TimeoutError:
        return Row(frame.number, frame.done, None)
    finally:
        stage.scores.end(taken)
        del stage.underway[trace]
    return Row(frame.number, frame.done, _pair(taken, record, underway), _unknown(taken, record))


async def _send(asked: Side, trace: str, stage: Stage, session: aiohttp.ClientSession, url: str) -> None:
    """Ask as the client did, and read to the end whatever comes."""
    headers = CIMultiDict((name, value) for name, value in _plain(asked) if not name.startswith(_ENVOYS))
    headers["host"] = asked.get(":authority")
    headers[TRACE] = f"00-{trace}-{trace[16:]}-01"
    began = time.monotonic()

    async def body() -> AsyncIterator[bytes]:
        for at, data in asked.body:
            await _until(began, at, stage)
            yield data

    target = URL(url + asked.get(":path"), encoded=True)
    data = body() if asked.body else None
    try:
        async with session.request(
            asked.get(":method"), target, headers=headers, data=data, allow_redirects=False
        ) as response:
            async for _ in response.content.iter_any():
                pass
    except (aiohttp.ClientError, TimeoutError, ValueError):
        pass  # the record says what became of it


def _pair(taken: Taken, record: Record, underway: Underway) -> Pair:
    before = said_before(taken)
    after = verdict.of(record)
    after = replace(
        after,
        **{
            name: getattr(before, name)
            for name in ("id", "producer", "epoch", "sequence", "time", "tenant", "kind", "subject")
        },
    )
    if underway.reached and underway.answer is None:
        after = replace(after, response=after.response._replace(applied=UNKNOWN))
    return Pair(before, after, deserved(taken))


def _unknown(taken: Taken, record: Record) -> int:
    """Directions in which a check failed that had not failed then: nobody knew what to say. Where a rule that was true
    of what was said has refused the exchange, nobody needs to know."""
    then = taken.record
    if verdict.of(record).refused and verdict.judged(record):
        return 0
    return sum(
        any(detector not in known for detector in failed)
        for failed, known in (
            (record.request.failed, then.request.failed if then else {}),
            (record.response.failed, then.response.failed if then else {}),
        )
    )


def _plain(side: Side) -> Iterable[tuple[str, str]]:
    return ((name, value) for name, value in side.headers if name[:1] != ":" and name not in HOP_BY_HOP)


async def _until(began: float, at_us: int, stage: Stage) -> None:
    if stage.timed:
        await asyncio.sleep(max(0.0, at_us / 1e6 - (time.monotonic() - began)))


def _results(taken: Taken) -> Iterable[tuple[tuple[bytes, str], Result]]:
    return (((digest, result.detector), result) for answer in taken.answers for digest, result in answer.results)
