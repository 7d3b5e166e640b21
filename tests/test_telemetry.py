"""What operators see, and what they must never see."""

from __future__ import annotations

import urllib.request
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from safeguards_extproc.adapters.escalations import Escalations
from safeguards_extproc.core.account import Admitted, Count, Counted, Limit, Shape
from safeguards_extproc.core.decision import Escalation, Model
from safeguards_extproc.core.record import Account, ChannelAccount, Checks, FiredRule, Items, Phase, Record
from safeguards_extproc.records.reconcile import Kind
from safeguards_extproc.telemetry import (
    FROM_ZERO,
    METRICS,
    MOST_SERIES,
    Metrics,
)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value("safeguards_" + name, labels)


RECORD = Record(
    id="1",
    route="chat",
    outcome="block",
    termination="refused",
    request=Phase(
        decided="block",
        action="block",
        applied="block",
        fired=[FiredRule("jailbreak", "block", "enforce", "true")],
        redactions={"email": 2},
        account=Account(
            windows=3,
            channels={"user": ChannelAccount(900, 700)},
            checks={"screen": Checks(run=2, failed=1), "guard": Checks(run=1, not_due=2)},
            coverage="partial",
            uninspectable="encoding",
        ),
        headers_ms=0.5,
        ended_ms=2.0,
        decided_ms=12.0,
    ),
    response=Phase(
        restored={"email": 3}, items=Items(9, 3, 2), account=Account(released_unscanned=True, coverage="empty")
    ),
)


def test_what_an_alert_waits_for_is_there_from_the_start() -> None:
    """Series of FROM_ZERO are zero before anything is counted, so that the first count is an increase."""
    metrics = Metrics()
    labels = {row.name.removeprefix("safeguards_"): row.labels for row in METRICS}
    for name, series in FROM_ZERO.items():
        for values in series:
            assert 0 == value(metrics, name, **dict(zip(labels[name], values, strict=True)))
    assert None is value(metrics, "streams_total", how="another")
    assert {(kind.value,) for kind in Kind} == set(FROM_ZERO["record_gaps_total"])


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (Phase(applied="allow", failed={"screen": "timeout"}), {"failure"}),
        (Phase(applied="annotate", failed={"screen": "timeout"}), {"failure"}),
        (Phase(applied="allow", account=Account(uninspectable="opaque")), {"unreadable"}),
        (Phase(applied="allow", account=Account(uninspectable="overloaded")), {"failure"}),
        (Phase(applied="annotate", account=Account(uninspectable="unavailable")), {"failure"}),
        (Phase(applied="block", failed={"screen": "timeout"}), set()),
        (Phase(applied="stop", failed={"screen": "timeout"}), set()),
        (Phase(applied="pass", account=Account(uninspectable="opaque")), set()),
        (Phase(applied="allow"), set()),
    ],
)
def test_what_went_on_unchecked_is_counted(phase: Phase, expected: set[str]) -> None:
    """Only what a policy let go on, and only if bytes did; a route that nobody inspects is no gap."""
    metrics, silent = Metrics(), Metrics()
    silent.exchange(Record("1", request=phase))
    metrics.exchange(Record("1", request=replace(phase, account=replace(phase.account, bytes_released=10))))
    counted = [
        {why for why in ("failure", "unreadable") if value(each, "unchecked_total", phase="request", why=why)}
        for each in (metrics, silent)
    ]
    assert [expected, set()] == counted


def test_a_process_says_what_it_can_take() -> None:
    """Whether it is ready, its limits, how late its loop is, when a drain ends."""
    metrics = Metrics()
    metrics.ready("filter", True)
    metrics.limits(20, 4096)
    metrics.loop_lag(0.02)
    assert 0 == value(metrics, "drain_ends_timestamp_seconds")
    metrics.draining(1234.5)
    metrics.answered("screen", "3")
    metrics.certificate_loaded(99.5)
    metrics.certificate_failed()
    metrics.free("spool", 512)
    expected = {
        "ready": (1, {"role": "filter"}),
        "streams_limit": (20, {}),
        "held_limit_bytes": (4096, {}),
        "loop_lag_seconds_sum": (0.02, {}),
        "drain_ends_timestamp_seconds": (1234.5, {}),
        "model_answers_total": (1, {"model": "screen", "version": "3"}),
        "certificate_expiry_timestamp_seconds": (99.5, {}),
        "certificate_loads_total": (1, {"result": "failed"}),
        "records_free_bytes": (512, {"sink": "spool"}),
        "records_lost_total": (0, {"sink": "spool"}),
    }
    assert expected == {name: (value(metrics, name, **labels), labels) for name, (_, labels) in expected.items()}


def test_admissions_are_counted_with_the_limits_that_they_found() -> None:
    """By who counted and what came of it; a limit that is near or over, and whether that is in shadow."""
    limit = Limit("requests", (), Count.REQUESTS, Shape.BUDGET, 10)
    metrics = Metrics()
    metrics.admitted(
        Admitted([Counted(limit, True, 9), Counted(replace(limit, name="trial", enforced=False), False, 0)])
    )
    metrics.admitted(Admitted([Counted(limit, False, 0)], source="store"))
    metrics.admitted(Admitted([Counted(limit, True, 1)], source="local"))
    assert value(metrics, "admissions_total", source="none", result="admitted") == 1
    assert value(metrics, "admissions_total", source="store", result="refused") == 1
    assert value(metrics, "limits_total", limit="trial", mode="shadow", state="over") == 1
    assert value(metrics, "limits_total", limit="requests", mode="enforce", state="over") == 1
    assert value(metrics, "limits_total", limit="requests", mode="enforce", state="near") == 1


def test_a_record_is_counted_once_in_each_thing_it_says() -> None:
    """One blocked request: its outcome, verdict, rule, coverage, checks and the time it took."""
    metrics = Metrics()
    metrics.exchange(RECORD)
    expected = {
        "exchanges_total": (1, {"route": "chat", "outcome": "block", "termination": "refused"}),
        "verdicts_total": (1, {"phase": "request", "decided": "block", "applied": "block"}),
        "rules_fired_total": (
            1,
            {"phase": "request", "rule": "jailbreak", "action": "block", "mode": "enforce", "cause": "true"},
        ),
        "coverage_total": (1, {"phase": "request", "coverage": "partial"}),
        "uninspectable_total": (1, {"phase": "request", "reason": "encoding"}),
        "released_unscanned_total": (1, {"phase": "response"}),
        "windows_total": (3, {"phase": "request"}),
        "characters_total": (700, {"phase": "request", "kind": "user", "state": "scanned"}),
        "checks_total": (2, {"phase": "request", "detector": "screen", "result": "run"}),
        "redactions_total": (2, {"phase": "request", "entity": "email"}),
        "restored_total": (3, {"entity": "email"}),
        "items_total": (2, {"state": "dropped"}),
        "phase_seconds_sum": (0.01, {"phase": "request", "step": "verdict"}),
    }
    assert expected == {name: (value(metrics, name, **labels), labels) for name, (_, labels) in expected.items()}
    assert value(metrics, "checks_total", phase="request", detector="screen", result="skipped") is None
    assert value(metrics, "checks_total", phase="request", detector="guard", result="not-due") == 2
    assert value(metrics, "phase_seconds_count", phase="request", step="first") is None


def test_streams_are_counted_open_and_ended() -> None:
    """Two came, one went, one was not taken."""
    metrics = Metrics()
    metrics.stream_opened()
    metrics.stream_opened()
    metrics.stream_closed("complete", 0.2, received=100, sent=50)
    metrics.stream_refused("overload")
    metrics.fault("peer")
    metrics.watch_held(lambda: 4096)
    assert value(metrics, "streams_active") == 1
    assert value(metrics, "streams_total", how="complete") == 1
    assert value(metrics, "streams_refused_total", reason="overload") == 1
    assert value(metrics, "stream_seconds_bucket", le="0.5") == 1
    assert value(metrics, "stream_seconds_bucket", le="0.1") == 0
    assert value(metrics, "received_bytes_total") == 100
    assert value(metrics, "sent_bytes_total") == 50
    assert value(metrics, "faults_total", where="peer") == 1
    assert value(metrics, "held_bytes") == 4096


def test_detectors_and_breakers_are_seen() -> None:
    """A slow answer, a failure, a shared request, and a breaker that is in one state at a time."""
    metrics = Metrics()
    metrics.detector("screen", "", 0.02)
    metrics.detector("screen", "timeout", 0.05)
    metrics.batch("screen", 7, 0.003)
    metrics.breaker("screen", "triton:8001", "open")
    metrics.breaker("screen", "triton:8001", "half-open")
    assert value(metrics, "detector_seconds_count", detector="screen") == 2
    assert value(metrics, "detector_failures_total", detector="screen", failure="timeout") == 1
    assert value(metrics, "model_batch_texts_sum", model="screen") == 7
    assert value(metrics, "model_queue_seconds_sum", model="screen") == 0.003
    states = [value(metrics, "breaker_state", model="screen", endpoint="triton:8001", state=state)
              for state in ("closed", "half-open", "open")]  # fmt: skip
    assert states == [0, 1, 0]


def test_escalations_are_seen() -> None:
    """Each window of a model with a condition, and the share of those lately."""
    metrics = Metrics()
    it = Escalations(metrics)
    guard = Model("guard", "guard", 100, escalation=Escalation())
    it.admits(guard)
    for _ in range(3):
        it.spared([guard])
    assert value(metrics, "escalations_total", detector="guard", result="asked") == 1
    assert value(metrics, "escalations_total", detector="guard", result="not-due") == 3
    assert value(metrics, "escalated_share", detector="guard") == 0.25


def test_stores_are_seen() -> None:
    """A store that went away and came back, why, and what became of settlements."""
    metrics = Metrics()
    metrics.store_state("limits", "away")
    assert 0 == value(metrics, "store_failures_total", store="limits", reason="timeout")
    metrics.store_failed("limits", "timeout")
    metrics.store_state("limits", "ok")
    metrics.settled("late", 3)
    assert [1, 0] == [value(metrics, "store_state", store="limits", state=state) for state in ("ok", "away")]
    assert value(metrics, "store_failures_total", store="limits", reason="timeout") == 1
    assert value(metrics, "settlements_total", result="late") == 3


def test_policy_and_records_are_seen() -> None:
    """The policy in force is one; failed loads and failed writes count."""
    metrics = Metrics()
    metrics.policy_loaded("sha256:aa", 1.0)
    metrics.policy_failed()
    metrics.policy_loaded("sha256:bb", 2.0)
    metrics.record_kept("spool", 700)
    metrics.record_failed("spool", "disk-full")
    metrics.records_lost("spool", 3)
    metrics.degraded("records", True)
    assert value(metrics, "policy_info", digest="sha256:aa") is None
    assert value(metrics, "policy_info", digest="sha256:bb") == 1
    assert value(metrics, "policy_loads_total", result="ok") == 2
    assert value(metrics, "policy_loads_total", result="failed") == 1
    assert value(metrics, "policy_loaded_timestamp_seconds") == 2
    assert value(metrics, "records_total", sink="spool") == 1
    assert value(metrics, "record_bytes_total", sink="spool") == 700
    assert value(metrics, "record_failures_total", sink="spool", reason="disk-full") == 1
    assert value(metrics, "records_lost_total", sink="spool") == 3
    assert value(metrics, "degraded", what="records") == 1


def test_prometheus_can_read_it_and_finds_what_the_table_promises() -> None:
    """Over HTTP: every row of METRICS with its help text, and the process's own."""
    metrics = Metrics()
    metrics.exchange(RECORD)
    port, stop = metrics.serve("127.0.0.1", 0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            families = list(text_string_to_metric_families(response.read().decode()))
    finally:
        stop()
    seen = {family.name: family.documentation for family in families}
    assert {row.name.removesuffix("_total"): row.help for row in METRICS}.items() <= seen.items()
    assert "process_cpu_seconds" in seen


def test_names_follow_the_conventions() -> None:
    """Prefix, base units, unique, documented."""
    assert len(METRICS) == len({row.name for row in METRICS})
    for row in METRICS:
        assert row.name.startswith("safeguards_")
        assert not row.name.endswith(("_ms", "_count", "_sum", "_bucket"))
        assert row.help.endswith(".")


@given(st.text())
def test_no_label_value_is_a_sentence(text: str) -> None:
    """Whatever reaches a label, only names come out."""
    metrics = Metrics()
    metrics.captured(text)
    (sample,) = (
        sample for family in metrics.collect() if family.name == "safeguards_captures" for sample in family.samples
    )
    where = sample.labels["result"]
    assert where in ("other", text)
    assert not set(where) & set(' "\\\n{}')
    assert len(where) <= 80


def test_the_number_of_series_is_bounded() -> None:
    """Past the bound everything is "other", and what was known still counts."""
    metrics = Metrics()
    for number in range(MOST_SERIES + 5):
        metrics.captured(f"f{number}")
    metrics.captured("f0")
    assert value(metrics, "captures_total", result="f0") == 2
    assert value(metrics, "captures_total", result="other") == 5


def test_sealing_and_reconciling_are_counted() -> None:
    """What was sealed and what stays; what was compared, and the gaps by kind."""
    metrics = Metrics()
    metrics.sealed(7, 12, 1, 100.5)
    metrics.sealed(3, 0, 0, 101.5)
    metrics.reconciled(5, 4, {"missing": 2}, 102.5)
    assert (10, 12, 0, 101.5) == (
        value(metrics, "sealed_records_total"),
        value(metrics, "sealed_torn_bytes_total"),
        value(metrics, "sealer_segments_left"),
        value(metrics, "sealer_looked_timestamp_seconds"),
    )
    assert (5, 4) == tuple(value(metrics, "reconciled_total", what=what) for what in ("line", "record"))
    assert (2, 102.5) == (
        value(metrics, "record_gaps_total", kind="missing"),
        value(metrics, "reconciled_timestamp_seconds"),
    )
