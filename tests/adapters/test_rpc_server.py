"""The server's sockets: who may listen where, and what becomes of connections when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from safeguards_extproc.adapters.listener import Address
from safeguards_extproc.adapters.rpc_server import UNWRITTEN, RpcServer
from safeguards_extproc.adapters.shedding import Shedding
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.rpc import frames
from safeguards_extproc.rpc.call import Call
from safeguards_extproc.rpc.connection import Connection, Limits
from tests.rpc.talk import Echo, Silent

LOCAL = Address(host="127.0.0.1")


async def asked(target: str, *messages: bytes) -> list[bytes]:
    """What a gRPC client hears that says these."""
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.stream_stream("/test/Echo", None, None)(iter(messages))
        return [message async for message in call]


async def test_the_address_of_every_interface_takes_both_families() -> None:
    """ ":port" is what Kubernetes writes; the machine may have IPv6 or not."""
    server = RpcServer({"/test/Echo": Echo})
    port = await server.listen(Address())
    targets = [f"127.0.0.1:{port}", *([f"[::1]:{port}"] if socket.has_dualstack_ipv6() else [])]
    for target in targets:
        assert await asked(target, b"hello", b"there") == [b"hello", b"there"]
    await server.close(1)


async def test_a_name_is_listened_on_wherever_it_leads() -> None:
    """One port for all of its addresses."""
    server = RpcServer({"/test/Echo": Echo})
    port = await server.listen(Address(host="localhost"))
    assert await asked(f"localhost:{port}", b"hello") == [b"hello"]
    await server.close(1)


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
async def test_a_host_that_is_not_ours_is_an_error(host: str) -> None:
    """Said with the address, before anything is served."""
    with pytest.raises(ConfigError, match="cannot listen"):
        await RpcServer({}).listen(Address(host=host))


async def test_a_socket_is_taken_away_unless_somebody_else_has_it(tmp_path: Path) -> None:
    """The next process may listen already while this one drains."""
    path = tmp_path / "s"
    first, second = RpcServer({"/test/Echo": Echo}), RpcServer({"/test/Echo": Echo})
    await first.listen(Address(path=str(path)))
    os.unlink(path)
    await second.listen(Address(path=str(path)))
    await first.close(1)
    assert await asked(f"unix:{path}", b"hello") == [b"hello"]
    await second.close(1)
    assert not path.exists()


async def greeted(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client of HTTP/2 that has said no more than it must."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(frames.PREFACE + frames.settings({}))
    await reader.readexactly(9)
    return reader, writer


async def test_a_client_that_answers_nothing_does_not_hold_the_end_up() -> None:
    """Closing waits for calls and for the client's answer, and no longer than it may."""
    server = RpcServer({"/test/Echo": Echo})
    reader, writer = await greeted(await server.listen(LOCAL))
    await asyncio.wait_for(server.close(0.05), 5)
    with contextlib.suppress(ConnectionError):
        assert (await reader.read()).endswith(b"draining")
    writer.close()


async def test_a_bug_costs_its_connection_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is logged without what was received, and others are served."""
    server = RpcServer({"/test/Echo": Echo})
    port = await server.listen(LOCAL)
    receive = Connection.receive

    def broken(self: Connection, data: bytes) -> None:
        if b"secret" in data:
            raise ValueError(data)
        receive(self, data)

    monkeypatch.setattr(Connection, "receive", broken)
    reader, writer = await greeted(port)
    writer.write(b"secret")
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert await asked(f"127.0.0.1:{port}", b"hello") == [b"hello"]
    said = capsys.readouterr().out
    assert "connection failed" in said
    assert "secret" not in said
    await server.close(1)


async def test_a_client_that_reads_nothing_holds_itself_back() -> None:
    """Its window is wide open, its socket full: we keep no more of our answers than we may, and go on when it reads."""
    calls: list[Call] = []

    class Loud(Silent):
        def __init__(self, call: Call) -> None:
            super().__init__(call)
            calls.append(call)

        def message(self, data: bytes) -> None:
            super().message(data)
            self.call.send(b"x" * 200_000)

    server = RpcServer({"/test/Echo": Loud}, Limits(window=1 << 20))
    reader, writer = await greeted(await server.listen(LOCAL))
    wide = frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31 - 1}) + frames.window_update(0, 2**30)
    heads = [b":method", b"POST", b":path", b"/test/Echo", b"content-type", b"application/grpc"]
    block = b"".join(
        b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value
        for name, value in zip(heads[::2], heads[1::2], strict=True)
    )
    writer.write(wide + frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block))
    await until(lambda: bool(calls))
    owner, sent = calls[0].owner, 0
    assert isinstance(owner, Loud)
    while len(owner.heard) == sent:  # until one is kept back
        sent += 1
        writer.write(frames.frame(frames.DATA, 0, 1, b"\0\0\0\0\1x"))
        await until(lambda: len(owner.heard) == sent or calls[0].unsent > 0)  # noqa: B023
    assert UNWRITTEN < sent * 200_000 < 8 * UNWRITTEN + (4 << 20), "the kernel's buffers, and ours"
    assert calls[0].unsent < 2 * UNWRITTEN
    total = 0
    while total < sent * 200_000:
        total += len(await asyncio.wait_for(reader.read(1 << 20), 10))
    assert len(owner.heard) == sent
    writer.close()
    await server.close(1)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 (what tests wait for has no event)
            await asyncio.sleep(0.002)


async def test_a_connection_that_was_on_its_way_is_sent_away() -> None:
    """Its handshake ends after the server began to go: it is told as all others were."""
    server = RpcServer({"/test/Echo": Echo})
    peer = server._peer()
    server.refuse()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop, said = asyncio.get_running_loop(), b""
    await loop.connect_accepted_socket(lambda: peer, ours)
    warning = frames.goaway(frames.LAST_STREAM, frames.ErrorCode.NO_ERROR) + frames.ping(b"draining", ack=False)
    async with asyncio.timeout(5):
        while not said.endswith(warning):
            said += await loop.sock_recv(theirs, 1000)
    theirs.close()
    await server.close(1)


async def test_closing_waits_for_the_calls_under_way() -> None:
    """They end by themselves, and the server ends with the last."""
    calls: list[Call] = []

    class Slow(Echo):
        def __init__(self, call: Call) -> None:
            super().__init__(call)
            calls.append(call)

    server = RpcServer({"/test/Echo": Slow})
    port = await server.listen(LOCAL)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream("/test/Echo", None, None)(None)
        await call.write(b"hello")
        assert await call.read() == b"hello"
        closing: Awaitable[None] = asyncio.ensure_future(server.close(10))
        await call.write(b"still here")
        assert await call.read() == b"still here"
        await call.done_writing()
        assert grpc.StatusCode.OK is await call.code()
        await asyncio.wait_for(closing, 5)
    assert [call.over for call in calls] == [True]


async def test_how_long_messages_wait_is_asked_where_something_comes() -> None:
    """gRPC's own client answers; one that says nothing is asked nothing."""
    waits: list[float] = []
    server = RpcServer({"/test/Echo": Echo}, shedding=Shedding(0.0, waits.append))
    port = await server.listen(LOCAL)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.stream_stream("/test/Echo", None, None)(None)
        while not waits:
            await call.write(b"hello")
            assert await call.read() == b"hello"
        await call.done_writing()
        assert not await call.read()
    assert all(0 < wait < 5 for wait in waits)
    await server.close(1)
