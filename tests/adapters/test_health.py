"""What a process says of itself over grpc.health.v1, and when."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from safeguards_extproc.adapters.extproc import SERVICE
from safeguards_extproc.adapters.health import READINESS, Component, Health
from safeguards_extproc.adapters.listener import Address
from safeguards_extproc.adapters.rpc_server import RpcServer

SERVING, NOT_SERVING, UNKNOWN = "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"


def name(reply: health_pb2.HealthCheckResponse) -> str:
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


class Asker:
    """Envoy, Kubernetes or a person with a health client."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = health_pb2_grpc.HealthStub(channel)

    async def check(self, service: str) -> str:
        return name(await self._stub.Check(health_pb2.HealthCheckRequest(service=service)))

    def watch(self, service: str) -> Any:
        return self._stub.Watch(health_pb2.HealthCheckRequest(service=service))


@asynccontextmanager
async def asked(health: Health) -> AsyncIterator[Asker]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "s")
        server = RpcServer(health.methods)
        await server.listen(Address(path=path))
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            yield Asker(channel)
        await server.close(0)


@pytest.mark.parametrize(
    ("components", "ready", "degraded"),
    [
        ({}, False, []),
        ({"policy": Component.STARTING}, False, []),
        ({"policy": Component.READY}, True, []),
        ({"policy": Component.READY, "screen": Component.DOWN}, False, []),
        ({"policy": Component.READY, "screen": Component.DEGRADED}, True, ["screen"]),
    ],
)
def test_readiness_follows_the_components(components: dict[str, Component], ready: bool, degraded: list[str]) -> None:
    """What is starting or down keeps traffic away; what is degraded is said, and serves."""
    health = Health()
    for component, state in components.items():
        health.set(component, state)
    assert (ready, degraded, components) == (health.ready, health.degraded, health.components)


async def test_every_name_of_readiness_says_the_same_and_liveness_does_not_follow() -> None:
    """A process that cannot work is not restarted for it."""
    health = Health()
    async with asked(health) as asker:
        assert [await asker.check(service) for service in READINESS] == [NOT_SERVING] * 3
        assert await asker.check("liveness") == SERVING
        health.set("policy", Component.READY)
        assert [await asker.check(service) for service in ("", "readiness", SERVICE)] == [SERVING] * 3
        health.drain()
        assert [await asker.check(service) for service in READINESS] == [NOT_SERVING] * 3
        health.set("policy", Component.DEGRADED)
        assert [await asker.check(""), await asker.check("liveness")] == [NOT_SERVING, SERVING]


async def test_an_unknown_service_is_not_found() -> None:
    """Check says NOT_FOUND, Watch says SERVICE_UNKNOWN and waits, as the protocol asks."""
    health = Health()
    async with asked(health) as asker:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asker.check("something.Else")
        assert grpc.StatusCode.NOT_FOUND is caught.value.code()
        watch = asker.watch("something.Else")
        assert name(await watch.read()) == UNKNOWN


async def test_watchers_see_every_lasting_change_and_end_cleanly() -> None:
    """Two watchers, of which one leaves: the other still hears, and both ends are OK."""
    health = Health()
    async with asked(health) as asker:
        first, second = asker.watch(""), asker.watch(SERVICE)
        assert [name(await first.read()), name(await second.read())] == [NOT_SERVING, NOT_SERVING]
        health.set("policy", Component.READY)
        assert [name(await first.read()), name(await second.read())] == [SERVING, SERVING]
        health.set("screen", Component.DEGRADED)
        first.cancel()
        health.drain()
        assert name(await second.read()) == NOT_SERVING
        health.close()
        assert grpc.StatusCode.OK is await asyncio.wait_for(second.code(), 5)
        late = asker.watch("")
        assert name(await late.read()) == NOT_SERVING
        assert grpc.StatusCode.OK is await asyncio.wait_for(late.code(), 5)
