"""For every alert, what makes it fire and what just does not, as series that Prometheus would have scraped.

A value is written as promtool reads it: `0+5x20` begins at 0 and grows by 5 for 20 scrapes, `_` is a scrape that
failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Series = Mapping[str, str]

PAGE, TICKET = "page", "ticket"

INGRESS = 'envoy_http_conn_manager_prefix="ingress"'
CLUSTER = 'envoy_cluster_name="safeguards"'
STARTED, FAILED = (f"envoy_http_ext_proc_streams_{what}{{{INGRESS}}}" for what in ("started", "failed"))
OPEN, ALLOWED = (f"envoy_http_ext_proc_{what}{{{INGRESS}}}" for what in ("message_timeouts", "failure_mode_allowed"))
READY = 'safeguards_ready{role="filter", instance="a"}'
READY_B = 'safeguards_ready{role="filter", instance="b"}'
KEEPER = 'safeguards_ready{role="keeper"}'
REQUEST = 'phase="request", step="verdict"'
RESPONSE = 'phase="response", step="last"'


SERVED = {
    'safeguards_streams_total{how="complete"}': "0+60x80",
    'safeguards_streams_total{how="error"}': "0x80",
    'safeguards_streams_refused_total{reason="overload"}': "0x80",
}
"""Streams of an hour in which all is well."""


@dataclass(frozen=True, slots=True)
class Case:
    """With these `series`, scraped every `every`, the alert of this severity fires `after` so long, or does not."""

    name: str
    alert: str
    severity: str
    fires: bool
    after: str
    series: Series
    every: str = "1m"


def pair(alert: str, severity: str, after: str, bad: Series, good: Series, every: str = "1m") -> tuple[Case, Case]:
    """The alert fires with `bad` and does not with `good`."""
    return (
        Case(f"{alert} {severity}: fires", alert, severity, True, after, bad, every),
        Case(f"{alert} {severity}: does not fire", alert, severity, False, after, good, every),
    )


def quiet(alert: str, severity: str, after: str, why: str, series: Series, every: str = "1m") -> tuple[Case]:
    """One more reason not to fire."""
    return (Case(f"{alert} {severity}: {why}", alert, severity, False, after, series, every),)


def histogram(name: str, labels: str, fast: str, slow: str) -> dict[str, str]:
    """Observations: with each scrape `fast` more that took 5 ms, and `slow` that took a second."""
    few, all_ = f"0+{fast}x60", f"0+{int(fast) + int(slow)}x60"
    inner = f"{labels}, " if labels else ""
    edges = {"0.005": few, "0.01": few, "0.1": few, "0.25": few, "0.5": few, "1.0": all_, "+Inf": all_}
    buckets = {f'{name}_bucket{{{inner}le="{edge}"}}': values for edge, values in edges.items()}
    return {**buckets, f"{name}_count{{{labels}}}": all_}


SHORT: tuple[Case, ...] = (
    *pair("UncheckedTraffic", PAGE, "5m", {ALLOWED: "0x3 1x10"}, {ALLOWED: "7x20"}),
    *pair(
        "UncheckedByDetector",
        TICKET,
        "10m",
        {'safeguards_unchecked_total{phase="request", why="failure"}': "0+1x20"},
        {
            'safeguards_unchecked_total{phase="request", why="failure"}': "3x20",
            'safeguards_unchecked_total{phase="request", why="unreadable"}': "0+9x20",
        },
    ),
    *pair(
        "StreamsFailed",
        PAGE,
        "10m",
        {STARTED: "0+600x20", FAILED: "0+12x20"},
        {STARTED: "0+600x20", FAILED: "0+5x20"},
    ),
    *quiet("StreamsFailed", PAGE, "10m", "a few of a few", {STARTED: "0+1x20", FAILED: "0 0 0 0 0 1 1 1 2 2 2 3 3 3"}),
    *pair("MessageTimeouts", PAGE, "6m", {OPEN: "0+1x20"}, {OPEN: "0x3 2x20"}),
    *pair(
        "BreakerOverflow",
        PAGE,
        "6m",
        {f"envoy_cluster_upstream_rq_active_overflow{{{CLUSTER}}}": "0x3 5x20"},
        {
            f"envoy_cluster_upstream_rq_active_overflow{{{CLUSTER}}}": "5x20",
            'envoy_cluster_upstream_rq_active_overflow{envoy_cluster_name="shop"}': "0+9x20",
        },
    ),
    *pair(
        "BreakerOverflow",
        PAGE,
        "6m",
        {f"envoy_cluster_upstream_rq_pending_overflow{{{CLUSTER}}}": "0x3 5x20"},
        {f"envoy_cluster_upstream_rq_pending_overflow{{{CLUSTER}}}": "5x20"},
    ),
    *pair(
        "BreakerOverflow",
        PAGE,
        "6m",
        {'envoy_cluster_upstream_rq_retry_overflow{envoy_cluster_name="outbound|9002||safeguards"}': "0x3 5x20"},
        {f"envoy_cluster_upstream_rq_retry_overflow{{{CLUSTER}}}": "5x20"},
    ),
    *pair("NoReadyReplicas", PAGE, "5m", {READY: "0x20", READY_B: "0x20"}, {READY: "0x20", READY_B: "1x20"}),
    *pair(
        "NoReadyReplicas",
        PAGE,
        "5m",
        {
            READY: "1x20",
            f'envoy_cluster_membership_healthy{{{CLUSTER}, instance="e1"}}': "0x20",
            f'envoy_cluster_membership_healthy{{{CLUSTER}, instance="e2"}}': "2x20",
        },
        {READY: "1x20", f"envoy_cluster_membership_healthy{{{CLUSTER}}}": "1x20"},
    ),
    *pair("BelowMinimumReplicas", TICKET, "20m", {READY: "1x30", READY_B: "0x30"}, {READY: "1x30", READY_B: "1x30"}),
    *pair(
        "BelowMinimumReplicas",
        TICKET,
        "20m",
        {
            'kube_poddisruptionbudget_status_current_healthy{poddisruptionbudget="safeguards-extproc"}': "2x30",
            'kube_poddisruptionbudget_status_desired_healthy{poddisruptionbudget="safeguards-extproc"}': "3x30",
        },
        {
            'kube_poddisruptionbudget_status_current_healthy{poddisruptionbudget="safeguards-extproc"}': "3x30",
            'kube_poddisruptionbudget_status_desired_healthy{poddisruptionbudget="safeguards-extproc"}': "3x30",
            'kube_poddisruptionbudget_status_current_healthy{poddisruptionbudget="shop"}': "1x30",
            'kube_poddisruptionbudget_status_desired_healthy{poddisruptionbudget="shop"}': "2x30",
        },
    ),
    *pair(
        "Restarts",
        TICKET,
        "20m",
        {
            'process_start_time_seconds{job="f", instance="a"}': "100x4 400x4 700x4 900x20",
            'safeguards_build_info{job="f", instance="a"}': "1x40",
        },
        {
            'process_start_time_seconds{job="f", instance="a"}': "100x10 400x4 700x20",
            'process_start_time_seconds{job="shop", instance="c"}': "100+60x40",
            'safeguards_build_info{job="f", instance="a"}': "1x40",
        },
    ),
    *pair(
        "DrainTruncated",
        TICKET,
        "6m",
        {
            'safeguards_streams_active{instance="a"}': "9x5 7 7 _x20",
            'safeguards_drain_ends_timestamp_seconds{instance="a"}': "0x3 380 380 380 380 _x20",
        },
        {
            'safeguards_streams_active{instance="a"}': "9 9 9 9 2 0 0 _x20",
            'safeguards_drain_ends_timestamp_seconds{instance="a"}': "0x3 380 380 380 380 _x20",
        },
    ),
    *pair(
        "DrainTruncated",
        TICKET,
        "6m",
        {'safeguards_streams_total{how="shutdown", instance="a"}': "0x3 2x9"},
        {
            'safeguards_streams_total{how="shutdown", instance="a"}': "2x9",
            'safeguards_streams_total{how="closed", instance="a"}': "0+2x9",
        },
    ),
    *pair("MetricsAbsent", PAGE, "15m", {READY: "1 1 _x20"}, {READY: "1x30"}),
    *pair("MetricsAbsent", TICKET, "30m", {READY: "1x40", STARTED: "5x9 _x30"}, {READY: "1x40", STARTED: "5x40"}),
    *pair(
        "StreamsRefused",
        PAGE,
        "8m",
        {'safeguards_streams_refused_total{reason="overload"}': "0+1x20"},
        {
            'safeguards_streams_refused_total{reason="overload"}': "4x20",
            'safeguards_streams_refused_total{reason="shutdown"}': "0+1x20",
        },
    ),
    *pair(
        "Shedding",
        PAGE,
        "10m",
        {
            'safeguards_uninspectable_total{phase="request", reason="overloaded"}': "0+2x20",
            'safeguards_streams_total{how="complete"}': "0+100x20",
        },
        {
            'safeguards_uninspectable_total{phase="request", reason="overloaded"}': "0x3 2x20",
            'safeguards_uninspectable_total{phase="request", reason="opaque"}': "0+50x20",
            'safeguards_streams_total{how="complete"}': "0+100x20",
        },
    ),
    *pair(
        "Saturation",
        TICKET,
        "10m",
        {"safeguards_streams_active": "81x20", "safeguards_streams_limit": "100x20"},
        {"safeguards_streams_active": "79x20", "safeguards_streams_limit": "100x20"},
    ),
    *pair(
        "Saturation",
        TICKET,
        "10m",
        {"safeguards_held_bytes": "900x20", "safeguards_held_limit_bytes": "1000x20"},
        {
            "safeguards_held_bytes": "700x20",
            "safeguards_held_limit_bytes": "1000x20",
            "safeguards_streams_active": "0x20",
            "safeguards_streams_limit": "0x20",
        },
    ),
    *pair(
        "Saturation",
        TICKET,
        "20m",
        histogram("safeguards_loop_lag_seconds", 'instance="a"', "50", "10"),
        histogram("safeguards_loop_lag_seconds", 'instance="a"', "60", "0"),
    ),
    *pair(
        "LatencyBudget",
        TICKET,
        "40m",
        histogram("safeguards_phase_seconds", REQUEST, "950", "50"),
        histogram("safeguards_phase_seconds", REQUEST, "999", "1"),
    ),
    *pair(
        "LatencyBudget",
        TICKET,
        "40m",
        histogram("safeguards_phase_seconds", RESPONSE, "950", "50"),
        histogram("safeguards_phase_seconds", RESPONSE, "999", "1"),
    ),
    *quiet(
        "LatencyBudget",
        TICKET,
        "40m",
        "hardly any traffic",
        histogram("safeguards_phase_seconds", REQUEST, "0", "1"),
    ),
    *pair(
        "Faults",
        TICKET,
        "8m",
        {'safeguards_faults_total{where="exchange"}': "0x3 1x20"},
        {'safeguards_faults_total{where="exchange"}': "1x20"},
    ),
    *pair(
        "ModelNotReady",
        PAGE,
        "5m",
        {
            'safeguards_degraded{what="model:screen", instance="a"}': "1x20",
            'safeguards_degraded{what="model:screen", instance="b"}': "0x20",
        },
        {'safeguards_degraded{what="model:screen"}': "0x20", 'safeguards_degraded{what="policy"}': "1x20"},
    ),
    *pair(
        "ModelFailures",
        PAGE,
        "15m",
        {
            'safeguards_detector_failures_total{detector="screen", failure="timeout"}': "0+6x30",
            'safeguards_detector_seconds_count{detector="screen"}': "0+100x30",
        },
        {
            'safeguards_detector_failures_total{detector="screen", failure="timeout"}': "0+4x30",
            'safeguards_detector_failures_total{detector="screen", failure="cancelled"}': "0+50x30",
            'safeguards_detector_seconds_count{detector="screen"}': "0+100x30",
        },
    ),
    *pair(
        "ModelFailures",
        PAGE,
        "15m",
        {
            'nv_inference_request_failure{model="screen", reason="BACKEND"}': "0+6x30",
            'nv_inference_request_success{model="screen"}': "0+94x30",
        },
        {
            'nv_inference_request_failure{model="screen", reason="BACKEND"}': "0+4x30",
            'nv_inference_request_failure{model="screen", reason="CANCELED"}': "0+90x30",
            'nv_inference_request_success{model="screen"}': "0+96x30",
        },
    ),
    *pair(
        "TritonQueue",
        PAGE,
        "20m",
        {
            'nv_inference_queue_duration_us{model="screen"}': "0+6000000x30",
            'nv_inference_request_success{model="screen"}': "0+100x30",
        },
        {
            'nv_inference_queue_duration_us{model="screen"}': "0+4000000x30",
            'nv_inference_request_success{model="screen"}': "0+100x30",
        },
    ),
    *pair(
        "TritonQueue",
        PAGE,
        "20m",
        histogram("safeguards_model_queue_seconds", 'model="screen"', "90", "10"),
        histogram("safeguards_model_queue_seconds", 'model="screen"', "100", "0"),
    ),
    *pair(
        "RedisDown",
        TICKET,
        "3m",
        {'safeguards_degraded{what="redis"}': "0 1x20"},
        {'safeguards_degraded{what="redis"}': "0x20"},
    ),
    *pair(
        "RedisDown",
        PAGE,
        "8m",
        {'safeguards_degraded{what="redis"}': "0 1x20"},
        {'safeguards_degraded{what="redis"}': "0 0 0 0 1x20"},
    ),
    *pair(
        "RedisFailover",
        TICKET,
        "6m",
        {
            'safeguards_store_failures_total{store="limits", reason="unavailable"}': "0x3 4x20",
            'safeguards_degraded{what="redis"}': "0x20",
        },
        {
            'safeguards_store_failures_total{store="limits", reason="unavailable"}': "0x3 4x20",
            'safeguards_degraded{what="redis"}': "0x3 1x20",
        },
    ),
    *pair(
        "RedisLatency",
        TICKET,
        "20m",
        histogram("safeguards_admission_seconds", 'source="store"', "90", "10"),
        {
            **histogram("safeguards_admission_seconds", 'source="store"', "100", "0"),
            **histogram("safeguards_admission_seconds", 'source="local"', "0", "100"),
        },
    ),
    *pair(
        "StandingsOld",
        PAGE,
        "8m",
        {'safeguards_degraded{what="standings"}': "1x20"},
        {'safeguards_degraded{what="standings"}': "1 1 0 0 1 1 0 1 1 1"},
    ),
    *pair(
        "AccountsLost",
        TICKET,
        "8m",
        {'safeguards_account_lost_total{what="strikes"}': "0x3 2x20"},
        {'safeguards_account_lost_total{what="strikes"}': "2x20"},
    ),
    *pair("KeeperFailing", TICKET, "8m", {KEEPER: "0x20"}, {KEEPER: "1x20"}),
    *pair(
        "KeeperFailing",
        TICKET,
        "8m",
        {KEEPER: "1x20", "safeguards_strikes_waiting": "20000x20"},
        {KEEPER: "1x20", "safeguards_strikes_waiting": "500x20"},
    ),
    *pair(
        "KeeperFailing",
        TICKET,
        "20m",
        {'safeguards_ready{role="keeper", instance="k1"}': "1 1 _x30"},
        {
            'safeguards_ready{role="keeper", instance="k1"}': "1 1 _x30",
            'safeguards_ready{role="keeper", instance="k2"}': "_ _ 1x30",
        },
    ),
    *quiet("KeeperFailing", TICKET, "20m", "there is none", {READY: "1x30"}),
    *pair(
        "PolicyStale",
        TICKET,
        "8m",
        {'safeguards_degraded{what="policy", instance="a"}': "1x20", 'safeguards_degraded{what="policy"}': "0x20"},
        {'safeguards_degraded{what="policy"}': "0 0 0 0 1 1 1 1 1"},
    ),
    *pair(
        "VersionSkew",
        TICKET,
        "20m",
        {
            'safeguards_policy_info{digest="sha256:aa", instance="a"}': "1x30",
            'safeguards_policy_info{digest="sha256:bb", instance="b"}': "1x30",
        },
        {
            'safeguards_policy_info{digest="sha256:aa", instance="a"}': "1x30",
            'safeguards_policy_info{digest="sha256:bb", instance="b"}': "1x8 _x20",
            'safeguards_policy_info{digest="sha256:aa", instance="b"}': "_x8 1x20",
        },
    ),
    *pair(
        "VersionSkew",
        TICKET,
        "20m",
        {
            'safeguards_build_info{version="1.0.0", instance="a"}': "1x30",
            'safeguards_build_info{version="1.1.0", instance="b"}': "1x30",
        },
        {
            'safeguards_build_info{version="1.1.0", instance="a"}': "1x30",
            'safeguards_build_info{version="1.1.0", instance="b"}': "1x30",
        },
    ),
    *pair(
        "VersionSkew",
        TICKET,
        "40m",
        {
            'safeguards_model_answers_total{model="screen", version="1", instance="a"}': "0+5x60",
            'safeguards_model_answers_total{model="screen", version="2", instance="b"}': "0+5x60",
        },
        {
            'safeguards_model_answers_total{model="screen", version="1", instance="a"}': "0+5x5 25x60",
            'safeguards_model_answers_total{model="screen", version="2", instance="a"}': "_x5 0+5x60",
            'safeguards_model_answers_total{model="guard", version="7", instance="a"}': "0+5x60",
        },
    ),
    *pair(
        "RecordsLost",
        PAGE,
        "6m",
        {'safeguards_records_lost_total{sink="spool"}': "0x3 2x20"},
        {'safeguards_records_lost_total{sink="spool"}': "2x20"},
    ),
    *pair(
        "RecordsNotWritten",
        PAGE,
        "3m",
        {'safeguards_degraded{what="spool"}': "1x20"},
        {'safeguards_degraded{what="spool"}': "0x20", 'safeguards_degraded{what="policy"}': "1x20"},
    ),
    *pair(
        "RecordsDiskFilling",
        TICKET,
        "30m",
        {'safeguards_records_free_bytes{sink="spool"}': "10000000000-50000000x60"},
        {'safeguards_records_free_bytes{sink="spool"}': "10000000000-20000000x60"},
    ),
    *pair(
        "RecordsDiskFilling",
        PAGE,
        "8m",
        {'safeguards_records_free_bytes{sink="spool"}': "260000000x20"},
        {'safeguards_records_free_bytes{sink="spool"}': "270000000x20"},
    ),
    *pair(
        "RecordGaps",
        PAGE,
        "6m",
        {'safeguards_record_gaps_total{kind="unseen"}': "0x3 1x20"},
        {'safeguards_record_gaps_total{kind="unseen"}': "1x20"},
    ),
    *pair(
        "ReconcilerBehind",
        TICKET,
        "40m",
        {"safeguards_reconciled_timestamp_seconds": "0+60x5 _x60"},
        {
            'safeguards_reconciled_timestamp_seconds{instance="reconciler"}': "0+60x60",
            'safeguards_reconciled_timestamp_seconds{instance="filter"}': "0x60",
        },
    ),
    *pair(
        "SealerBehind",
        TICKET,
        "40m",
        {"safeguards_sealer_looked_timestamp_seconds": "0+60x5 _x60"},
        {"safeguards_sealer_looked_timestamp_seconds": "0+60x60"},
    ),
    *pair(
        "SealerBehind",
        TICKET,
        "40m",
        {"safeguards_sealer_looked_timestamp_seconds": "0+60x60", "safeguards_sealer_segments_left": "2x60"},
        {"safeguards_sealer_looked_timestamp_seconds": "0x60", "safeguards_sealer_segments_left": "0x60"},
    ),
    *pair(
        "CertificateExpiry",
        TICKET,
        "70m",
        {"safeguards_certificate_expiry_timestamp_seconds": "1200000x80"},
        {
            'safeguards_certificate_expiry_timestamp_seconds{instance="a"}': "1220000x80",
            'safeguards_certificate_expiry_timestamp_seconds{instance="b"}': "0x80",
        },
    ),
    *pair(
        "CertificateExpiry",
        PAGE,
        "8m",
        {"safeguards_certificate_expiry_timestamp_seconds": "259000x20"},
        {"safeguards_certificate_expiry_timestamp_seconds": "262000x20"},
    ),
    *pair(
        "CertificateNotReloaded",
        TICKET,
        "6m",
        {'safeguards_certificate_loads_total{result="failed"}': "0x3 1x20"},
        {
            'safeguards_certificate_loads_total{result="failed"}': "1x20",
            'safeguards_certificate_loads_total{result="ok"}': "0+1x20",
        },
    ),
    *pair(
        "FastBurn",
        PAGE,
        "70m",
        {STARTED: "0+60x80", FAILED: "0+1x80"},
        {STARTED: "0+600x80", FAILED: "0+1x80"},
    ),
    *pair(
        "FastBurn",
        PAGE,
        "70m",
        {
            'safeguards_streams_total{how="complete"}': "0+60x80",
            'safeguards_streams_total{how="error"}': "0+1x80",
            'safeguards_streams_refused_total{reason="overload"}': "0x80",
        },
        {
            'safeguards_streams_total{how="complete"}': "0+60x80",
            'safeguards_streams_total{how="closed"}': "0+9x80",
            'safeguards_streams_total{how="error"}': "0x80",
            'safeguards_streams_refused_total{reason="overload"}': "0x80",
        },
    ),
    *pair(
        "FastBurn",
        PAGE,
        "50m",
        histogram("safeguards_phase_seconds", REQUEST, "50", "10"),
        histogram("safeguards_phase_seconds", REQUEST, "58", "2"),
    ),
    *pair(
        "FastBurn",
        PAGE,
        "70m",
        {'safeguards_records_lost_total{sink="spool"}': "0+1x80", 'safeguards_records_total{sink="spool"}': "0+600x80"},
        {'safeguards_records_lost_total{sink="spool"}': "0x80", 'safeguards_records_total{sink="spool"}': "0+600x80"},
    ),
    *pair(
        "FastBurn",
        PAGE,
        "70m",
        {STARTED: "0+600x80", FAILED: "0x80", ALLOWED: "0+1x80"},
        {STARTED: "0+6000x80", FAILED: "0x80", ALLOWED: "0 1x80"},
    ),
    *pair(
        "FastBurn",
        PAGE,
        "70m",
        {
            **SERVED,
            'safeguards_rules_fired_total{rule="detector:screen", action="block", mode="enforce"}': "0+1x80",
        },
        {
            **SERVED,
            'safeguards_rules_fired_total{rule="detector:screen", action="annotate", mode="enforce"}': "0+9x80",
            'safeguards_rules_fired_total{rule="jailbreak", action="block", mode="enforce"}': "0+9x80",
            'safeguards_rules_fired_total{rule="uninspectable:malformed", action="block", mode="enforce"}': "0+9x80",
        },
    ),
    *quiet("FastBurn", PAGE, "100m", "it is over", {STARTED: "0+60x110", FAILED: "0+1x60 60x50"}),
    *quiet("FastBurn", PAGE, "70m", "hardly any traffic", {STARTED: "0+1x80", FAILED: "0+1x80"}),
)
"""Within hours."""

LONG: tuple[Case, ...] = (
    *pair(
        "SlowBurn",
        TICKET,
        "3d",
        {STARTED: "0+6000x2200", FAILED: "0+4x2200"},
        {STARTED: "0+6000x2200", FAILED: "0+2x2200"},
        "2m",
    ),
    *pair(
        "SlowBurn",
        TICKET,
        "30h",
        {STARTED: "0+6000x1000", FAILED: "0+10x1000"},
        {STARTED: "0+6000x1000", FAILED: "0+10x700 7000x300"},
        "2m",
    ),
    *pair(
        "VerdictShift",
        TICKET,
        "178h",
        {
            'safeguards_exchanges_total{outcome="allow"}': "0+900x400",
            'safeguards_exchanges_total{outcome="block"}': "0+9x345 3105+100x60",
        },
        {
            'safeguards_exchanges_total{outcome="allow"}': "0+900x400",
            'safeguards_exchanges_total{outcome="block"}': "0+50x345 17250+100x60",
        },
        "30m",
    ),
    *pair(
        "VerdictShift",
        TICKET,
        "178h",
        {
            'safeguards_exchanges_total{outcome="allow"}': "0+900x400",
            'safeguards_exchanges_total{outcome="block"}': "0+100x345 34500+9x60",
        },
        {
            'safeguards_exchanges_total{outcome="allow"}': "0+9x400",
            'safeguards_exchanges_total{outcome="block"}': "0+1x345 345x60",
        },
        "30m",
    ),
    *pair(
        "NothingBlocked",
        TICKET,
        "10h",
        {'safeguards_exchanges_total{outcome="allow"}': "0+90x80"},
        {
            'safeguards_exchanges_total{outcome="allow"}': "0+90x80",
            'safeguards_exchanges_total{outcome="block"}': "0x30 1x50",
        },
        "15m",
    ),
    *quiet(
        "NothingBlocked",
        TICKET,
        "10h",
        "hardly any traffic",
        {'safeguards_exchanges_total{outcome="allow"}': "0+9x80"},
        "15m",
    ),
)
"""Over days: rules are looked at every hour."""
