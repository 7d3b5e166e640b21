"""A gRPC server on sockets: `rpc.connection.Connection` for each, on asyncio.

The one rule: whatever the loop's turn brought is answered in one write, at the turn's end.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import structlog

from safeguards_extproc.adapters.listener import Address, binding
from safeguards_extproc.adapters.run_queue import RunQueue
from safeguards_extproc.adapters.shedding import EVERY_S, Shedding
from safeguards_extproc.adapters.tls import Certificates
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.rpc.call import Call, Owner
from safeguards_extproc.rpc.connection import Connection, Limits

UNWRITTEN = 256 << 10
"""Bytes that may wait for a socket before answers wait in their calls."""

PINGS = 64
"""Of a connection, that may be on their way."""

BACKLOG = 512
"""Connections that wait to be accepted."""

log = structlog.get_logger()

Methods = Mapping[str, Callable[[Call], Owner | None]]
"""Who answers each method, by its path. None: the call was ended already."""


class RpcServer:
    """Serves `methods` on every address that it listens on. `shedding` hears how long messages wait, `turns` what
    sockets bring: it has what can wait."""

    def __init__(
        self,
        methods: Methods,
        limits: Limits | None = None,
        shedding: Shedding | None = None,
        turns: RunQueue | None = None,
    ) -> None:
        self._methods, self._limits, self.shedding = methods, limits or Limits(), shedding
        self.turns = turns or RunQueue()
        self._servers: list[asyncio.Server] = []
        self._paths: list[tuple[str, tuple[int, int]]] = []
        self._peers: set[_Peer] = set()
        self._refusing = False
        self._left = asyncio.Event()

    async def listen(self, address: Address, mode: int = 0o660, certificates: Certificates | None = None) -> int:
        """Listen there too; the port, 0 for a Unix socket. Raises ConfigError."""
        loop, context = asyncio.get_running_loop(), certificates.context if certificates is not None else None
        port = 0
        try:
            with binding(address, mode):
                sockets = _unix(address.path) if address.path else await _tcp(address.host, address.port)
        except OSError as error:
            hint = f"{os.strerror(error.errno)}; is the port taken, the host one of ours?" if error.errno else ""
            raise ConfigError("cannot listen", where=str(address), hint=hint) from None
        for each in sockets:
            if address.path:
                self._paths.append((address.path, _inode(address.path)))
                server = await loop.create_unix_server(self._peer, sock=each, ssl=context, backlog=BACKLOG)
            else:
                port = each.getsockname()[1]
                server = await loop.create_server(self._peer, sock=each, ssl=context, backlog=BACKLOG)
            self._servers.append(server)
        return port

    def refuse(self) -> None:
        """Listen no more, and tell every peer to take its next call elsewhere."""
        self._refusing = True
        for server in self._servers:
            server.close()
        for path, inode in self._paths:
            if _inode(path) == inode:  # somebody else may listen there by now
                Path(path).unlink(missing_ok=True)
        self._servers, self._paths = [], []
        for peer in list(self._peers):
            peer.go_away()

    async def close(self, limit_s: float) -> None:
        """Wait for the calls under way, for at most so long; then no connection is left."""
        self.refuse()
        try:
            async with asyncio.timeout(limit_s):
                while self._peers:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            for peer in list(self._peers):
                peer.cut()

    def _peer(self) -> _Peer:
        return _Peer(self)

    def route(self, call: Call) -> Owner | None:
        """The owner of a call. None if there is no such method, or the call was ended."""
        method = self._methods.get(call.path)
        return method(call) if method is not None else None

    def came(self, peer: _Peer) -> None:
        self._peers.add(peer)
        if self._refusing:  # it was on its way, in a handshake for instance
            peer.go_away()

    def left(self, peer: _Peer) -> None:
        self._peers.discard(peer)
        self._left.set()

    def connection(self, wake: Callable[[], None], answered: Callable[[], None]) -> Connection:
        """A new one, of this server's calls and limits."""
        return Connection(self.route, wake, self._limits, answered, self.turns.ask)


class _Peer(asyncio.Protocol):
    """One socket."""

    def __init__(self, server: RpcServer) -> None:
        self._server, self._loop = server, asyncio.get_running_loop()
        self._connection = server.connection(self._soon, self._answered)
        self._shedding, self._turns = server.shedding, server.turns
        self._pings: deque[float] = deque()
        self._pinged = 0.0
        self._transport: asyncio.Transport
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._transport.set_write_buffer_limits(high=UNWRITTEN)
        self._server.came(self)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._turns.heard(len(data))
        try:
            self._connection.receive(data)
        except Exception as error:  # noqa: BLE001 (a bug of ours; its message may hold what was received)
            log.error("connection failed", error=type(error).__name__)
            self._transport.abort()
        else:
            if self._shedding is not None:
                self._ping()
            self._flush()

    def pause_writing(self) -> None:
        self._full = True
        self._connection.hold()

    def resume_writing(self) -> None:
        self._full = False
        self._connection.go_on()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost()
        self._server.left(self)

    def go_away(self) -> None:
        self._connection.go_away()

    def cut(self) -> None:
        self._transport.abort()

    def _ping(self) -> None:
        """Where something comes, ask now and then how long it waits."""
        now = time.monotonic()  # not the loop's, which stands still for a turn
        if now - self._pinged >= EVERY_S and len(self._pings) < PINGS:
            self._pinged = now
            self._pings.append(now)
            self._connection.ping()

    def _answered(self) -> None:
        if self._shedding is not None and self._pings:
            now = time.monotonic()
            self._shedding.waited(now - self._pings.popleft() + self._turns.wait_s, now)

    def _soon(self) -> None:
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._full or self._transport.is_closing():
            return
        data = self._connection.take()
        if data:
            self._transport.write(data)
        if self._connection.closed:
            self._transport.close()


def _unix(path: str) -> list[socket.socket]:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(path)
    except OSError:
        made.close()
        raise
    return [made]


async def _tcp(host: str, port: int) -> list[socket.socket]:
    """ "::" is every address of both families, or of IPv4 where the machine has no IPv6."""
    if host == "::" and socket.has_dualstack_ipv6():
        return [socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)]
    loop, made = asyncio.get_running_loop(), []
    where = "0.0.0.0" if host == "::" else host  # noqa: S104 (the operator said: every address)
    found = await loop.getaddrinfo(where, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, place in dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found):
            made.append(socket.create_server((place, port), family=family, backlog=BACKLOG))
            port = made[0].getsockname()[1]
    except OSError:
        for each in made:
            each.close()
        raise
    return made


def _inode(path: str) -> tuple[int, int]:
    try:
        found = os.lstat(path)
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino
