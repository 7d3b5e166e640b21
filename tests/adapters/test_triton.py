"""A scorer before real gRPC servers that are slow, wrong, away, paused and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from safeguards_extproc.adapters.breaker import BreakerSettings
from safeguards_extproc.adapters.triton import TritonScorer, TritonSettings
from safeguards_extproc.core.decision import Model, Result
from tests.adapters.kserve_fake import KServeFake, until

SCREEN = Model("screen", "screen", budget_ms=20_000)
HURRIED = Model("screen", "screen", budget_ms=40)
NEVER_OPEN = BreakerSettings(consecutive=1000, minimum=1000)
QUICK = BreakerSettings(consecutive=2, open_s=0.05, open_max_s=0.05)
GOOD = Result("screen", {"screen.risk": 0.5, "screen.other": 0.25}, version="1")


class Seen:
    """What the scorer tells who watches."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.batches: list[int] = []
        self.states: list[str] = []
        self.answers: list[tuple[str, str]] = []

    def detector(self, detector: str, failure: str, seconds: float) -> None:
        self.failures.append(failure)

    def batch(self, model: str, texts: int, waited_s: float) -> None:
        self.batches.append(texts)

    def answered(self, model: str, version: str) -> None:
        self.answers.append((model, version))

    def breaker(self, model: str, endpoint: str, state: str) -> None:
        self.states.append(state)


@asynccontextmanager
async def scorer(
    *servers: KServeFake, breaker: BreakerSettings = NEVER_OPEN, seen: Seen | None = None, **changes: Any
) -> AsyncIterator[TritonScorer]:
    """A started scorer before these servers."""
    addresses = tuple(server.address for server in servers)
    made = TritonScorer(TritonSettings(addresses, breaker=breaker, control_s=10, **changes), seen)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def works(made: TritonScorer) -> bool:
    return not (await made.score(SCREEN, ["0.5,0.25"])).failure


async def test_scores_are_named_after_detector_and_label(server: KServeFake) -> None:
    """The maximum per label over the views of a window, and which version said so."""
    async with scorer(server, seen=(seen := Seen())) as made:
        result = await made.score(Model("guard", "screen", 20_000), ["0.5,0", "0.25,0.25"])
    assert result == Result("guard", {"guard.risk": 0.5, "guard.other": 0.25}, version="1")
    assert seen.answers == [("screen", "1")]


async def test_streams_share_requests_while_the_model_is_busy(server: KServeFake) -> None:
    """One request is away; the texts of nine streams that arrive meanwhile go in the next one."""
    async with scorer(server, in_flight=1, seen=(seen := Seen())) as made:
        await made.score(SCREEN, ["0,0"])
        await server.said("asked")
        server.go.clear()
        first = asyncio.create_task(made.score(SCREEN, ["0.5,0.25"]))
        await server.said("asked")
        others = [asyncio.create_task(made.score(SCREEN, [f"0.{n},0"])) for n in range(1, 10)]
        await asyncio.sleep(0)
        server.go.set()
        results = await asyncio.gather(*others)
        assert await first == GOOD
    assert [round(result.scores["screen.risk"], 6) for result in results] == [n / 10 for n in range(1, 10)]
    assert seen.batches == [1, 1, 9]
    assert seen.failures == [""] * 11


async def test_a_paused_server_is_a_timeout_within_the_budget(server: KServeFake) -> None:
    """Nobody waits longer than the model's budget, and the server hears that nobody waits."""
    async with scorer(server) as made:
        assert await works(made)
        server.go.clear()
        began = time.monotonic()
        assert await made.score(HURRIED, ["0,0"]) == Result("screen", failure="timeout")
        assert 0.04 <= time.monotonic() - began < 1
        await until(server.idle)
        server.go.set()
        assert await works(made)


async def test_a_callers_leaving_stops_only_its_own(server: KServeFake) -> None:
    """Two in one request: the first goes away and nothing happens, the second goes away and the server is told."""
    async with scorer(server) as made:
        server.go.clear()
        calls = [asyncio.create_task(made.score(SCREEN, [text])) for text in ("0,0", "1,1")]
        await server.said("asked")
        calls[0].cancel()
        await asyncio.wait(calls[:1])
        assert server.events.empty()
        calls[1].cancel()
        await server.said("cancelled")
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)


async def test_a_full_queue_is_overload(server: KServeFake) -> None:
    """Past the bound a caller is told at once and the server is not asked."""
    async with scorer(server, in_flight=1, queue=1) as made:
        server.go.clear()
        calls = [asyncio.create_task(made.score(SCREEN, ["0.5,0.25"]))]
        await server.said("asked")
        calls.append(asyncio.create_task(made.score(SCREEN, ["0.5,0.25"])))
        await asyncio.sleep(0)
        assert await made.score(SCREEN, ["0,0"]) == Result("screen", failure="overload")
        server.go.set()
        assert await asyncio.gather(*calls) == [GOOD, GOOD]


async def test_a_poisoned_text_hurts_its_own_stream_only(server: KServeFake) -> None:
    """One stream's text makes the model fail: the stream that shared its request still gets scores."""
    async with scorer(server, in_flight=1, breaker=QUICK) as made:
        for _ in range(4):
            poison, fine = await asyncio.gather(made.score(SCREEN, ["poison"]), made.score(SCREEN, ["0.5,0.25"]))
            assert poison == Result("screen", failure="bad-response")
            assert fine == GOOD
        assert await made.score(SCREEN, ["poison"]) == Result("screen", failure="bad-response")


def cut(response: Any) -> None:
    response.raw_output_contents[0] = b"\0\0\0\0"


def widen(response: Any) -> None:
    response.outputs[0].shape[:] = [1, 3]


def nothing(response: Any) -> None:
    response.Clear()


@pytest.mark.parametrize("spoil", [cut, widen, nothing])
async def test_garbage_is_a_bad_response(server: KServeFake, spoil: Callable[[Any], None]) -> None:
    """Answers of the wrong shape are a value, and over when the server is well again."""
    async with scorer(server) as made:
        server.spoil = spoil
        assert await made.score(SCREEN, ["0,0"]) == Result("screen", failure="bad-response")
        server.spoil = lambda _: None
        assert await works(made)


@pytest.mark.parametrize("text", ["nan,0", "1.5,0", "-0.5,0"])
async def test_scores_that_are_none_are_a_bad_response(server: KServeFake, text: str) -> None:
    """NaN and values outside [0, 1], for their own caller only."""
    async with scorer(server) as made:
        bad, good = await asyncio.gather(made.score(SCREEN, [text]), made.score(SCREEN, ["0.5,0.25"]))
    assert bad == Result("screen", failure="bad-response")
    assert good == GOOD


async def test_starting_needs_no_server(server: KServeFake) -> None:
    """Away at the start: "unavailable". There later: found, without anybody's help."""
    await server.stop()
    async with scorer(server) as made:
        assert not await made.ready(SCREEN)
        assert await made.score(SCREEN, ["0,0"]) == Result("screen", failure="unavailable")
        await server.start()
        await until(lambda: works(made))
        assert await made.ready(SCREEN)


async def test_a_dead_server_is_not_asked_again_and_again(server: KServeFake) -> None:
    """After failures in a row callers hear "circuit-open"; a probe finds the server when it is back."""
    async with scorer(server, breaker=QUICK, seen=(seen := Seen())) as made:
        assert await works(made)
        await server.stop()
        failures = [(await made.score(SCREEN, ["0,0"])).failure for _ in range(3)]
        assert failures == ["unavailable", "unavailable", "circuit-open"]
        assert seen.states == ["open"]
        await server.start()
        await until(lambda: works(made))
        assert seen.states[-2:] == ["half-open", "closed"]


async def test_a_paused_server_opens_the_breaker_too(server: KServeFake) -> None:
    """Slow is as bad as down: after two timeouts nobody waits, and on its return the model is used again."""
    async with scorer(server, breaker=QUICK) as made:
        assert await works(made)
        server.go.clear()
        failures = [(await made.score(HURRIED, ["0,0"])).failure for _ in range(3)]
        assert failures == ["timeout", "timeout", "circuit-open"]
        server.go.set()
        await until(lambda: works(made))


async def test_a_cancelled_probe_does_not_lock_the_door(server: KServeFake) -> None:
    """The stream whose text was the probe goes away: the next one is the probe."""
    async with scorer(server, breaker=QUICK) as made:
        server.status = grpc.StatusCode.UNAVAILABLE
        for _ in range(2):
            await made.score(SCREEN, ["0,0"])
            await server.said("asked")
        server.status = None
        server.go.clear()
        assert (await made.score(HURRIED, ["0,0"])).failure == "circuit-open"
        await asyncio.sleep(2 * QUICK.open_s)
        probe = asyncio.create_task(made.score(SCREEN, ["0,0"]))
        await server.said("asked")
        assert (await made.score(HURRIED, ["0,0"])).failure == "circuit-open"
        probe.cancel()
        await server.said("cancelled")
        server.go.set()
        assert await made.score(SCREEN, ["0.5,0.25"]) == GOOD


async def test_endpoints_take_turns(server: KServeFake, second: KServeFake) -> None:
    """Two servers share the work."""
    async with scorer(server, second) as made:
        for _ in range(6):
            assert await works(made)
    assert [len(server.requests), len(second.requests)] == [3, 3]


async def test_another_endpoint_takes_over(server: KServeFake, second: KServeFake) -> None:
    """One of two servers is away: every caller still gets its scores, and ready says so."""
    await server.stop()
    async with scorer(server, second, breaker=QUICK) as made:
        for _ in range(6):
            assert await works(made)
        assert await made.ready(SCREEN)
    assert len(second.requests) == 6


@pytest.mark.parametrize("hedge_ms", [0, 10])
async def test_hedging_is_asked_for(server: KServeFake, second: KServeFake, hedge_ms: int) -> None:
    """With it a slow server's work is done by the other one and the slow one is told to stop; without it, a timeout."""
    async with scorer(server, second, hedge_ms=hedge_ms) as made:
        assert await works(made)
        assert await works(made)
        server.go.clear()
        results = [await made.score(Model("screen", "screen", 300), ["0.5,0.25"]) for _ in range(2)]
        await until(server.idle)
    failures = sorted(result.failure for result in results)
    assert failures == (["", ""] if hedge_ms else ["", "timeout"])


async def test_a_server_that_is_always_beaten_is_left_out(server: KServeFake, second: KServeFake) -> None:
    """Hedging does not hide a paused server from its breaker."""
    breaker, seen = BreakerSettings(consecutive=2, open_s=60), Seen()
    async with scorer(server, second, hedge_ms=5, breaker=breaker, seen=seen) as made:
        server.go.clear()
        for _ in range(8):
            assert await works(made)
    assert len(server.requests) <= 2
    assert seen.states == ["open"]


async def test_closing_answers_everybody(server: KServeFake) -> None:
    """Who waits hears "cancelled", who comes later "unavailable"."""
    async with scorer(server) as made:
        server.go.clear()
        call = asyncio.create_task(made.score(SCREEN, ["0,0"]))
        await server.said("asked")
        await made.close()
        assert await call == Result("screen", failure="cancelled")
        assert await made.score(SCREEN, ["0,0"]) == Result("screen", failure="unavailable")
        assert not await made.ready(SCREEN)


async def provoke(made: TritonScorer, server: KServeFake, text: str) -> Sequence[Result]:
    """Every kind of failure, with `text` on its way."""
    results = [await made.score(SCREEN, ["poison", text])]
    server.status = grpc.StatusCode.UNKNOWN
    results.append(await made.score(SCREEN, [text]))
    server.status = None
    server.go.clear()
    results.append(await made.score(HURRIED, [text]))
    await server.stop()
    results.extend([await made.score(SCREEN, [text]) for _ in range(3)])
    return results


async def test_no_failure_speaks_of_the_text(server: KServeFake) -> None:
    """Neither results nor logs hold a word of what was asked."""
    async with scorer(server, breaker=QUICK) as made:
        with capture_logs() as logs:
            results = await provoke(made, server, "0.5,0.125")
    assert {"bad-response", "timeout", "unavailable", "circuit-open"} == {result.failure for result in results}
    assert logs
    assert "0.125" not in repr((logs, results))
