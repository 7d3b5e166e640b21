"""grpc.health.v1: whether this process can do its work, as Envoy, Kubernetes and people ask it.

Readiness follows the components that were declared; liveness does not, because a restart mends none of them. A
component that is degraded is reported and keeps the process ready: decisions are still made, by the policy's rules for
that case.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from safeguards_extproc.adapters.extproc import SERVICE
from safeguards_extproc.rpc.call import Call, Owner
from safeguards_extproc.rpc.status import Status

LIVENESS = "liveness"
READINESS = ("", "readiness", SERVICE)
"""The service names that say whether new streams may come."""

UNREAD = 4096
"""Bytes of states that a watcher may leave unread."""


class Component(enum.StrEnum):
    """How a part of the process is."""

    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    DOWN = "down"


_SERVING: int = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: int = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: int = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """The components and what follows from them; also the gRPC service that says it.

    Ready means that there is a component, none is starting or down, and the process is not draining.
    """

    def __init__(self) -> None:
        self._components: dict[str, Component] = {}
        self._draining = self._closed = False
        self._watches: set[_Watch] = set()

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

    @property
    def methods(self) -> dict[str, Callable[[Call], Owner]]:
        """The service, for an RpcServer."""
        return {"/grpc.health.v1.Health/Check": self._check, "/grpc.health.v1.Health/Watch": self._watch}

    def _check(self, call: Call) -> Owner:
        return _Check(call, self._status)

    def _watch(self, call: Call) -> Owner:
        return _Watch(call, self._status, self._watches, self._closed)

    def _status(self, service: str) -> int:
        if service == LIVENESS:
            return _SERVING
        if service in READINESS:
            return _SERVING if self.ready else _NOT_SERVING
        return _UNKNOWN

    def _announce(self) -> None:
        for watch in list(self._watches):
            watch.say(last=self._closed)


class _Check:
    """One question, one answer."""

    def __init__(self, call: Call, status: Callable[[str], int]) -> None:
        self._call, self._status = call, status

    def message(self, data: bytes) -> None:
        service = _service(data)
        status = _UNKNOWN if service is None else self._status(service)
        if status == _UNKNOWN:
            self._call.end(Status.NOT_FOUND, "unknown service")
            return
        self._call.send(health_pb2.HealthCheckResponse(status=status).SerializeToString())
        self._call.end(Status.OK)

    def half_closed(self) -> None:
        self._call.end(Status.INVALID_ARGUMENT, "nothing was asked")

    def gone(self) -> None: ...


class _Watch:
    """Says the state now and whenever it changes."""

    def __init__(self, call: Call, status: Callable[[str], int], watches: set[_Watch], last: bool) -> None:
        self._call, self._status, self._watches, self._last = call, status, watches, last
        self._service: str | None = None
        self._said: int | None = None

    def message(self, data: bytes) -> None:
        if self._service is not None:
            return
        self._service = _service(data)
        if self._service is None:
            self._end(Status.INVALID_ARGUMENT, "not a HealthCheckRequest")
            return
        self._watches.add(self)
        self.say(last=self._last)

    def say(self, *, last: bool) -> None:
        """Who watches hears the `last` state too."""
        status = self._status(self._service or "")
        if status != self._said:
            self._said = status
            self._call.send(health_pb2.HealthCheckResponse(status=status).SerializeToString())
        if self._call.unsent > UNREAD:
            self._end(Status.RESOURCE_EXHAUSTED, "too slow")
        elif last:
            self._end(Status.OK)

    def half_closed(self) -> None:
        if self._service is None:
            self._end(Status.INVALID_ARGUMENT, "nothing was asked")

    def gone(self) -> None:
        self._watches.discard(self)

    def _end(self, status: Status, text: str = "") -> None:
        self._watches.discard(self)
        self._call.end(status, text)


def _service(data: bytes) -> str | None:
    """The name in a request; None if it is none."""
    try:
        return str(health_pb2.HealthCheckRequest.FromString(data).service)
    except DecodeError:
        return None
