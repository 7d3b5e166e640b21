"""Every alert fires when it should and is silent when it should be: promtool plays both."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from safeguards_extproc.telemetry import FROM_ZERO, METRICS
from tests.oncall import promtool
from tests.oncall.cases import LONG, PAGE, SHORT, TICKET, Case
from tests.oncall.promtool import ALERTS, PREFIX, Rule, alerts, rules

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

EVERY = [(SHORT, "1m"), (LONG, "1h")]
"""Cases, and how often rules are looked at for them."""


def named(alert: Rule) -> tuple[str, str]:
    return alert["alert"].removeprefix(PREFIX), alert["labels"]["severity"]


def test_prometheus_reads_the_file() -> None:
    """Syntax, and templates of annotations."""
    assert "" == promtool.check(ALERTS)


def test_each_alert_has_a_case_of_either_kind() -> None:
    """Firing and not firing, for each severity of an alert."""
    cases = {(case.alert, case.severity, case.fires) for case in (*SHORT, *LONG)}
    assert {(*named(alert), fires) for alert in alerts() for fires in (True, False)} == cases


@pytest.mark.parametrize(("cases", "every"), EVERY, ids=["hours", "days"])
def test_alerts_do_as_the_cases_say(cases: tuple[Case, ...], every: str, tmp_path: Path) -> None:
    """All of them, in one run."""
    failed, told = promtool.failing(rules(), cases, every, tmp_path)
    assert 0 == failed, told


def planted(expression: str) -> list[Rule]:
    """The alerts, with the condition of each replaced."""
    return [{key: value for key, value in alert.items() if key != "for"} | {"expr": expression} for alert in alerts()]


@pytest.mark.parametrize(
    ("expression", "fires"), [("vector(0) > 1", True), ("vector(1)", False)], ids=["dead", "stuck"]
)
def test_every_case_bites(expression: str, fires: bool, tmp_path: Path) -> None:
    """Planted faults: alerts that never fire fail every case that expects one, alerts that always do all others."""
    biting = [case for case in (*SHORT, *LONG) if case.fires is fires]
    failed, _ = promtool.failing(planted(expression), [short(case) for case in biting], "1m", tmp_path)
    assert len(biting) == failed


def short(case: Case) -> Case:
    """The case, looked at after two minutes: what an alert without a condition does needs no days."""
    return Case(case.name, case.alert, case.severity, case.fires, "2m", {}, "1m")


def test_alerts_say_what_whoever_is_woken_needs() -> None:
    """Severity, words, whether traffic goes unchecked, and a page."""
    for alert in alerts():
        assert alert["alert"].startswith(PREFIX)
        assert {"severity"} == alert["labels"].keys()
        assert alert["labels"]["severity"] in (PAGE, TICKET)
        assert {"summary", "description", "unchecked", "runbook_url"} == alert["annotations"].keys(), alert["alert"]
        assert re.match(
            r"No\b|YES\.|PARTLY\.|MAYBE\.|Maybe:|UNKNOWN\.|It depends|Only where|Not yet",
            alert["annotations"]["unchecked"],
        )


METRIC = re.compile(r"\bsafeguards_[a-z_]+")


def test_rules_ask_for_metrics_that_there_are() -> None:
    """Every metric of ours that an expression names is a row of METRICS."""
    known = {row.name for row in METRICS}
    for rule in rules():
        for name in METRIC.findall(rule["expr"]):
            assert re.sub(r"_(bucket|count|sum)$", "", name) in known or name in known, name


COUNTED = re.compile(r"increase\(safeguards_([a-z_]+?)(?:\{([^}]*)\})?\[")
TOLD_FROM_ZERO = {"store_failures_total": "Metrics.store_state", "records_lost_total": "Metrics.free"}
"""Metrics whose series begin at zero as soon as there is something to count for, and who sees to that."""
WHOLE = {"exchanges_total"}
"""Metrics of which the alert wants the whole, where the first count of a series matters to nobody."""


def test_no_alert_misses_the_first_count() -> None:
    """A series that begins with its first count has no increase: what an alert waits for begins at zero."""
    waited = {name for alert in alerts() for name, _ in COUNTED.findall(alert["expr"])}
    assert waited - WHOLE == waited & (FROM_ZERO.keys() | TOLD_FROM_ZERO.keys())
    assert {"streams_total", "records_lost_total"} < waited
