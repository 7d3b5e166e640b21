"""Envoy Gateway: an EnvoyExtensionPolicy for the Gateway, one for each route that differs, and what they lean on.

The field names are those of gateway.envoyproxy.io/v1alpha1. The most specific policy counts and replaces the others, so
a route that is to be left alone gets one without a filter. Header mutation rules cannot be said there; Envoy's default
forbids the same, but silently.
"""

from __future__ import annotations

from typing import Any

from safeguards_extproc.attach.access_log import FIELDS
from safeguards_extproc.attach.messages import ATTRIBUTES, CONCURRENT, CONNECTIONS, NAMESPACE, SERVICE
from safeguards_extproc.attach.options import Attachment, How, Tls
from safeguards_extproc.attach.static import Document
from safeguards_extproc.errors import ConfigError

API, GATEWAY_API = "gateway.envoyproxy.io/v1alpha1", "gateway.networking.k8s.io"
POLICY = "safeguards-extproc"
ATTACH = "`kubectl apply -f` all of this."
PROXY = """What the access log says, and Envoy's certificate towards the filter. Name it in the Gateway's
infrastructure.parametersRef; if you have an EnvoyProxy already, move `spec` there."""
BODIES = {
    How.GUARD: ("FullDuplexStreamed", "FullDuplexStreamed"),
    How.BUFFERED: ("Buffered", "Streamed"),
    How.FAIL_OPEN: ("Buffered", "Streamed"),
}


def documents(wanted: Attachment) -> list[Document]:
    """Policies, the grant that lets them name the Service, the proxy's settings, and TLS. Raises ConfigError."""
    if not wanted.gateway:
        raise ConfigError("no Gateway is named", where="--gateway", hint="a policy attaches to one")
    found: list[Document] = []
    if wanted.how is not How.OFF:
        found.append((ATTACH, _policy(wanted, POLICY, "Gateway", wanted.gateway, wanted.how)))
    for route in wanted.routes:
        name = f"{POLICY}-{route.slug}"
        found.append(
            (f"The HTTPRoute {route.name}: {route.how}.", _policy(wanted, name, "HTTPRoute", route.name, route.how))
        )
    if _gateway(wanted) != wanted.namespace:
        found.append(("The policies may name a Service of another namespace.", _grant(wanted)))
    found.append((PROXY, _proxy(wanted)))
    if wanted.tls is not Tls.NONE:
        title = f"The ConfigMap {wanted.namespace}/{wanted.tls_secret} holds the filter's authority as ca.crt."
        found.append((title, _tls(wanted)))
    return found


def _policy(wanted: Attachment, name: str, kind: str, target: str, how: How) -> dict[str, Any]:
    spec: dict[str, Any] = {"targetRefs": [{"group": GATEWAY_API, "kind": kind, "name": target}]}
    if how is not How.OFF:
        spec["extProc"] = [_ext_proc(wanted, how)]
    return _object(API, "EnvoyExtensionPolicy", name, _gateway(wanted), spec)


def _ext_proc(wanted: Attachment, how: How) -> dict[str, Any]:
    request, response = BODIES[how]
    backend: dict[str, Any] = {"name": wanted.service, "port": wanted.port}
    if _gateway(wanted) != wanted.namespace:
        backend["namespace"] = wanted.namespace
    return {
        "backendRefs": [backend],
        "failOpen": how is How.FAIL_OPEN,
        "statusOnError": 503,
        "messageTimeout": duration(wanted.timeout_s),
        "processingMode": {
            "request": {"body": request, "attributes": list(ATTRIBUTES)},
            "response": {"body": response},
        },
        "metadata": {"writableNamespaces": [NAMESPACE]},
        "backendSettings": {
            "circuitBreaker": {
                "maxConnections": CONNECTIONS,
                "maxPendingRequests": wanted.streams,
                "maxParallelRequests": wanted.streams,
            },
            "healthCheck": {
                "panicThreshold": 0,
                "active": {
                    "type": "GRPC",
                    "grpc": {"service": SERVICE},
                    "timeout": "1s",
                    "interval": "1s",
                    "unhealthyThreshold": 1,
                    "healthyThreshold": 1,
                },
            },
            "http2": {
                "maxConcurrentStreams": CONCURRENT,
                "initialStreamWindowSize": "1Mi",
                "initialConnectionWindowSize": "16Mi",
                "connectionKeepalive": {"interval": "10s", "timeout": "5s"},
            },
            "loadBalancer": {"type": "LeastRequest"},
        },
    }


def _grant(wanted: Attachment) -> dict[str, Any]:
    group = API.partition("/")[0]
    spec = {
        "from": [{"group": group, "kind": "EnvoyExtensionPolicy", "namespace": _gateway(wanted)}],
        "to": [{"group": "", "kind": "Service", "name": wanted.service}],
    }
    return _object(f"{GATEWAY_API}/v1beta1", "ReferenceGrant", POLICY, wanted.namespace, spec)


def _proxy(wanted: Attachment) -> dict[str, Any]:
    logger = {
        "format": {"type": "JSON", "json": dict(FIELDS)},
        "sinks": [{"type": "File", "file": {"path": "/dev/stdout"}}],
    }
    spec: dict[str, Any] = {"telemetry": {"accessLog": {"settings": [logger]}}}
    if wanted.tls is Tls.MUTUAL:
        reference = {"kind": "Secret", "name": wanted.tls_secret, "namespace": _gateway(wanted)}
        spec["backendTLS"] = {"clientCertificateRef": reference}
    return _object(API, "EnvoyProxy", POLICY, _gateway(wanted), spec)


def _tls(wanted: Attachment) -> dict[str, Any]:
    spec = {
        "targetRefs": [{"group": "", "kind": "Service", "name": wanted.service}],
        "validation": {
            "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": wanted.tls_secret}],
            "hostname": wanted.tls_name or wanted.host,
        },
    }
    return _object(f"{GATEWAY_API}/v1", "BackendTLSPolicy", POLICY, wanted.namespace, spec)


def duration(seconds: float) -> str:
    """A duration as the Gateway API writes it: "10s", "1500ms"."""
    whole = round(seconds * 1000)
    return f"{whole // 1000}s" if whole % 1000 == 0 else f"{whole}ms"


def _object(version: str, kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _gateway(wanted: Attachment) -> str:
    """The namespace of the Gateway, and so of the policies."""
    return wanted.gateway_namespace or wanted.namespace
