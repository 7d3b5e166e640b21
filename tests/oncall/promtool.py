"""The programs of Prometheus: where they are, and cases as promtool reads them."""

from __future__ import annotations

import copy
import functools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.oncall.cases import Case

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "safeguards-extproc"
ALERTS = CHART / "files" / "alerts.yaml"
PREFIX = "Safeguards"

Rule = dict[str, Any]


def program(name: str, package: str = "prometheus") -> str:
    """Where a program is; the test is skipped where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here: on Debian and Ubuntu `apt install {package}`")
    return found


def check(rules: Path) -> str:
    """What `promtool check rules` has against a file, "" if nothing."""
    done = subprocess.run([program("promtool"), "check", "rules", str(rules)], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@functools.cache
def _read() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return document


def rules() -> list[Rule]:
    """Every rule of the file, recording rules included. They are the caller's own."""
    return [copy.deepcopy(rule) for group in _read()["groups"] for rule in group["rules"]]


def alerts() -> list[Rule]:
    return [rule for rule in rules() if "alert" in rule]


def failing(rules: Sequence[Rule], cases: Sequence[Case], every: str, folder: Path) -> tuple[int, str]:
    """How many of the cases do not hold for `rules`, which are looked at as often as `every` says, and promtool's words
    about them. Each alert is played with the recording rules that it needs, in the file's order, and no others."""
    files = []
    for alert in dict.fromkeys(case.alert for case in cases):
        path = folder / f"{alert}.yaml"
        groups = [{"name": alert, "rules": needed(PREFIX + alert, rules)}]
        path.write_text(yaml.safe_dump({"groups": groups}, sort_keys=False), encoding="utf-8")
        document = {
            "rule_files": [path.name],
            "evaluation_interval": every,
            "tests": [_group(case) for case in cases if case.alert == alert],
        }
        files.append(folder / f"{alert}.test.yaml")
        files[-1].write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    argv = [program("promtool"), "test", "rules", *map(str, files)]
    done = subprocess.run(argv, capture_output=True, text=True)
    told = done.stdout + done.stderr
    failed = told.count('expr: "count(ALERTS')
    assert (done.returncode == 0) == (failed == 0), told
    return failed, told


def needed(alert: str, rules: Sequence[Rule]) -> list[Rule]:
    """The rules of an alert, and those that record what they ask for."""
    found = [rule for rule in rules if rule.get("alert") == alert]
    while more := [
        rule for rule in rules if rule not in found and any(rule.get("record", " ") in of["expr"] for of in found)
    ]:
        found += more
    return [rule for rule in rules if rule in found]


def _group(case: Case) -> dict[str, Any]:
    name = PREFIX + case.alert
    asked = f'count(ALERTS{{alertname="{name}", severity="{case.severity}", alertstate="firing"}}) > bool 0'
    expected = [{"labels": "{}", "value": 1}] if case.fires else []
    return {
        "name": case.name,
        "interval": case.every,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [{"expr": asked, "eval_time": case.after, "exp_samples": expected}],
    }
