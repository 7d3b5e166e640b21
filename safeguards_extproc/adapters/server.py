"""The gRPC server: its ports, its options, and how it goes down.

Going down: health says NOT_SERVING at once, so that Envoy looks elsewhere; after `drain_delay_s` no new stream is
taken; streams that run go on until they end, for at most `drain_limit_s`; what is left then ends with an error.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass

import grpc
import structlog

from safeguards_extproc.adapters import extproc
from safeguards_extproc.adapters.health import Health
from safeguards_extproc.adapters.listener import Address, binding
from safeguards_extproc.adapters.shared import Shared
from safeguards_extproc.adapters.stream import Stream
from safeguards_extproc.adapters.tls import Certificates
from safeguards_extproc.errors import ConfigError

CLOSING_S = 2.0
"""How long the last streams have to carry their error to Envoy once the drain's limit has passed."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`health` is a second, plaintext port with health alone (Kubernetes probes speak no TLS); None for none.

    `drain_delay_s` must be more than Envoy's health check interval times its unhealthy threshold.
    `max_concurrent_streams` is per HTTP/2 connection: Envoy opens another one when it is reached.
    `min_ping_interval_ms` must be less than Envoy's `connection_keepalive.interval`, or long streams are cut.
    """

    listen: Address
    health: Address | None = None
    socket_mode: int = 0o660
    drain_delay_s: float = 5.0
    drain_limit_s: float = 600.0
    max_message_bytes: int = 64 << 20
    max_concurrent_streams: int = 1000
    min_ping_interval_ms: int = 500

    def options(self) -> list[tuple[str, int]]:
        """grpc core's channel arguments."""
        return [
            ("grpc.so_reuseport", 0),  # a second process on the same port is an error, not a lottery
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_concurrent_streams", self.max_concurrent_streams),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", self.min_ping_interval_ms),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_ping_strikes", 0),
        ]


class Processor(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # not generic when it runs
    """Answers `envoy.service.ext_proc.v3.ExternalProcessor/Process`, on raw bytes."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._handler = grpc.stream_stream_rpc_method_handler(self._process)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._handler if handler_call_details.method == extproc.METHOD else None

    async def _process(self, _: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        refusal = self._shared.refusal()
        if refusal:
            self._shared.telemetry.stream_refused(refusal)
            if refusal == "shutdown":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded")
        await Stream(self._shared, context).run()


class Probes:
    """Serves health alone, in plaintext: Kubernetes probes speak no TLS."""

    def __init__(self, health: Health, address: Address, socket_mode: int = 0o660) -> None:
        self._address, self._mode = address, socket_mode
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        health.add_to(self._server)

    async def start(self) -> int:
        """Listen; the port, 0 for a Unix socket. Raises ConfigError if that fails."""
        port = _bind(self._server, self._address, self._mode, None)
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Who watches hears the last state first."""
        await self._server.stop(CLOSING_S)


class Server:
    """Serves streams and health on `settings.listen`, health alone on `settings.health`."""

    def __init__(
        self, shared: Shared, health: Health, settings: ServerSettings, certificates: Certificates | None = None
    ) -> None:
        self._shared, self._health, self._settings = shared, health, settings
        self._certificates = certificates
        self._main = grpc.aio.server(options=settings.options())
        self._main.add_generic_rpc_handlers((Processor(shared),))
        health.add_to(self._main)
        self._probes = Probes(health, settings.health, settings.socket_mode) if settings.health is not None else None
        self._cut = asyncio.Event()

    async def start(self) -> tuple[int, int]:
        """Listen; the ports of both listeners, 0 for a Unix socket or none. Raises ConfigError if that fails."""
        settings = self._settings
        credentials = self._certificates.credentials() if self._certificates is not None else None
        ports = [_bind(self._main, settings.listen, settings.socket_mode, credentials), 0]
        if self._probes is not None:
            ports[1] = await self._probes.start()
        await self._main.start()
        log.info("listening", address=str(settings.listen), tls=credentials is not None)
        return ports[0], ports[1]

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
        log.info("draining", streams=len(shared.streams))
        cut = asyncio.ensure_future(self._cut.wait())
        await asyncio.wait({cut}, timeout=settings.drain_delay_s)
        empty = asyncio.ensure_future(shared.empty())
        stopped = asyncio.ensure_future(self._main.stop(settings.drain_limit_s + CLOSING_S))
        await asyncio.wait({empty, cut}, timeout=settings.drain_limit_s, return_when=asyncio.FIRST_COMPLETED)
        complete = empty.done()
        if not complete:
            log.warning("streams cut", streams=len(shared.streams))
            for stream in list(shared.streams):
                stream.stop()
        for waiting in (empty, cut):
            waiting.cancel()
        self._health.close()
        await stopped
        if self._probes is not None:
            await self._probes.stop()
        return complete

    def cut(self) -> None:
        """Drain no longer: what is left ends now."""
        self._cut.set()


def _bind(server: grpc.aio.Server, address: Address, mode: int, credentials: grpc.ServerCredentials | None) -> int:
    try:
        with binding(address, mode):
            if credentials is not None:
                port = server.add_secure_port(address.target, credentials)
            else:
                port = server.add_insecure_port(address.target)
    except RuntimeError:
        raise ConfigError(
            "cannot listen", where=str(address), hint="is the port taken, the host one of ours?"
        ) from None
    return 0 if address.path else port
