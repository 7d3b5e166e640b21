"""What the chart gives a Prometheus Operator and Grafana is what the files say, word for word."""

from __future__ import annotations

import pytest
import yaml

from tests.helm.program import CHART, Helm, Manifest

pytestmark = pytest.mark.real

FILES = CHART / "files"
RUNBOOKS = "https://wiki.example.com/safeguards/"


def rules(helm: Helm, **more: str) -> Manifest:
    found = helm.render({"monitoring": {"rules": {"enabled": True, "labels": {"release": "prometheus"}, **more}}})
    [rule] = [each for each in found if each["kind"] == "PrometheusRule"]
    return rule


def test_the_rules_are_those_that_promtool_plays(helm: Helm) -> None:
    """Templates of annotations included, which Helm leaves alone; found by the labels that were asked for."""
    rule = rules(helm)
    assert yaml.safe_load((FILES / "alerts.yaml").read_text(encoding="utf-8")) == rule["spec"]
    assert "prometheus" == rule["metadata"]["labels"]["release"]


def test_runbooks_are_where_an_operator_says(helm: Helm) -> None:
    """Each alert's address; and nothing else is different."""
    spec = rules(helm, runbooks=RUNBOOKS)["spec"]
    text = (FILES / "alerts.yaml").read_text(encoding="utf-8").replace("docs/runbooks/", RUNBOOKS)
    assert yaml.safe_load(text) == spec
    alerts = [rule for group in spec["groups"] for rule in group["rules"] if "alert" in rule]
    addresses = [alert["annotations"]["runbook_url"] for alert in alerts]
    assert addresses
    assert all(address.startswith(RUNBOOKS + "Safeguards") and address.endswith(".md") for address in addresses)


@pytest.mark.parametrize("address", ["wiki.example.com/x/", "https://wiki.example.com/x", "https://a b/"])
def test_an_address_that_leads_nowhere_is_refused(helm: Helm, address: str) -> None:
    """Without a scheme, without the slash at its end, with a space."""
    assert "runbooks" in helm.refuse({"monitoring": {"rules": {"enabled": True, "runbooks": address}}})


def test_dashboards_are_the_files(helm: Helm) -> None:
    """One ConfigMap each, with the label by which Grafana's sidecar finds it."""
    found = helm.render({"monitoring": {"dashboards": {"enabled": True}}})
    made = [each for each in found if each["kind"] == "ConfigMap" and "grafana_dashboard" in each["metadata"]["labels"]]
    expected = {file.name: file.read_text(encoding="utf-8").strip() for file in (FILES / "dashboards").glob("*.json")}
    assert expected == {name: text.strip() for each in made for name, text in each["data"].items()}
    assert len(expected) == len(made) > 1
