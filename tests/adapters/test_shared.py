"""What streams share: when a new one is refused, and when none is left."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from safeguards_extproc.adapters.shared import NoTelemetry, Shared, StreamLimits
from safeguards_extproc.adapters.stream import Stream
from tests.adapters.standins import Echo, Memory, Scores


def shared(streams: int = 2, held: int = 100) -> Shared:
    return Shared(Echo, Scores(), Memory(), limits=StreamLimits(streams=streams, total_held_bytes=held))


@pytest.mark.parametrize(
    ("held", "closing", "expected"),
    [(0, False, ""), (99, False, ""), (100, False, "overload"), (100, True, "shutdown")],
)
def test_a_refusal_names_its_reason(held: int, closing: bool, expected: str) -> None:
    """The bound on bytes is the first that would be passed; going down comes before all."""
    it = shared()
    it.held, it.closing = held, closing
    assert expected == it.refusal()


@pytest.mark.interpreted
async def test_empty_waits_for_the_last_stream() -> None:
    """From the moment of asking no stream is taken; the last one's end is the answer."""
    it = shared()
    streams = [cast(Stream, object()), cast(Stream, object())]
    it.streams.update(streams)
    it.held = 7
    assert it.refusal() == "streams"
    waiting = asyncio.create_task(it.empty())
    await asyncio.sleep(0)
    assert it.refusal() == "shutdown"
    it.left(streams[0], 7)
    await asyncio.sleep(0)
    assert (waiting.done(), it.held) == (False, 0)
    it.left(streams[1], 0)
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(it.empty(), 1)


def test_no_telemetry_hears_everything() -> None:
    """A process without metrics runs the same calls."""
    silent = NoTelemetry()
    silent.stream_opened()
    silent.stream_closed("complete", 0.1, 1, 2)
    silent.stream_refused("overload")
    silent.fault("scorer")
