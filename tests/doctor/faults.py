"""Every fault that the doctor must find, as a person makes it: a change of an Envoy's configuration.

`DOCUMENT` needs no traffic to show; `AFTER` shows once a request came through. Each says which checks it must set off;
others must stay silent.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from safeguards_extproc.attach.messages import FILTER, OPTIONS, per_route
from safeguards_extproc.attach.options import How
from safeguards_extproc.attach.plain import plain
from tests.attach.pasted import manager_of

Document = dict[str, Any]
Plant = Callable[[Document], None]

HTTP = "type.googleapis.com/envoy.extensions.filters.http"
NOBODY = {"pipe": {"path": "/nowhere/safeguards.sock"}}


def filter_of(document: Document) -> dict[str, Any]:
    typed: dict[str, Any] = manager_of(document)["http_filters"][0]["typed_config"]
    return typed


def cluster_of(document: Document) -> dict[str, Any]:
    [found] = [row for row in document["static_resources"]["clusters"] if row["name"] == "safeguards"]
    cluster: dict[str, Any] = found
    return cluster


def route_of(document: Document) -> dict[str, Any]:
    route: dict[str, Any] = manager_of(document)["route_config"]["virtual_hosts"][0]["routes"][0]
    return route


def without(of: Callable[[Document], dict[str, Any]], name: str) -> Plant:
    """A setting that was left out."""
    return lambda document: of(document).pop(name) and None


def with_(of: Callable[[Document], dict[str, Any]], **settings: Any) -> Plant:
    """Settings that were made."""
    return lambda document: of(document).update(settings)


def both(*plants: Plant) -> Plant:
    def plant(document: Document) -> None:
        for each in plants:
            each(document)

    return plant


def beside(place: int, name: str, kind: str, **config: Any) -> Plant:
    """Another filter of the listener."""

    def plant(document: Document) -> None:
        row = {"name": name, "typed_config": {"@type": f"{HTTP}.{kind}", **config}}
        manager_of(document)["http_filters"].insert(place, row)

    return plant


def second_listener(document: Document) -> None:
    listeners = document["static_resources"]["listeners"]
    listeners.append(copy.deepcopy(listeners[0]) | {"name": "side"})
    del manager_of(document, 1)["http_filters"][0]


def same_filter_again(document: Document) -> None:
    filters = manager_of(document)["http_filters"]
    filters.insert(1, copy.deepcopy(filters[0]) | {"name": "again"})


def modes(**changed: str) -> Plant:
    return lambda document: filter_of(document)["processing_mode"].update(changed)


BUFFERED = modes(request_body_mode="BUFFERED", response_body_mode="STREAMED")
"""Full duplex has no message timer, and closes whatever failure_mode_allow says once a body was sent."""


def health(**changed: Any) -> Plant:
    return lambda document: cluster_of(document)["health_checks"][0].update(changed)


def at(address: dict[str, Any]) -> Plant:
    """The filter somewhere else."""

    def plant(document: Document) -> None:
        cluster_of(document)["load_assignment"]["endpoints"][0]["lb_endpoints"] = [{"endpoint": {"address": address}}]

    return plant


def one_more_at(host: str) -> Plant:
    def plant(document: Document) -> None:
        place = {"socket_address": {"address": host, "port_value": 9}}
        cluster_of(document)["load_assignment"]["endpoints"][0]["lb_endpoints"].append({"endpoint": {"address": place}})

    return plant


def no_panic_threshold(document: Document) -> None:
    del cluster_of(document)["common_lb_config"]["healthy_panic_threshold"]


def no_keepalive(document: Document) -> None:
    options = cluster_of(document)["typed_extension_protocol_options"][OPTIONS]
    del options["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]


def tcp_health(document: Document) -> None:
    check = cluster_of(document)["health_checks"][0]
    del check["grpc_health_check"]
    check["tcp_health_check"] = {}


def believing(**validation: Any) -> Plant:
    """TLS to the filter."""
    context = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"validation_context": validation} if validation else {},
    }
    return with_(cluster_of, transport_socket={"name": "envoy.transport_sockets.tls", "typed_config": context})


def off(document: Document) -> None:
    kind = {"@type": f"{HTTP}.ext_proc.v3.ExtProcPerRoute"}
    route_of(document)["typed_per_filter_config"] = {FILTER: kind | plain(per_route(How.OFF))}


def off_by_wrapping(document: Document) -> None:
    kind = "type.googleapis.com/envoy.config.route.v3.FilterConfig"
    route_of(document)["typed_per_filter_config"] = {FILTER: {"@type": kind, "disabled": True}}


def no_filter(document: Document) -> None:
    del manager_of(document)["http_filters"][0]


OTHER_PROCESSOR = beside(
    1, "picker", "ext_proc.v3.ExternalProcessor", grpc_service={"envoy_grpc": {"cluster_name": "model_server"}}
)
LUA = beside(1, "script", "lua.v3.Lua", default_source_code={"inline_string": "function envoy_on_request(handle) end"})
SIGNING = beside(
    0,
    "signing",
    "aws_request_signing.v3.AwsRequestSigning",
    service_name="bedrock",
    region="eu-central-1",
    credential_provider={"inline_credential": {"access_key_id": "a", "secret_access_key": "b"}},
)
HIDDEN = {"allowed_headers": {"patterns": [{"exact": "content-type"}]}}
ROOM = {"max_pending_requests": 40000, "max_requests": 1024}

DOCUMENT: dict[str, tuple[Plant, set[str]]] = {
    "no filter": (no_filter, {"filter-missing"}),
    "one listener of two": (second_listener, {"listener-unread"}),
    "a route switched off": (off, {"route-unread"}),
    "a route switched off by its wrapping": (off_by_wrapping, {"route-unread"}),
    "the same filter again": (same_filter_again, {"read-twice"}),
    "a processor after it": (OTHER_PROCESSOR, {"order"}),
    "a script after it": (LUA, {"order"}),
    "signed before it": (SIGNING, {"order"}),
    "fail open": (with_(filter_of, failure_mode_allow=True), {"fail-open"}),
    "observed": (
        both(
            with_(filter_of, observability_mode=True),
            modes(request_body_mode="STREAMED", response_body_mode="STREAMED"),
        ),
        {"not-waiting", "request-ahead"},
    ),
    "requests streamed": (modes(request_body_mode="STREAMED"), {"request-ahead"}),
    "refusals ignored": (with_(filter_of, disable_immediate_response=True), {"refusals-ignored"}),
    "answers unsent": (modes(response_body_mode="NONE"), {"phase-unsent"}),
    "bodies cut": (modes(request_body_mode="BUFFERED_PARTIAL"), {"phase-unsent"}),
    "headers skipped": (modes(response_header_mode="SKIP"), {"phase-unsent"}),
    "headers hidden": (with_(filter_of, forward_rules=HIDDEN), {"headers-hidden"}),
    "changes forbidden": (with_(filter_of, mutation_rules={"disallow_all": True}), {"changes-forbidden"}),
    "the default timeout": (both(BUFFERED, without(filter_of, "message_timeout")), {"message-timeout"}),
    "a small buffer": (
        both(
            modes(request_body_mode="BUFFERED"),
            lambda document: document["static_resources"]["listeners"][0].update(
                per_connection_buffer_limit_bytes=32768
            ),
        ),
        {"small-buffer"},
    ),
    "the default route timeout": (lambda document: route_of(document)["route"].pop("timeout"), {"route-timeout"}),
    "paths as they come": (without(manager_of, "normalize_path"), {"two-paths"}),
    "slashes as they come": (without(manager_of, "path_with_escaped_slashes_action"), {"two-paths"}),
    "metadata dropped": (without(filter_of, "metadata_options"), {"metadata-dropped"}),
    "no access log": (without(manager_of, "access_log"), {"access-log"}),
    "HTTP/1.1": (
        both(without(cluster_of, "typed_extension_protocol_options"), tcp_health),
        {"http2", "health-service"},
    ),
    "nobody there": (at(NOBODY), {"no-host"}),
    "the default breaker": (without(cluster_of, "circuit_breakers"), {"breaker"}),
    "a small breaker": (with_(cluster_of, circuit_breakers={"thresholds": [ROOM]}), {"breaker"}),
    "health not asked": (without(cluster_of, "health_checks"), {"health-check"}),
    "health of the port": (tcp_health, {"health-service"}),
    "health of something else": (health(grpc_health_check={"service_name": "liveness"}), {"health-service"}),
    "health asked slowly": (health(interval="10s"), {"health-slow"}),
    "health believed slowly": (health(unhealthy_threshold=5), {"health-slow"}),
    "panic": (no_panic_threshold, {"panic"}),
    "ejected": (with_(cluster_of, outlier_detection={}), {"outlier"}),
    "no keepalive": (no_keepalive, {"keepalive"}),
    "across the network": (one_more_at("192.0.2.1"), {"plaintext"}),
    "any certificate": (believing(), {"tls-name", "no-host"}),
    "any name": (believing(trusted_ca={"filename": "CA"}), {"tls-name", "no-host"}),
    "another's client": (
        with_(filter_of, grpc_service={"google_grpc": {"target_uri": "127.0.0.1:1", "stat_prefix": "other"}}),
        {"foreign-client"},
    ),
    "an unknown cluster": (
        with_(filter_of, grpc_service={"envoy_grpc": {"cluster_name": "safegards"}}),
        {"cluster-missing"},
    ),
}
"""By what was done: how, and what the doctor must say."""

_OPEN = with_(filter_of, failure_mode_allow=True)
_UNASKED = without(cluster_of, "health_checks")
_FORBIDDEN = {"disallow_expression": {"regex": "x-safeguards-.*"}, "disallow_is_error": True}
_NO_ROOM = {"thresholds": [{"max_requests": 0, "max_pending_requests": 0}]}

AFTER: dict[str, tuple[Plant, set[str]]] = {
    "passed unread": (both(BUFFERED, _OPEN, _UNASKED, at(NOBODY)), {"passed-unread"}),
    "a stream broke": (both(_UNASKED, at(NOBODY)), {"streams-failed"}),
    "no room": (with_(cluster_of, circuit_breakers=_NO_ROOM), {"overflowed", "breaker"}),
    "a change was rejected": (with_(filter_of, mutation_rules=_FORBIDDEN), {"changes-rejected"}),
}
