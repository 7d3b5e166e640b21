"""A gRPC client that says what Envoy says, and a running server for it to talk to."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue  # type: ignore[import-untyped]
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb  # type: ignore[import-untyped]
from grpc.aio import EOF  # type: ignore[attr-defined]

from safeguards_extproc.adapters.extproc import METHOD
from safeguards_extproc.adapters.listener import Address
from safeguards_extproc.adapters.rpc_server import RpcServer
from safeguards_extproc.adapters.server import Processor
from safeguards_extproc.adapters.shared import Exchange, Shared, StreamLimits
from safeguards_extproc.core.events import Opened
from safeguards_extproc.ports import Scorer
from safeguards_extproc.rpc.connection import Limits
from tests.adapters.standins import Counts, Memory, Scores

NONE, STREAMED, BUFFERED, DUPLEX = 0, 1, 2, 4


def headers(direction: str, *, end: bool = False, mode: int | None = None, **fields: str) -> bytes:
    """A headers message; with `mode` it is a stream's first and both body modes are that."""
    values = [HeaderValue(key=name, raw_value=value.encode()) for name, value in fields.items()]
    message = pb.ProcessingRequest(
        **{f"{direction}_headers": pb.HttpHeaders(headers=HeaderMap(headers=values), end_of_stream=end)}
    )
    if mode is not None:
        message.protocol_config.request_body_mode = message.protocol_config.response_body_mode = mode
        message.protocol_config.SetInParent()
    return bytes(message.SerializeToString())


def body(direction: str, data: bytes, *, end: bool = False) -> bytes:
    message = pb.ProcessingRequest(**{f"{direction}_body": pb.HttpBody(body=data, end_of_stream=end)})
    return bytes(message.SerializeToString())


def trailers(direction: str) -> bytes:
    return bytes(pb.ProcessingRequest(**{f"{direction}_trailers": pb.HttpTrailers()}).SerializeToString())


class Call:
    """One ext_proc stream, seen from Envoy."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.rpc: Any = channel.stream_stream(METHOD, None, None)(None)

    async def say(self, *messages: bytes) -> None:
        for message in messages:
            await self.rpc.write(message)

    async def hear(self) -> str | bytes:
        """The next answer: its kind, or for a body in full duplex its bytes (with "$" where it is the end)."""
        try:
            raw = await self.rpc.read()
        except grpc.aio.AioRpcError:
            raw = EOF
        if raw is EOF:
            return "EOF"
        answer = pb.ProcessingResponse.FromString(raw)
        kind = str(answer.WhichOneof("response"))
        if kind.endswith("_body"):
            mutation = getattr(answer, kind).response.body_mutation
            if mutation.WhichOneof("mutation") == "streamed_response":
                return bytes(mutation.streamed_response.body + b"$" * mutation.streamed_response.end_of_stream)
        return kind

    async def ended(self) -> tuple[grpc.StatusCode, str]:
        """Status and text, once the server has said them."""
        return await self.rpc.code(), await self.rpc.details()

    async def close(self) -> tuple[grpc.StatusCode, str]:
        """Close our side, as Envoy does at the end; what the server said to that."""
        await self.rpc.done_writing()
        return await self.ended()


class World:
    """A server of `Processor`, its surroundings, and a channel to it."""

    def __init__(self, shared: Shared, sink: Memory, counts: Counts, channel: grpc.aio.Channel) -> None:
        self.shared, self.sink, self.counts, self.channel = shared, sink, counts, channel

    def call(self) -> Call:
        return Call(self.channel)

    async def until(self, true: Callable[[], bool]) -> None:
        """Until the server has done what the test waits for; the test's timeout is the limit."""
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110 (what tests wait for has no event)
                await asyncio.sleep(0.002)

    def terminations(self) -> list[str]:
        return [record.termination for record in self.sink.records]


@asynccontextmanager
async def world(
    begin: Callable[[Opened, float], Exchange],
    scorer: Scorer | None = None,
    limits: StreamLimits | None = None,
    calls: Limits | None = None,
) -> AsyncIterator[World]:
    sink, counts = Memory(), Counts()
    shared = Shared(begin, scorer or Scores(), sink, counts, limits or StreamLimits())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        server = RpcServer({METHOD: Processor(shared).begin}, calls)
        await server.listen(Address(path=str(path)))
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            yield World(shared, sink, counts, channel)
        await server.close(0)
