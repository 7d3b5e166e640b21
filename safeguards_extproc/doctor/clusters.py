"""What can be wrong with the filter's cluster: that it is too small, that it believes health too late, or anybody."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from safeguards_extproc.doctor.finding import Finding
from safeguards_extproc.doctor.seen import Json, Seen, duration, get, items, number

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
READINESS = ("", "readiness", "envoy.service.ext_proc.v3.ExternalProcessor")
DEFAULT_BREAKER = 1024
LONG_EJECTION_S = 5.0


def missing(seen: Seen) -> Iterator[Finding]:
    for chain, filter_ in seen.guarded():
        if filter_.cluster and filter_.cluster not in seen.clusters:
            yield Finding(chain.name, f"the filter asks the cluster {filter_.cluster!r}, which Envoy does not have")


def foreign_client(seen: Seen) -> Iterator[Finding]:
    for chain, filter_ in seen.guarded():
        if get(filter_.config, "grpc_service", "google_grpc"):
            yield Finding(chain.name, "google_grpc: no health check, no breaker and no cluster of Envoy's applies")


def no_http2(seen: Seen) -> Iterator[Finding]:
    for name, cluster in seen.used():
        options = get(cluster, "typed_extension_protocol_options", OPTIONS)
        said = get(options, "explicit_http_config", "http2_protocol_options")
        if said is None and get(options, "auto_config") is None and get(cluster, "http2_protocol_options") is None:
            yield Finding(name, "speaks HTTP/1.1: gRPC needs http2_protocol_options")


def small_breaker(seen: Seen) -> Iterator[Finding]:
    for name, cluster in seen.used():
        rows = items(get(cluster, "circuit_breakers", "thresholds"))
        default = [row for row in rows if get(row, "priority") in (None, "DEFAULT")]
        for setting in ("max_requests", "max_pending_requests"):
            most = number(get(default[0], setting) if default else None, DEFAULT_BREAKER)
            if most < seen.streams:
                yield Finding(name, f"{setting} is {most}: so many answers at once, and the next is refused or unread")


def unasked_health(seen: Seen) -> Iterator[Finding]:
    for name, cluster in seen.used():
        if not items(get(cluster, "health_checks")) and get(cluster, "type") != "EDS":
            yield Finding(name, "has no health check: requests go to a process that is leaving, and fail")


def wrong_health(seen: Seen) -> Iterator[Finding]:
    for name, check in _health(seen):
        service = get(check, "grpc_health_check", "service_name") or ""
        if get(check, "grpc_health_check") is None:
            yield Finding(name, "the health check is not gRPC's: a process that is leaving still accepts connections")
        elif service not in READINESS:
            yield Finding(name, f"the health check asks for {service!r}, which says nothing about leaving")


def slow_health(seen: Seen) -> Iterator[Finding]:
    for name, check in _health(seen):
        interval = duration(get(check, "interval"), 0.0)
        late = interval * number(get(check, "unhealthy_threshold"), 1) + duration(get(check, "timeout"), 0.0)
        if late > seen.drain_s:
            what = f"notices only after {late:g} s that a process is leaving, which waits {seen.drain_s:g} s"
            yield Finding(name, what)


def panics(seen: Seen) -> Iterator[Finding]:
    for name, cluster in seen.used():
        panic = get(cluster, "common_lb_config", "healthy_panic_threshold")
        at = 50.0 if panic is None else float(get(panic, "value") or 0.0)
        if at > 0 and items(get(cluster, "health_checks")):
            what = f"healthy_panic_threshold is {at:g} %: below it Envoy sends to processes that said no"
            yield Finding(name, what)


def ejects_long(seen: Seen) -> Iterator[Finding]:
    for name, cluster in seen.used():
        outlier = get(cluster, "outlier_detection")
        if outlier is not None:
            away = duration(get(outlier, "base_ejection_time"), 30.0)
            if away >= LONG_EJECTION_S:
                yield Finding(name, f"a process that restarts is out for {away:g} s, and the next one restarts then")


def silent_peer(seen: Seen) -> Iterator[Finding]:
    for name, cluster in seen.used():
        options = get(cluster, "typed_extension_protocol_options", OPTIONS)
        http2 = get(options, "explicit_http_config", "http2_protocol_options") or get(cluster, "http2_protocol_options")
        if http2 is not None and get(http2, "connection_keepalive") is None:
            yield Finding(name, "no connection_keepalive: in full duplex a process that hangs is waited for")


def plaintext(seen: Seen) -> Iterator[Finding]:
    for name, cluster in seen.used():
        hosts = [host for host in _hosts(cluster) if not _loopback(host)]
        if not _contexts(cluster) and (hosts or get(cluster, "type") == "EDS"):
            yield Finding(name, "prompts and answers cross the network in plaintext")


def unchecked_name(seen: Seen) -> Iterator[Finding]:
    for name, cluster in seen.used():
        for context in _contexts(cluster):
            common = get(context, "common_tls_context")
            combined = get(common, "combined_validation_context")
            validation = get(common, "validation_context") or get(combined, "default_validation_context")
            by_name = any("subject_alt_names" in key for key in validation or ())
            if get(common, "validation_context_sds_secret_config") is not None:
                continue
            trusts = get(validation, "trusted_ca") or get(combined, "validation_context_sds_secret_config")
            if not trusts:
                yield Finding(name, "Envoy takes any certificate: no authority is named")
            elif not by_name and not get(context, "auto_sni_san_validation"):
                yield Finding(name, "Envoy takes any certificate of the authority: no name is checked")


def _health(seen: Seen) -> Iterator[tuple[str, Json]]:
    for name, cluster in seen.used():
        for check in items(get(cluster, "health_checks")):
            yield name, check


def _contexts(cluster: Json) -> list[Json]:
    """Every TLS context that the cluster may use."""
    sockets = [get(cluster, "transport_socket")]
    sockets += [get(row, "transport_socket") for row in items(get(cluster, "transport_socket_matches"))]
    configs = [get(socket, "typed_config") for socket in sockets]
    return [each for each in configs if str(get(each, "@type")).endswith(".UpstreamTlsContext")]


def _hosts(cluster: Json) -> Iterator[str]:
    for locality in items(get(cluster, "load_assignment", "endpoints")):
        for each in items(get(locality, "lb_endpoints")):
            address = get(each, "endpoint", "address", "socket_address", "address")
            if address:
                yield str(address)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
