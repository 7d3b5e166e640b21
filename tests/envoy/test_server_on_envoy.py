"""The server behind a real Envoy: bytes unchanged both ways, and what the client sees when the server breaks."""

from __future__ import annotations

import asyncio
import copy
import random
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.adapters import extproc
from safeguards_extproc.adapters.health import Component, Health
from safeguards_extproc.adapters.listener import Address, parse
from safeguards_extproc.adapters.rpc_server import RpcServer
from safeguards_extproc.adapters.server import Server, ServerSettings
from safeguards_extproc.adapters.shared import Exchange, Shared
from safeguards_extproc.core.effects import AnswerBody, Effect, Refuse, SendBody, SendHeaders
from safeguards_extproc.core.events import Body, Event, Headers, Opened
from safeguards_extproc.core.text import Direction
from safeguards_extproc.local import envoy, processes
from safeguards_extproc.rpc.call import Call
from safeguards_extproc.rpc.connection import Connection
from safeguards_extproc.rpc.status import Status
from tests.adapters.standins import Counts, Echo, Memory, Scores, Scripted

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (Path(sys.executable).with_name("envoy").exists() or shutil.which("envoy")), reason="no envoy: make setup"
    ),
]

DUPLEX, BUFFERED = "FULL_DUPLEX_STREAMED", "BUFFERED"
HERE = Path(__file__).parent
CHUNK = 1000


def configuration(mode: str) -> dict[str, Any]:
    """echo.yaml with `mode` for both bodies, and trailers where the mode allows them."""
    document = copy.deepcopy(envoy.load(HERE / "echo.yaml"))
    manager = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"][0]["typed_config"]["processing_mode"].update(
        request_body_mode=mode, response_body_mode=mode, request_trailer_mode="SEND", response_trailer_mode="SEND"
    )
    return document


def chunked(data: bytes, *, trailers: bool) -> bytes:
    """HTTP/1.1 chunked coding, in chunks of CHUNK bytes."""
    parts = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return coded + b"0\r\n" + (b"x-sum: 7\r\n" if trailers else b"") + b"\r\n"


async def unchunked(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A chunked body and its trailers; IncompleteReadError if the transfer breaks."""
    data = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        data += (await reader.readexactly(size + 2))[:-2]
    trailers = b""
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        trailers += line
    return data, trailers


async def received(reader: asyncio.StreamReader) -> tuple[bytes, bytes, bytes]:
    """A message: its head, its body, its trailers."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"transfer-encoding: chunked" in head:
        return head, *(await unchunked(reader))
    length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
    return head, await reader.readexactly(length), b""


@dataclass
class Upstream:
    """A model server: sends `answer`, `pause` before each piece, and remembers what it got."""

    answer: bytes = b"hello"
    trailers: bool = False
    pieces: int = 1
    pause: Callable[[int], Awaitable[None]] | None = None
    bodies: list[tuple[bytes, bytes]] = field(default_factory=list)
    contacted: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.contacted += 1
            _, data, trailers = await received(reader)
            self.bodies.append((data, trailers))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n")
            writer.write(b"trailer: x-sum\r\n\r\n" if self.trailers else b"\r\n")
            coded = chunked(self.answer, trailers=self.trailers)
            size = -(-len(coded) // self.pieces)
            for number in range(self.pieces):
                if self.pause is not None:
                    await self.pause(number)
                writer.write(coded[number * size : (number + 1) * size])
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # Envoy has gone
        finally:
            writer.close()


@dataclass
class Front:
    """A running Envoy, seen by a client."""

    url: str
    running: envoy.Envoy

    async def post(self, data: bytes, *, trailers: bool = False) -> tuple[int, bytes, bytes]:
        """Status, body and trailers; IncompleteReadError if the transfer breaks off."""
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            head = b"POST /v1 HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\n"
            writer.write(head + b"transfer-encoding: chunked\r\n\r\n" + chunked(data, trailers=trailers))
            start, body, end = await received(reader)
            return int(start.split()[1]), body, end
        finally:
            writer.close()

    def count(self, name: str) -> int:
        """One of Envoy's counters for the filter."""
        return self.running.stats("http.front.ext_proc").get(f"http.front.ext_proc.{name}", 0)


@asynccontextmanager
async def front(mode: str, upstream: Upstream, socket: Path, folder: Path) -> AsyncIterator[Front]:
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    started = envoy.start(configuration(mode), envoy.Addresses(f"127.0.0.1:{port}", (f"unix://{socket}",)), folder)
    try:
        yield Front(started.url, started)
    finally:
        processes.stop(started.part)
        server.close()


@dataclass
class Filter:
    """The server under test, in this process."""

    shared: Shared
    sink: Memory
    counts: Counts
    server: Server


@asynccontextmanager
async def served(begin: Callable[[Opened, float], Exchange], socket: Path) -> AsyncIterator[Filter]:
    sink, counts, health = Memory(), Counts(), Health()
    health.set("policy", Component.READY)
    shared = Shared(begin, Scores(), sink, counts)
    settings = ServerSettings(parse(f"unix://{socket}"), drain_delay_s=0.0, drain_limit_s=0.2)
    server = Server(shared, health, settings)
    await server.start()
    yield Filter(shared, sink, counts, server)
    await server.drain()


@pytest.mark.parametrize("mode", [DUPLEX, BUFFERED])
@pytest.mark.parametrize("size", [0, 1, 5_000, 300_000])
@pytest.mark.parametrize("trailers", [False, True], ids=["", "trailers"])
async def test_bytes_go_through_as_they_are(tmp_path: Path, mode: str, size: int, trailers: bool) -> None:
    """Both bodies and both trailers arrive byte for byte; Envoy finds no message of ours out of place."""
    there, back = random.Random(size).randbytes(size), random.Random(size + 1).randbytes(size)
    upstream = Upstream(back, trailers)
    async with served(Echo, tmp_path / "s") as it, front(mode, upstream, tmp_path / "s", tmp_path) as client:
        status, got, ending = await client.post(there, trailers=trailers)
        assert (200, back) == (status, got)
        assert [(there, b"x-sum: 7\r\n" if trailers else b"")] == upstream.bodies
        assert trailers is (b"x-sum: 7" in ending)
        await settle(lambda: it.counts.closed == ["complete"])
        assert (client.count("spurious_msgs_received"), [record.termination for record in it.sink.records]) == (
            0,
            ["complete"],
        )


async def settle(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 (what tests wait for has no event)
            await asyncio.sleep(0.005)


def rewriting(_opened: Opened, _at: float) -> Scripted:
    """Replaces a buffered request body, sets and removes a header, and keeps the content-length right."""

    def react(exchange: Scripted, event: Event) -> list[Effect]:
        match event:
            case Headers(direction=direction):
                return [*(exchange.keep() if direction is Direction.RESPONSE else []), SendHeaders(direction)]
            case Body(direction=Direction.REQUEST):
                return [AnswerBody(Direction.REQUEST, b"clean", [("content-length", "5"), ("x-seen", "yes")], ["te"])]
            case Body(direction=direction):
                return [AnswerBody(direction, b"", [("content-length", "0")], metadata={"verdict": "allow"})]
            case _:
                return []

    return Scripted(react)


async def test_a_buffered_body_is_replaced_and_cleared(tmp_path: Path) -> None:
    """Envoy takes our mutations: another request body, no response body."""
    upstream = Upstream(b"something")
    async with served(rewriting, tmp_path / "s"), front(BUFFERED, upstream, tmp_path / "s", tmp_path) as client:
        assert await client.post(b"dirty words") == (200, b"", b"")
        assert upstream.bodies == [(b"clean", b"")]
        assert client.count("spurious_msgs_received") == 0


def refusing(_opened: Opened, _at: float) -> Scripted:
    def react(exchange: Scripted, event: Event) -> list[Effect]:
        if isinstance(event, Body) and event.end and not exchange.finished:
            refusal = Refuse(403, [("content-type", "application/json")], b'{"error":1}', "safeguards_policy")
            return [*exchange.keep("refused"), refusal]
        return []

    return Scripted(react)


async def test_a_refusal_reaches_the_client_and_nothing_the_upstream(tmp_path: Path) -> None:
    """Held headers, then an answer of our own after the body."""
    upstream = Upstream()
    async with served(refusing, tmp_path / "s") as it, front(DUPLEX, upstream, tmp_path / "s", tmp_path) as client:
        assert await client.post(b"x" * 5000) == (403, b'{"error":1}', b"")
        assert upstream.contacted == 0
        await settle(lambda: it.counts.closed == ["complete"])


class Early:
    """The planted fault: ends, with OK, once it has seen a response's headers."""

    def __init__(self, call: Call, seen: list[bytes]) -> None:
        self._call, self._seen = call, seen

    def message(self, data: bytes) -> None:
        event = extproc.decode(data)
        if isinstance(event, Headers) and event.direction is Direction.RESPONSE:
            self._call.end(Status.OK)
        elif isinstance(event, Body):
            self._seen.append(event.data)
            self._call.send(extproc.encode(SendBody(event.direction, event.data, event.end)))
        else:
            self._call.send(extproc.encode(SendHeaders(event.direction)))

    def half_closed(self) -> None:
        self._call.end(Status.OK)

    def gone(self) -> None: ...


async def test_an_early_return_would_be_a_bypass(tmp_path: Path) -> None:
    """The planted fault: Envoy, set to fail closed, gives the client a whole answer that no filter saw."""
    told: list[Front] = []

    async def pause(number: int) -> None:
        await settle(lambda: told[0].count("streams_closed") == 1)

    upstream, socket = Upstream(b"unscanned" * 1000, pause=pause), tmp_path / "s"
    seen: list[bytes] = []
    server = RpcServer({extproc.METHOD: lambda call: Early(call, seen)})
    await server.listen(Address(path=str(socket)))
    try:
        async with front(DUPLEX, upstream, socket, tmp_path) as client:
            told.append(client)
            status, got, _ = await client.post(b"hello")
    finally:
        await server.close(0)
    assert b"".join(seen) == b"hello"
    assert (status, got) == (200, b"unscanned" * 1000)


def failing(_opened: Opened, _at: float) -> Scripted:
    """Breaks where the planted fault returns."""

    def react(_: Scripted, event: Event) -> list[Effect]:
        match event:
            case Headers(direction=Direction.RESPONSE):
                raise ValueError("a bug")
            case Headers(direction=direction):
                return [SendHeaders(direction)]
            case Body(direction=direction, data=data, end=end):
                return [SendBody(direction, data, end)]
            case _:
                return []

    return Scripted(react)


async def test_a_bug_at_the_same_place_lets_nothing_through(tmp_path: Path) -> None:
    """The law: where our handler cannot go on it ends with an error, and the client gets none of the answer."""
    upstream = Upstream(b"unscanned" * 1000)
    async with served(failing, tmp_path / "s") as it, front(DUPLEX, upstream, tmp_path / "s", tmp_path) as client:
        status, got, _ = await client.post(b"hello")
        assert status == 500
        assert b"unscanned" not in got
        assert b"a bug" not in got
        assert [record.termination for record in it.sink.records] == ["error"]


@contextmanager
def program(socket: Path, folder: Path) -> Iterator[processes.Part]:
    """The server in a process of its own."""
    argv = [sys.executable, "-m", "tests.envoy.echo_program", str(socket)]
    part = processes.start("filter", argv, folder / "filter.log", env={"PYTHONPATH": str(HERE.parents[1])})
    try:
        processes.wait(part, lambda: processes.accepts(socket), timeout_s=20)
        yield part
    finally:
        processes.stop(part)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM past its limit"])
async def test_a_filter_that_ends_in_mid_stream_breaks_the_transfer(tmp_path: Path, how: str) -> None:
    """The client must be able to tell a broken answer from a whole one."""
    socket, halfway = tmp_path / "s", asyncio.Event()

    async def pause(number: int) -> None:
        if number == 5:
            halfway.set()
            await asyncio.sleep(3600)

    upstream = Upstream(b"x" * 100_000, pieces=10, pause=pause)
    with program(socket, tmp_path) as part:
        async with front(DUPLEX, upstream, socket, tmp_path) as client:
            asking = asyncio.create_task(client.post(b"hello"))
            await asyncio.wait_for(halfway.wait(), 10)
            await settle(lambda: client.count("stream_msgs_received") > 3)
            if how == "SIGKILL":
                part.process.kill()
            else:
                part.process.terminate()
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await asyncio.wait_for(asking, 10)


async def test_keepalive_does_not_end_a_quiet_stream(tmp_path: Path) -> None:
    """Envoy pings every 0.6 s, and each is answered. (A server may take that for an attack: gRPC's own does.)"""

    async def pause(number: int) -> None:
        if number == 1:
            await asyncio.sleep(3)

    upstream = Upstream(b"x" * 10_000, pieces=2, pause=pause)
    async with served(Echo, tmp_path / "s"), front(DUPLEX, upstream, tmp_path / "s", tmp_path) as client:
        assert await client.post(b"hello") == (200, b"x" * 10_000, b"")


async def test_the_check_of_the_keepalive_bites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers no ping is cut off by Envoy in the middle."""
    monkeypatch.setattr(Connection, "_ping", lambda *_: None)

    async def pause(number: int) -> None:
        if number == 1:
            await asyncio.sleep(8)

    upstream = Upstream(b"x" * 10_000, pieces=2, pause=pause)
    async with served(Echo, tmp_path / "s"), front(DUPLEX, upstream, tmp_path / "s", tmp_path) as client:
        with pytest.raises(asyncio.IncompleteReadError):
            await client.post(b"hello")
