"""The gRPC server: its ports, its options, and how it goes down.

Going down: health says NOT_SERVING at once, so that Envoy looks elsewhere; after `drain_delay_s` no new stream is
taken; streams that run go on until they end, for at most `drain_limit_s`; what is left then ends with an error.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from safeguards_extproc.adapters import extproc
from safeguards_extproc.adapters.health import Health
from safeguards_extproc.adapters.listener import Address
from safeguards_extproc.adapters.rpc_server import RpcServer
from safeguards_extproc.adapters.shared import Shared
from safeguards_extproc.adapters.shedding import Shedding
from safeguards_extproc.adapters.stream import Stream
from safeguards_extproc.adapters.tls import Certificates
from safeguards_extproc.core import COMPILED
from safeguards_extproc.rpc.call import Call, Owner
from safeguards_extproc.rpc.connection import Limits
from safeguards_extproc.rpc.status import Status

CLOSING_S = 2.0
"""How long the last streams have to carry their error to Envoy once the drain's limit has passed."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`health` is a second, plaintext port with health alone (Kubernetes probes speak no TLS); None for none.

    `drain_delay_s` must be more than Envoy's health check interval times its unhealthy threshold.
    `max_concurrent_streams` is per HTTP/2 connection: Envoy opens another one when it is reached.
    """

    listen: Address
    health: Address | None = None
    socket_mode: int = 0o660
    drain_delay_s: float = 5.0
    drain_limit_s: float = 600.0
    max_message_bytes: int = 64 << 20
    max_concurrent_streams: int = 1000


class Processor:
    """Answers `envoy.service.ext_proc.v3.ExternalProcessor/Process`."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def begin(self, call: Call) -> Owner | None:
        """The stream that answers the call, unless it is refused."""
        refusal = self._shared.refusal()
        if not refusal:
            return Stream(self._shared, call)
        self._shared.telemetry.stream_refused(refusal)
        if refusal == "shutdown":
            call.end(Status.UNAVAILABLE, "shutting down")
        else:
            call.end(Status.RESOURCE_EXHAUSTED, "overloaded")
        return None


class Probes:
    """Serves health alone, in plaintext: Kubernetes probes speak no TLS."""

    def __init__(self, health: Health, address: Address, socket_mode: int = 0o660) -> None:
        self._address, self._mode = address, socket_mode
        self._server = RpcServer(health.methods)

    async def start(self) -> int:
        """Listen; the port, 0 for a Unix socket. Raises ConfigError if that fails."""
        return await self._server.listen(self._address, self._mode)

    async def stop(self) -> None:
        """Who watches hears the last state first."""
        await self._server.close(CLOSING_S)


class Server:
    """Serves streams and health on `settings.listen`, health alone on `settings.health`."""

    def __init__(
        self,
        shared: Shared,
        health: Health,
        settings: ServerSettings,
        certificates: Certificates | None = None,
        shedding: Shedding | None = None,
    ) -> None:
        self._shared, self._health, self._settings = shared, health, settings
        self._certificates = certificates
        limits = Limits(calls=settings.max_concurrent_streams, message=settings.max_message_bytes)
        methods = {extproc.METHOD: Processor(shared).begin, **health.methods}
        self._main = RpcServer(methods, limits, shedding, shared.turns)
        self._probes = Probes(health, settings.health, settings.socket_mode) if settings.health is not None else None
        self._cut = asyncio.Event()

    async def start(self) -> tuple[int, int]:
        """Listen; the ports of both listeners, 0 for a Unix socket or none. Raises ConfigError if that fails."""
        settings = self._settings
        main = await self._main.listen(settings.listen, settings.socket_mode, self._certificates)
        probes = await self._probes.start() if self._probes is not None else 0
        log.info("listening", address=str(settings.listen), tls=self._certificates is not None, compiled=COMPILED)
        return main, probes

    async def run(self, reload: Callable[[], None] = lambda: None) -> bool:
        """Until SIGTERM or SIGINT, then drain; SIGHUP calls `reload`. A second signal ends what is left at once.

        Whether every stream ended by itself.
        """
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()

        def ask() -> None:
            if asked.is_set():
                self.cut()
            asked.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ask)
        loop.add_signal_handler(signal.SIGHUP, reload)
        try:
            await asked.wait()
            return await self.drain()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def drain(self) -> bool:
        """Go down as the module says; whether every stream ended by itself. Ends within delay, limit and CLOSING_S."""
        settings, shared = self._settings, self._shared
        self._health.drain()
        shared.telemetry.draining(time.time() + settings.drain_delay_s + settings.drain_limit_s)
        log.info("draining", streams=len(shared.streams))
        cut = asyncio.ensure_future(self._cut.wait())
        await asyncio.wait({cut}, timeout=settings.drain_delay_s)
        empty = asyncio.ensure_future(shared.empty())
        self._main.refuse()
        await asyncio.wait({empty, cut}, timeout=settings.drain_limit_s, return_when=asyncio.FIRST_COMPLETED)
        complete = empty.done()
        if not complete:
            log.warning("streams cut", streams=len(shared.streams))
            for stream in list(shared.streams):
                stream.stop()
        for waiting in (empty, cut):
            waiting.cancel()
        self._health.close()
        await self._main.close(CLOSING_S)
        if self._probes is not None:
            await self._probes.stop()
        return complete

    def cut(self) -> None:
        """Drain no longer: what is left ends now."""
        self._cut.set()
