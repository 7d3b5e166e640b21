"""Every expression of every dashboard, and every series that an alert looks at, on a Prometheus that scrapes the real
parts under traffic. Then the model server and Redis are taken away, the alerts for that come, and somebody is told."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator

import pytest

from safeguards_extproc.local.triton import available
from tests.envoy.background import until
from tests.oncall.live import Live, running
from tests.oncall.promtool import PREFIX, rules
from tests.tools.test_dashboards import plain
from tools.dashboards import boards, questions

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

NOT_HERE = {
    "nv_gpu_": "this machine has no GPU",
    "offset 1w": "nothing has run for a week",
    "kube_": "there is no cluster, so no kube-state-metrics",
    "safeguards_restored_total": "the demo's policy restores nothing",
    "safeguards_items_total": "the demo's APIs list nothing",
    "safeguards_captures_total": "nothing is captured",
    "safeguards_record_failures_total": "the disk takes every record",
    "safeguards_account_failures_total": "strikes are told as long as there are any",
}
"""What cannot be asked here, and why."""

WELL_AND_SILENT = {
    "safeguards_detector_failures_total": "no detector has failed",
    "safeguards_breaker_state": "no breaker has moved",
    'rule=~"detector:': "no text went without its model",
    "safeguards_keeper_failures_total": "the keeper could do everything",
}
"""Series that come only when something goes wrong."""

SOON_S = 90
"""How long all of it may take to be there; rules, rates and a first strike need some scrapes."""

SELECTOR = re.compile(r"\b(?:safeguards|envoy|nv|redis|process|kube)[a-z0-9_:]*(?:\{[^}]*\})?")


def without(expressions: Iterable[str], *why: dict[str, str]) -> set[str]:
    return {each for each in expressions if not any(reason in each for reasons in why for reason in reasons)}


PANELS = {plain(text).replace("[1m]", "[30s]") for board in boards() for _, text in questions(board)}
LABELS = {"envoy_cluster_name", "envoy_http_conn_manager_prefix"}
SERIES = {f"count({each})" for rule in rules() for each in SELECTOR.findall(rule["expr"]) if each not in LABELS}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    if why := available():
        pytest.skip(why)
    with running(tmp_path_factory.mktemp("live")) as up:
        yield up


def empty(live: Live, expressions: Iterable[str]) -> set[str]:
    return {each for each in expressions if not live.prometheus.ask(each)}


def all_there(live: Live, expressions: set[str]) -> None:
    """Wait until each has a number; say which have none."""
    left = set(expressions)

    def look() -> bool:
        left.intersection_update(empty(live, left))
        return not left

    try:
        until(look, "every expression has a number", SOON_S)
    except AssertionError:
        pytest.fail("without a number:\n" + "\n".join(sorted(left)))


def test_the_healthy_stack_shows_everything_and_wakes_nobody(live: Live) -> None:
    """Every panel has numbers, every alert has its series, every target answers, nothing fires."""
    assert (len(PANELS) > 100, len(SERIES) > 50) == (True, True)
    all_there(live, without(PANELS | SERIES, NOT_HERE, WELL_AND_SILENT))
    assert [] == live.prometheus.down()
    assert [] == [each["labels"]["alertname"] for each in live.prometheus.alerts() if each["state"] == "firing"]


def test_what_is_asked_and_not_there_is_found(live: Live) -> None:
    """A planted fault: a metric of another name."""
    gone = "sum(rate(safeguards_streams_begun_total[30s]))"
    assert {gone} == empty(live, {gone, "safeguards_ready"})


def test_what_comes_of_a_fault_is_shown_and_told(live: Live) -> None:
    """Triton killed, Redis killed: their panels have numbers, their alerts come, and read as they should."""
    os.killpg(live.triton.process.pid, signal.SIGKILL)
    live.redis.process.kill()
    all_there(live, without(PANELS | SERIES, NOT_HERE) - without(PANELS | SERIES, NOT_HERE, WELL_AND_SILENT))
    expected = {"ModelNotReady", "ModelFailures", "RedisDown", "StandingsOld"}

    def came() -> dict[str, str]:
        return {
            each["labels"]["alertname"].removeprefix(PREFIX): each["annotations"]["summary"]
            for each in live.prometheus.alerts()
        }

    until(lambda: expected <= came().keys(), "the alerts come", SOON_S)
    summaries = came()
    assert "model:screen is not ready" == summaries["ModelNotReady"]
    assert "Redis" in summaries["RedisDown"]
    said = [each["annotations"][key] for each in live.prometheus.alerts() for key in ("summary", "description")]
    assert not [each for each in said if "{{" in each or "error" in each.lower() or "<no value>" in each]


def test_whoever_is_on_call_is_told(live: Live) -> None:
    """By way of a real Alertmanager: of a page, with its runbook and whether traffic goes unchecked; of no ticket."""
    until(lambda: "SafeguardsModelNotReady" in live.told.alerts("on-call"), "somebody is paged", SOON_S)
    alert = live.told.alerts("on-call")["SafeguardsModelNotReady"]
    assert ("page", "model:screen") == (alert["labels"]["severity"], alert["labels"]["what"])
    assert "docs/runbooks/SafeguardsModelNotReady.md" == alert["annotations"]["runbook_url"]
    assert alert["annotations"]["unchecked"].startswith("It depends on the detector's on_failure")
    assert {"page"} == {each["labels"]["severity"] for each in live.told.alerts("on-call").values()}


def test_what_cannot_be_asked_is_on_a_panel_or_in_an_alert() -> None:
    """No reason outlives what it was for."""
    asked: list[str] = [*PANELS, *SERIES, *(rule["expr"] for rule in rules())]
    for reason in (*NOT_HERE, *WELL_AND_SILENT):
        assert any(reason in each for each in asked), reason
