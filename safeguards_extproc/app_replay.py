"""The composition root of a replay through Envoy: a real Envoy, a whole filter, and between them what was captured.

The filter is the one that serves, in this process: its models are the capture, and its records come back to the replay.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import web

from safeguards_extproc import app as root
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.local import envoy, processes
from safeguards_extproc.local.processes import PartFailed
from safeguards_extproc.ports import Scorer
from safeguards_extproc.replay.many import Row
from safeguards_extproc.replay.source import Frame
from safeguards_extproc.replay.through_envoy import RecordedScores, Records, Stage, rows, upstream
from safeguards_extproc.settings import Settings

AT_ONCE = 32
"""Exchanges that are under way at a time."""


@dataclass(frozen=True, slots=True)
class EnvoyPlan:
    """The policy to try, Envoy's configuration, whether times are kept, and whether models are answered for by the
    capture."""

    policy: Path
    envoy: Path = Path("envoy/demo.yaml")
    timed: bool = False
    recorded: bool = True
    at_once: int = AT_ONCE


def through_envoy(frames: Iterable[Frame], plan: EnvoyPlan, others: Scorer | None) -> Iterator[Row]:
    """Send exchanges through Envoy and a filter; what became of each, in order. `others` are asked what a capture does
    not say. ConfigError if Envoy cannot be started."""
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory(prefix="safeguards-replay-") as name:
        found = _rows(frames, plan, others, Path(name))
        try:
            while (row := runner.run(_next(found))) is not None:
                yield row
        finally:
            runner.run(found.aclose())


async def _next(found: AsyncGenerator[Row, None]) -> Row | None:
    return await anext(found, None)


async def _rows(
    frames: Iterable[Frame], plan: EnvoyPlan, others: Scorer | None, folder: Path
) -> AsyncGenerator[Row, None]:
    stage = Stage(plan.timed, scores=RecordedScores(others, believed=plan.recorded))
    async with _running(stage, plan, folder) as url:
        async for row in rows(frames, stage, url, plan.at_once):
            yield row


@asynccontextmanager
async def _running(stage: Stage, plan: EnvoyPlan, folder: Path) -> AsyncIterator[str]:
    """Upstream, filter and Envoy, up; Envoy's URL."""
    async with AsyncExitStack() as ends:
        runner = web.ServerRunner(upstream(stage))
        await runner.setup()
        ends.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        socket = folder / "filter.sock"
        await ends.enter_async_context(_filter(stage, plan.policy, socket))
        try:
            addresses = envoy.Addresses(f"{host}:{port}", (f"unix://{socket}",))
            front = await asyncio.to_thread(envoy.start, envoy.load(plan.envoy), addresses, folder)
        except PartFailed as failed:
            raise ConfigError(str(failed), where="--through envoy") from None
        ends.push_async_callback(partial(asyncio.to_thread, processes.stop, front.part))
        yield front.url


@asynccontextmanager
async def _filter(stage: Stage, policy: Path, socket: Path) -> AsyncIterator[None]:
    """The filter that serves, with the capture for models."""
    settings = Settings(
        policy, listen=f"unix://{socket}", health="", scorer="embedded", drain_delay_s=0.0, drain_limit_s=1.0
    )
    built = root.build(settings)
    built.scorer = built.shared.scorer = stage.scores
    built.shared.sink = Records(stage)
    await stage.scores.start()
    await built.joined.start()
    await built.probe()
    await built.server.start()
    try:
        yield
    finally:
        await built.server.drain()
        await built.shared.reader.close()
        await built.shared.settled()
        await built.joined.close()
        await stage.scores.close()
