"""Istio: one EnvoyFilter for a gateway, which adds the cluster, the filter before the router, and the access log.

The cluster is ours and not the one that Istio makes of the Service: that one has no gRPC health check and no breakers
of this size. Traffic to it is not part of the mesh's mTLS (istio/istio#32490), so it has a transport socket of its own,
with a Secret beside the gateway that istiod delivers and renews.
"""

from __future__ import annotations

from typing import Any

from envoy.config.route.v3.route_components_pb2 import Route as EnvoyRoute  # type: ignore[import-untyped]
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (  # type: ignore[import-untyped]
    HttpConnectionManager,
)

from safeguards_extproc.attach import tls
from safeguards_extproc.attach.access_log import access_log, entry
from safeguards_extproc.attach.messages import FILTER, cluster, packed, per_route
from safeguards_extproc.attach.options import Attachment, Tls
from safeguards_extproc.attach.plain import plain
from safeguards_extproc.attach.static import Document, http_filter

MANAGER, ROUTER = "envoy.filters.network.http_connection_manager", "envoy.filters.http.router"
TITLE = "For the ingress gateway; `kubectl apply -f` this."
NEEDS = "It needs the Secret {namespace}/{name} with ca.crt, tls.crt and tls.key; cert-manager writes such a one."


def documents(wanted: Attachment) -> list[Document]:
    """One EnvoyFilter."""
    found = cluster(wanted)
    if wanted.tls is not Tls.NONE:
        found.transport_socket.CopyFrom(tls.from_istio(wanted))
    patches = [
        _patch("CLUSTER", None, "ADD", plain(found)),
        _patch("HTTP_FILTER", {"name": MANAGER, "subFilter": {"name": ROUTER}}, "INSERT_BEFORE", http_filter(wanted)),
        _patch("NETWORK_FILTER", {"name": MANAGER}, "MERGE", {"typed_config": _logging()}),
    ]
    for route in wanted.routes:
        override = EnvoyRoute(typed_per_filter_config={FILTER: packed(per_route(route.how))})
        match = {"context": "GATEWAY", "routeConfiguration": {"vhost": {"route": {"name": route.name}}}}
        patches.append(
            {"applyTo": "HTTP_ROUTE", "match": match, "patch": {"operation": "MERGE", "value": plain(override)}}
        )
    spec: dict[str, Any] = {"configPatches": patches}
    if wanted.gateway:
        target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": wanted.gateway}
        spec = {"targetRefs": [target], **spec}
    else:
        spec = {"workloadSelector": {"labels": {"istio": "ingressgateway"}}, **spec}
    title = TITLE
    if wanted.tls is not Tls.NONE:
        title += "\n" + NEEDS.format(namespace=_namespace(wanted), name=wanted.tls_secret)
    return [
        (
            title,
            {
                "apiVersion": "networking.istio.io/v1alpha3",
                "kind": "EnvoyFilter",
                "metadata": {"name": "safeguards-extproc", "namespace": _namespace(wanted)},
                "spec": spec,
            },
        )
    ]


def _patch(kind: str, network_filter: dict[str, Any] | None, operation: str, value: dict[str, Any]) -> dict[str, Any]:
    match: dict[str, Any] = {"context": "GATEWAY"}
    if network_filter:
        match["listener"] = {"filterChain": {"filter": network_filter}}
    return {"applyTo": kind, "match": match, "patch": {"operation": operation, "value": value}}


def _logging() -> dict[str, Any]:
    """A manager with one more access logger: Istio merges lists by adding."""
    found = plain(packed(HttpConnectionManager(access_log=[access_log()])))
    return found | {"access_log": [entry()]}


def _namespace(wanted: Attachment) -> str:
    return wanted.gateway_namespace or "istio-system"
