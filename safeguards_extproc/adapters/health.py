"""grpc.health.v1: whether this process can do its work, as Envoy, Kubernetes and people ask it.

Readiness follows the components that were declared; liveness does not, because a restart mends none of them. A
component that is degraded is reported and keeps the process ready: decisions are still made, by the policy's rules for
that case.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from safeguards_extproc.adapters.extproc import SERVICE

LIVENESS = "liveness"
READINESS = ("", "readiness", SERVICE)
"""The service names that say whether new streams may come."""


class Component(enum.StrEnum):
    """How a part of the process is."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    DOWN = "down"


_SERVING: int = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: int = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: int = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # made by protoc, untyped
    """The components and what follows from them; also the gRPC service that says it.

    Ready means that there is a component, none is starting or down, and the process is not draining.
    """

    def __init__(self) -> None:
        self._components: dict[str, Component] = {}
        self._draining = self._closed = False
        self._changed: set[asyncio.Event] = set()

    @property
    def components(self) -> Mapping[str, Component]:
        return dict(self._components)

    @property
    def ready(self) -> bool:
        states = self._components.values()
        return not self._draining and bool(states) and not {Component.STARTING, Component.DOWN} & set(states)

    @property
    def degraded(self) -> list[str]:
        """The components that work less well than they should."""
        return sorted(name for name, state in self._components.items() if state is Component.DEGRADED)

    def set(self, component: str, state: Component) -> None:
        """How a component is now. One that was never set does not count."""
        if self._components.get(component) is not state:
            self._components[component] = state
            self._announce()

    def drain(self) -> None:
        """From now on not ready, whatever the components say."""
        self._draining = True
        self._announce()

    def close(self) -> None:
        """End every Watch."""
        self._closed = True
        self._announce()

    def add_to(self, server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    async def Check(  # noqa: N802 (gRPC's name)
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse],
    ) -> health_pb2.HealthCheckResponse:
        status = self._status(request.service)
        if status == _UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 (gRPC's name)
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse],
    ) -> None:
        """Says the state now and whenever it changes. A reader that is slow sees the latest only."""
        changed, said = asyncio.Event(), None
        self._changed.add(changed)
        try:
            while not (self._closed and said is None):
                changed.clear()
                status = self._status(request.service)
                if status != said:
                    await context.write(health_pb2.HealthCheckResponse(status=status))
                    said = status
                if self._closed:  # only now: who watches hears the last state, though it had no turn since
                    return
                await changed.wait()
        finally:
            self._changed.discard(changed)

    def _status(self, service: str) -> int:
        if service == LIVENESS:
            return _SERVING
        if service in READINESS:
            return _SERVING if self.ready else _NOT_SERVING
        return _UNKNOWN

    def _announce(self) -> None:
        for changed in self._changed:
            changed.set()
