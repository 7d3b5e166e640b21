"""Dashboards: the committed JSON is current, Grafana's own types read it, Prometheus understands what it asks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel, RowPanel
from grafana_foundation_sdk.models.prometheus import Dataquery

from safeguards_extproc.telemetry import METRICS
from tests.oncall import promtool
from tools.dashboards import FOLDER, boards, questions, render

register_default_plugins()

FILES = sorted(FOLDER.glob("*.json"))
ASKED = [(board["name"], title, text) for board in boards() for title, text in questions(board)]


def test_the_committed_files_are_those_that_the_source_makes() -> None:
    """`python -m tools.dashboards` mends it."""
    assert {f"{board['name']}.json": render(board) for board in boards()} == {
        file.name: file.read_text(encoding="utf-8") for file in FILES
    }


def lost(ours: Any, theirs: Any, at: str = "$") -> Iterator[str]:
    """What we wrote and Grafana's types do not know: it is gone when they write it again."""
    match ours, theirs:
        case dict(), dict():
            for key, value in ours.items():
                if value is not None and value != "" and value != []:
                    yield from lost(value, theirs[key], f"{at}.{key}") if key in theirs else [f"{at}.{key}"]
        case list(), list() if len(ours) == len(theirs):
            for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
                yield from lost(mine, other, f"{at}[{index}]")
        case _:
            if ours != theirs:
                yield at


def test_a_key_that_grafana_does_not_know_is_found() -> None:
    """Planted faults: a misspelt key in a panel, in a question, in an option."""
    document = json.loads(FILES[0].read_text(encoding="utf-8"))
    panel = next(each for each in document["panels"] if each["type"] == "timeseries")
    panel["tytle"] = panel["targets"][0]["exprr"] = panel["options"]["legend"]["placemint"] = "x"
    found = list(lost(document, json.loads(JSONEncoder().encode(Dashboard.from_json(document)))))
    assert {"tytle", "exprr", "placemint"} == {at.rpartition(".")[2] for at in found}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_grafanas_types_read_it(file: Path) -> None:
    """Every panel with its place, unit and questions; nothing overlaps, nothing is wider than the page."""
    document = json.loads(file.read_text(encoding="utf-8"))
    read = Dashboard.from_json(document)
    assert [] == list(lost(document, json.loads(JSONEncoder().encode(read))))
    assert (f"safeguards-{file.stem}", 39) == (read.uid, read.schema_version)
    panels = [each for each in read.panels or [] if isinstance(each, Panel)]
    rows = [each for each in read.panels or [] if isinstance(each, RowPanel)]
    assert (len(document["panels"]), len(rows) > 1) == (len(panels) + len(rows), True)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel.title
        assert panel.field_config is not None
        assert panel.field_config.defaults.unit
        assert panel.targets
        assert all(isinstance(target, Dataquery) and target.expr for target in panel.targets)
        place = panel.grid_pos
        assert place is not None
        cells = {(x, y) for x in range(place.x, place.x + place.w) for y in range(place.y, place.y + place.h)}
        assert place.x + place.w <= 24
        assert not cells & taken, panel.title
        taken |= cells
    assert len({each["id"] for each in document["panels"]}) == len(document["panels"])


def plain(expression: str) -> str:
    """An expression with Grafana's variables filled in."""
    return expression.replace("$__rate_interval", "1m").replace("$namespace", ".*")


def strange(text: str) -> set[str]:
    """Metrics of ours that nobody has."""
    known: set[str] = {row.name for row in METRICS}
    return {
        name
        for name in re.findall(r"(?<!:)\bsafeguards_[a-z_]+", text)
        if name not in known and re.sub(r"_(bucket|count|sum)$", "", name) not in known
    }


def test_panels_ask_for_what_there_is() -> None:
    """Every metric of ours that a panel names is a row of METRICS."""
    assert set() == set().union(*(strange(text) for _, _, text in ASKED))
    assert {"safeguards_gone"} == strange("sum(rate(safeguards_gone[5m])) + safeguards_ready + safeguards:slo_burn:5m")


def test_every_metric_of_ours_is_on_a_panel() -> None:
    """Whatever is counted can be seen."""
    asked = " ".join(text for _, _, text in ASKED)
    assert [] == [row.name for row in METRICS if not re.search(rf"\b{row.name}(_bucket|_count|_sum)?\b", asked)]


@pytest.mark.real
def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    """Once Grafana has filled its variables in; and one that is broken is found."""

    def said(expressions: list[str]) -> str:
        rules: list[dict[str, Any]] = [
            {"record": f"panel:{number}", "expr": text} for number, text in enumerate(expressions)
        ]
        file = tmp_path / "panels.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
        return promtool.check(file)

    expressions = [plain(text) for _, _, text in ASKED]
    assert len(expressions) > 100
    assert "" == said(expressions)
    assert "" != said([*expressions, "sum(rate(safeguards_ready[1m])"])
