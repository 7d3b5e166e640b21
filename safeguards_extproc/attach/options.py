"""What an attachment is made from: where the filter listens, who sends to it, and what each route gets. Data alone."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from enum import StrEnum

from safeguards_extproc.errors import ConfigError

CLUSTER = "safeguards"
"""What the filter's cluster is called in every Envoy that we attach to."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,252})")
_PATH = re.compile(r"/[A-Za-z0-9/._~-]*")
_ROUTE = re.compile(r"[A-Za-z0-9][A-Za-z0-9/:._~-]*")


class How(StrEnum):
    """What becomes of a route's traffic."""

    GUARD = "guard"
    """Everything is read, and waits for its verdict."""
    BUFFERED = "buffered"
    """The same without full duplex: a request waits in Envoy's buffer, an answer is ended in the stream."""
    FAIL_OPEN = "fail-open"
    """As buffered, but traffic passes unread while the filter is away."""
    OFF = "off"
    """Nothing is read."""


class Tls(StrEnum):
    NONE = "none"
    SERVER = "server"
    """Envoy checks the filter's certificate."""
    MUTUAL = "mutual"
    """Envoy shows one of its own as well."""


@dataclass(frozen=True, slots=True)
class Route:
    """`name` is a path's beginning (static, gke) or a route's name (istio, envoy-gateway)."""

    name: str
    how: How

    @property
    def slug(self) -> str:
        """The name as part of a Kubernetes name."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:40] or "root"


@dataclass(frozen=True, slots=True)
class Attachment:
    """`addresses` are "host:port" or "unix:///path", one per filter process; meshes in Kubernetes take `service` and
    `port` instead, a Service in `namespace` (GKE also its pods' `health_port`), and attach to the Gateway `gateway` in
    `gateway_namespace`, by default where the mesh has it.

    `streams` is the most answers that live at once; `timeout_s` how long Envoy waits for one answer of ours.
    `tls_folder` holds ca.crt, tls.crt and tls.key where Envoy runs; `tls_secret` names a Secret with the same.
    Raises ConfigError for what cannot be attached.
    """

    addresses: tuple[str, ...] = ("127.0.0.1:9002",)
    service: str = "safeguards-extproc"
    namespace: str = "safeguards"
    port: int = 9002
    health_port: int = 9003
    gateway: str = ""
    gateway_namespace: str = ""
    how: How = How.GUARD
    routes: tuple[Route, ...] = ()
    streams: int = 40_000
    timeout_s: float = 10.0
    tls: Tls = Tls.NONE
    tls_name: str = ""
    tls_folder: str = "/etc/envoy/safeguards"
    tls_secret: str = "safeguards-extproc-envoy"  # noqa: S105 - the name of a Secret, not what is in it
    pods: dict[str, str] = field(default_factory=lambda: {"app.kubernetes.io/name": "safeguards-extproc"})

    def __post_init__(self) -> None:
        for address in self.addresses:
            _check_address(address)
        if len(self.addresses) > 1 and len({_kind(address) for address in self.addresses} & {"name", "socket"}) == 2:
            raise ConfigError("a name and a socket cannot be one cluster", where="--address", hint="take one kind")
        names = {"--service": self.service, "--namespace": self.namespace, "--gateway": self.gateway}
        for option, name in {**names, "--gateway-namespace": self.gateway_namespace}.items():
            if name and not _NAME.fullmatch(name):
                raise ConfigError(f"{name!r} is no name of Kubernetes", where=option, hint="small letters, figures, -")
        for option, port in {"--port": self.port, "--health-port": self.health_port}.items():
            if not 1 <= port <= 65535:
                raise ConfigError(f"{port} is no port", where=option)
        if self.streams < 1:
            raise ConfigError("at least one stream must fit", where="--streams")
        if self.timeout_s < 1:
            hint = "the filter's own deadlines decide first where Envoy waits at least a second"
            raise ConfigError("too short", where="--message-timeout", hint=hint)
        if len({route.name for route in self.routes}) < len(self.routes):
            raise ConfigError("one route is named twice", where="--route")

    @property
    def host(self) -> str:
        """The Service's name as pods resolve it, and as its certificate says it."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def server_name(self) -> str:
        """The name that the filter's certificate must have."""
        named = [_split(address)[0] for address in self.addresses if _kind(address) == "name"]
        return self.tls_name or (named[0] if named else self.host)

    @property
    def resolved(self) -> bool:
        """Whether an address is a name that DNS has to say."""
        return any(_kind(address) == "name" for address in self.addresses)


def route(given: str) -> Route:
    """A route of "NAME" or "NAME=HOW". Raises ConfigError."""
    name, equals, how = given.partition("=")
    if not (_PATH.fullmatch(name) or _ROUTE.fullmatch(name)):
        raise ConfigError(f"{name!r} is no route", where="--route", hint="a path's beginning, or a route's name")
    if equals and how not in tuple(How):
        raise ConfigError(f"unknown: {how!r}", where="--route", hint=f"one of {', '.join(How)}")
    return Route(name, How(how) if equals else How.GUARD)


def place(address: str) -> tuple[str, int]:
    """Host and port of an address; a socket's path and 0."""
    return (address.removeprefix("unix://"), 0) if address.startswith("unix://") else _split(address)


def _kind(address: str) -> str:
    if address.startswith("unix://"):
        return "socket"
    try:
        ipaddress.ip_address(_split(address)[0])
    except ValueError:
        return "name"
    return "address"


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _check_address(address: str) -> None:
    hint = "host:port, or unix:///path"
    if address.startswith("unix:///"):
        return
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ConfigError(f"{address!r} names no port", where="--address", hint=hint)
    if not _HOST.fullmatch(host) and _kind(address) != "address":
        raise ConfigError(f"{address!r} names no host", where="--address", hint=hint)
