"""The doctor: reads a running Envoy's configuration and counts, and says what is wrong with how the filter is attached.

`CHECKS` is the table of all that it asks; a new check is a function and a row.
"""

from __future__ import annotations

from safeguards_extproc.doctor import clusters, filters, traffic
from safeguards_extproc.doctor.finding import Check, Finding, Level
from safeguards_extproc.doctor.seen import Seen

WRONG, CARE = Level.WRONG, Level.CARE
AGAIN = "`envoy-config` writes it as it should be"

CHECKS = (
    Check(
        "version",
        WRONG,
        "is Envoy free of known faults",
        traffic.old_version,
        "1.35.13, 1.36.9, 1.37.5, 1.38.3 or later",
    ),
    Check("filter-missing", WRONG, "is the filter there", filters.missing, "put ext_proc before the router"),
    Check("listener-unread", CARE, "in every listener", filters.unread_listener, "add it, or --accept listener-unread"),
    Check("route-unread", WRONG, "on every route", filters.unread_route, "remove `disabled`, or --accept route-unread"),
    Check("read-twice", WRONG, "only once", filters.twice, "remove one of the filters"),
    Check("order", WRONG, "last before the router", filters.changed_afterwards, "move it; signing goes behind it"),
    Check("fail-open", WRONG, "does Envoy fail closed", filters.fails_open, "failure_mode_allow: false"),
    Check("not-waiting", WRONG, "does Envoy wait for it", filters.not_waited_for, "remove observability_mode"),
    Check(
        "refusals-ignored", WRONG, "do refusals count", filters.refusals_ignored, "remove disable_immediate_response"
    ),
    Check(
        "phase-unsent",
        WRONG,
        "are headers and bodies sent",
        filters.unsent_phase,
        "processing_mode, in both directions",
    ),
    Check("request-ahead", WRONG, "do requests wait", filters.gone_ahead, "FULL_DUPLEX_STREAMED or BUFFERED"),
    Check("headers-hidden", WRONG, "all headers", filters.hidden_headers, "remove forward_rules"),
    Check("changes-forbidden", WRONG, "may it change headers", filters.forbidden_changes, "remove disallow_all"),
    Check("changes-rejected", WRONG, "were none rejected", traffic.changes_rejected, "mutation_rules"),
    Check("message-timeout", WRONG, "does Envoy wait long enough", filters.short_timeout, "message_timeout: 10s"),
    Check(
        "timed-out", WRONG, "did it always", traffic.timed_out, "the filter's deadlines must be below message_timeout"
    ),
    Check(
        "small-buffer",
        WRONG,
        "do bodies fit",
        filters.small_buffer,
        "per_connection_buffer_limit_bytes, or full duplex",
    ),
    Check("route-timeout", CARE, "do long answers come to an end", filters.short_route, "timeout: 0s on the route"),
    Check(
        "two-paths",
        CARE,
        "do all agree on paths",
        filters.two_paths,
        "normalize_path, path_with_escaped_slashes_action",
    ),
    Check(
        "metadata-dropped",
        CARE,
        "is the verdict passed on",
        filters.dropped_metadata,
        "metadata_options.receiving_namespaces",
    ),
    Check("access-log", CARE, "is it logged", filters.unsaid, "%DYNAMIC_METADATA(safeguards)% in the access log"),
    Check("cluster-missing", WRONG, "is its cluster there", clusters.missing, AGAIN),
    Check(
        "foreign-client", CARE, "is it Envoy's own gRPC", clusters.foreign_client, "envoy_grpc instead of google_grpc"
    ),
    Check("http2", WRONG, "over HTTP/2", clusters.no_http2, "http2_protocol_options"),
    Check(
        "no-host", WRONG, "does any process take traffic", traffic.no_host, "start the filter; is its port reachable"
    ),
    Check(
        "breaker",
        WRONG,
        "has every live answer room",
        clusters.small_breaker,
        "max_requests above the most live streams",
    ),
    Check("overflowed", WRONG, "had every one so far", traffic.overflowed, "max_requests above the most live streams"),
    Check("health-check", WRONG, "is its health asked", clusters.unasked_health, AGAIN),
    Check("health-service", CARE, "by what says that it leaves", clusters.wrong_health, "service_name: readiness"),
    Check(
        "health-slow",
        WRONG,
        "in time",
        clusters.slow_health,
        "interval 1s, unhealthy_threshold 1; or a longer --drain-delay",
    ),
    Check("panic", WRONG, "and believed", clusters.panics, "healthy_panic_threshold: {value: 0}"),
    Check(
        "outlier",
        CARE,
        "is a restart no offence",
        clusters.ejects_long,
        "no outlier_detection, or base_ejection_time below 5s",
    ),
    Check("keepalive", CARE, "is a dead peer found", clusters.silent_peer, "connection_keepalive"),
    Check("plaintext", CARE, "is the way to it encrypted", clusters.plaintext, "envoy-config --tls mutual"),
    Check(
        "tls-name",
        WRONG,
        "is its certificate checked",
        clusters.unchecked_name,
        "trusted_ca and match_typed_subject_alt_names",
    ),
    Check(
        "streams-failed", CARE, "did no stream break", traffic.streams_failed, "look into the filter's log at that time"
    ),
    Check("passed-unread", WRONG, "did nothing pass unread", traffic.passed_unread, "failure_mode_allow: false"),
)
"""Every question, in the order in which it is asked."""


def examine(seen: Seen) -> list[tuple[Check, list[Finding]]]:
    """Each check with what it found; the same finding is told once."""
    return [(check, list(dict.fromkeys(check.look(seen)))) for check in CHECKS]
