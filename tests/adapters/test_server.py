"""The whole server on real ports: both services, overload, and going down without losing a stream."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from safeguards_extproc.adapters.health import Component, Health
from safeguards_extproc.adapters.listener import Address, parse
from safeguards_extproc.adapters.server import Server, ServerSettings
from safeguards_extproc.adapters.shared import Shared
from safeguards_extproc.adapters.tls import Certificates
from safeguards_extproc.errors import ConfigError
from tests.adapters.peer import DUPLEX, Call, body, headers
from tests.adapters.standins import Counts, Echo, Memory, Scores
from tests.adapters.test_tls import PEM, pair, pem, write

QUICK = ServerSettings(Address(host="127.0.0.1"), Address(host="127.0.0.1"), drain_delay_s=0.0, drain_limit_s=5.0)


class Running:
    """A server that listens, and a channel to each of its ports."""

    def __init__(self, settings: ServerSettings, certificates: Certificates | None = None) -> None:
        self.health, self.sink, self.counts = Health(), Memory(), Counts()
        self.health.set("policy", Component.READY)
        self.shared = Shared(Echo, Scores(), self.sink, self.counts)
        self.server = Server(self.shared, self.health, settings, certificates)
        self.main: grpc.aio.Channel
        self.probes: grpc.aio.Channel

    async def check(self, channel: grpc.aio.Channel, service: str = "") -> int:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)

    async def streaming(self) -> Call:
        """A stream that has begun and has had its first answer."""
        call = Call(self.main)
        await call.say(headers("request", mode=DUPLEX))
        assert await call.hear() == "request_headers"
        return call

    async def finish(self, call: Call) -> tuple[grpc.StatusCode, str]:
        await call.say(headers("response", end=True))
        assert await call.hear() == "response_headers"
        return await call.close()


@asynccontextmanager
async def running(settings: ServerSettings = QUICK) -> AsyncIterator[Running]:
    it = Running(settings)
    port, probes = await it.server.start()
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.max_receive_message_length", -1)]) as it.main,
        grpc.aio.insecure_channel(f"127.0.0.1:{probes}") as it.probes,
    ):
        yield it
        it.server.cut()
        await it.server.drain()


async def test_both_ports_answer_health_and_one_takes_streams() -> None:
    """Health is asked beside the streams by Envoy, and apart from them by Kubernetes."""
    async with running() as it:
        assert [await it.check(it.main), await it.check(it.probes)] == [1, 1]
        assert await it.finish(await it.streaming()) == (grpc.StatusCode.OK, "")
        stranger = Call(it.probes)
        assert grpc.StatusCode.UNIMPLEMENTED is (await stranger.ended())[0]


async def test_a_unix_socket_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    """Only the group that runs Envoy gets in."""
    path = tmp_path / "s"
    it = Running(replace(QUICK, listen=parse(f"unix://{path}"), socket_mode=0o660))
    assert (await it.server.start())[0] == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    async with grpc.aio.insecure_channel(f"unix:{path}") as it.main:
        assert await it.finish(await it.streaming()) == (grpc.StatusCode.OK, "")
    await it.server.drain()


async def test_a_taken_port_is_said() -> None:
    """Two processes on one port would each get half of the traffic."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        it = Running(replace(QUICK, listen=Address(host="127.0.0.1", port=port)))
        with pytest.raises(ConfigError, match="cannot listen"):
            await it.server.start()
        await it.server.drain()


async def test_two_servers_do_not_share_a_port() -> None:
    """Also where both are ours."""
    first = Running(QUICK)
    port, _ = await first.server.start()
    second = Running(replace(QUICK, listen=Address(host="127.0.0.1", port=port)))
    with pytest.raises(ConfigError, match="cannot listen"):
        await second.server.start()
    for it in (first, second):
        await it.server.drain()


async def test_streams_go_through_mutual_tls_and_probes_without(tmp_path: Path) -> None:
    """The main port asks for a certificate, the health port does not."""
    authority = pair("authority")
    root = authority[0].public_bytes(PEM)
    it = Running(QUICK, Certificates(write(tmp_path, *pem(pair("server", authority)), root)))
    port, probes = await it.server.start()
    certificate, key = pem(pair("envoy", authority))
    credentials = grpc.ssl_channel_credentials(root, key, certificate)
    async with (
        grpc.aio.secure_channel(f"localhost:{port}", credentials) as it.main,
        grpc.aio.insecure_channel(f"127.0.0.1:{probes}") as it.probes,
    ):
        assert await it.finish(await it.streaming()) == (grpc.StatusCode.OK, "")
        assert await it.check(it.probes) == 1
    await it.server.drain()


async def test_a_body_of_many_megabytes_fits() -> None:
    """grpc's own limit of 4 MiB does not stand in the way of buffered bodies."""
    async with running() as it:
        call = await it.streaming()
        data = b"x" * (6 << 20)
        await call.say(body("request", data))
        assert data == await call.hear()


async def test_draining_lets_streams_end_and_takes_no_new_ones() -> None:
    """Health says so first; what runs goes on to its end; liveness never changes."""
    async with running(replace(QUICK, drain_delay_s=0.1)) as it:
        call = await it.streaming()
        draining = asyncio.create_task(it.server.drain())
        await asyncio.sleep(0)
        assert [await it.check(it.probes), await it.check(it.probes, "liveness")] == [2, 1]
        late = await it.streaming()  # Envoy may not have noticed yet: within the delay streams are taken
        assert await it.finish(late) == (grpc.StatusCode.OK, "")
        async with asyncio.timeout(5):
            while not it.shared.closing:  # noqa: ASYNC110 (set by the task under test)
                await asyncio.sleep(0.005)
        refused = Call(it.main)
        # Ours, or that of gRPC, which cancels what comes once it has begun to stop: an error to Envoy either way.
        assert (await refused.ended())[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert not draining.done()
        assert await it.finish(call) == (grpc.StatusCode.OK, "")
        assert True is await asyncio.wait_for(draining, 5)
        assert [record.termination for record in it.sink.records] == ["complete", "complete"]


async def test_draining_has_a_limit() -> None:
    """A stream that does not end is ended with an error, and its record says why; the rest is done in time."""
    async with running(replace(QUICK, drain_limit_s=0.05)) as it:
        call = await it.streaming()
        began, now = asyncio.get_running_loop().time(), time.time()
        assert False is await it.server.drain()
        assert [pytest.approx(now + 0.05, abs=1.0)] == it.counts.drain_ends
        assert asyncio.get_running_loop().time() - began < 2
        assert await call.ended() == (grpc.StatusCode.UNAVAILABLE, "shutting down")
        assert [record.termination for record in it.sink.records] == ["shutdown"]


async def test_a_watch_hears_of_the_drain_and_ends_with_it() -> None:
    """Long-lived health streams do not hold the process up."""
    async with running() as it:
        stub: Any = health_pb2_grpc.HealthStub(it.main)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="readiness"))
        assert (await watch.read()).status == 1
        hears = asyncio.ensure_future(watch.read())
        assert True is await asyncio.wait_for(it.server.drain(), 5)
        assert (await hears).status == 2
        assert grpc.StatusCode.OK is await watch.code()


async def test_signals_reload_drain_and_hurry() -> None:
    """SIGHUP reloads; SIGTERM drains; a second one does not wait for the streams."""
    reloads: list[int] = []
    async with running(replace(QUICK, drain_limit_s=60)) as it:
        serving = asyncio.create_task(it.server.run(lambda: reloads.append(1)))
        call = await it.streaming()
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            while not it.shared.closing:  # noqa: ASYNC110 (set by the task under test)
                await asyncio.sleep(0.005)
        assert reloads == [1]
        os.kill(os.getpid(), signal.SIGTERM)
        assert False is await asyncio.wait_for(serving, 5)
        assert grpc.StatusCode.UNAVAILABLE is (await call.ended())[0]
