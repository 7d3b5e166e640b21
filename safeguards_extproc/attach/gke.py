"""GKE: a GCPTrafficExtension for the Gateway, the Service that the load balancer calls, and how it asks for health.

The field names and bounds are those of networking.gke.io/v1. The load balancer is Google's: it calls by TLS only and
checks no certificate, has no breakers or metadata to set, and waits ten seconds at most. Full duplex or nothing: its
other mode neither holds a request nor waits with an answer's headers.
"""

from __future__ import annotations

from typing import Any

from safeguards_extproc.attach.envoy_gateway import duration
from safeguards_extproc.attach.options import Attachment, How
from safeguards_extproc.attach.static import Document
from safeguards_extproc.errors import ConfigError

API, GATEWAY_API = "networking.gke.io/v1", "gateway.networking.k8s.io"
EXTENSION = "safeguards-extproc"
LONGEST_S = 10.0
CHAIN = ("request", "response")
EVENTS = tuple(f"{side}{phase}" for side in ("Request", "Response") for phase in ("Headers", "Body", "Trailers"))
ATTACH = """`kubectl apply -f` all of this. It works on regional and global external, and on internal Application Load
Balancers. All of it lies in the Gateway's namespace. The filter must serve TLS (--tls-certificate); the load balancer
checks no name and shows no certificate."""
SERVE = "The pods of the filter as the load balancer finds them; the labels must be those of your release."
HEALTH = "Asked on the plaintext port of health."


def documents(wanted: Attachment) -> list[Document]:
    """Extension, Service and health check. Raises ConfigError for what GKE cannot do."""
    if not wanted.gateway:
        raise ConfigError("no Gateway is named", where="--gateway", hint="an extension attaches to one")
    for how in (wanted.how, *(route.how for route in wanted.routes)):
        if how in (How.BUFFERED, How.FAIL_OPEN):
            hint = "guard or off; GKE's streamed mode would send a request on before its verdict"
            raise ConfigError(f"GKE has no {how}", where="--route", hint=hint)
    if wanted.timeout_s > LONGEST_S:
        raise ConfigError("GKE waits ten seconds at most", where="--message-timeout")
    for route in wanted.routes:
        if not route.name.startswith("/"):
            raise ConfigError(f"{route.name!r} is no path", where="--route", hint="GKE matches by a path's beginning")
    return [
        (ATTACH, _object(API, "GCPTrafficExtension", EXTENSION, wanted, _extension(wanted))),
        (SERVE, _object("v1", "Service", _service(wanted), wanted, _serving(wanted))),
        (HEALTH, _object(API, "HealthCheckPolicy", EXTENSION, wanted, _health(wanted))),
    ]


def _extension(wanted: Attachment) -> dict[str, Any]:
    extension = {
        "name": EXTENSION,
        "authority": wanted.tls_name or wanted.host,
        "backendRef": {"group": "", "kind": "Service", "name": _service(wanted), "port": wanted.port},
        "failOpen": False,
        "timeout": duration(wanted.timeout_s),
        "supportedEvents": [*EVENTS],
        "requestBodySendMode": "FullDuplexStreamed",
        "responseBodySendMode": "FullDuplexStreamed",
    }
    chain = {
        "name": EXTENSION,
        "matchCondition": {"celExpressions": [{"celMatcher": _matcher(wanted)}]},
        "extensions": [extension],
    }
    target = {"group": GATEWAY_API, "kind": "Gateway", "name": wanted.gateway}
    return {"targetRefs": [target], "extensionChains": [chain]}


def _matcher(wanted: Attachment) -> str:
    """Which requests are read, in CEL: the longest route that a path begins with counts."""
    said = "true" if wanted.how is How.GUARD else "false"
    for route in sorted(wanted.routes, key=lambda route: len(route.name)):
        begins = f'request.path.startsWith("{route.name}")'
        said = _either(begins, said) if route.how is How.GUARD else _both(f"!{begins}", said)
    if said == "false":
        raise ConfigError("no route is read", where="--route", hint="name one that is: --route /v1/=guard")
    return 'request.path.startsWith("/")' if said == "true" else said


def _either(one: str, other: str) -> str:
    return {"true": "true", "false": one}.get(other, f"{one} || ({other})")


def _both(one: str, other: str) -> str:
    return {"true": one, "false": "false"}.get(other, f"{one} && ({other})")


def _serving(wanted: Attachment) -> dict[str, Any]:
    port = {"name": "grpc", "port": wanted.port, "targetPort": wanted.port, "appProtocol": "HTTP2"}
    return {"selector": dict(wanted.pods), "ports": [port]}


def _health(wanted: Attachment) -> dict[str, Any]:
    asked = {"portSpecification": "USE_FIXED_PORT", "port": wanted.health_port, "grpcServiceName": "readiness"}
    default = {
        "checkIntervalSec": 1,
        "timeoutSec": 1,
        "healthyThreshold": 1,
        "unhealthyThreshold": 1,
        "config": {"type": "GRPC", "grpcHealthCheck": asked},
    }
    return {"default": default, "targetRef": {"group": "", "kind": "Service", "name": _service(wanted)}}


def _service(wanted: Attachment) -> str:
    return f"{wanted.service}-callout"


def _object(version: str, kind: str, name: str, wanted: Attachment, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": wanted.namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
