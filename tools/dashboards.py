"""The dashboards of the chart: `python -m tools.dashboards` writes them from tools/dashboards.yaml.

The one place that knows how Grafana writes a panel down (schema version 39: Grafana 10 and later).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

SOURCES = Path(__file__).with_name("dashboards.yaml")
FOLDER = Path(__file__).parents[1] / "helm" / "safeguards-extproc" / "files" / "dashboards"

COLUMNS = 24
"""Units of width in a row of Grafana's grid."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Board = Mapping[str, Any]
Panel = Mapping[str, Any]


def boards() -> list[Board]:
    """What tools/dashboards.yaml says."""
    found: list[Board] = yaml.safe_load(SOURCES.read_text(encoding="utf-8"))
    return found


def questions(board: Board) -> Iterator[tuple[str, str]]:
    """Every expression as Grafana sends it but for its variables, with the title of its panel."""
    for row in board["rows"]:
        for panel in row["panels"]:
            for expression in panel["ask"].values():
                yield panel["title"], _text(expression)


def _text(expression: str) -> str:
    return expression.replace("{NS", '{namespace=~"$namespace"').replace("[RATE]", "[$__rate_interval]")


def render(board: Board) -> str:
    """The file."""
    document = {
        "uid": f"safeguards-{board['name']}",
        "title": board["title"],
        "description": board["says"],
        "tags": ["safeguards-extproc"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "",
        "templating": {"list": _variables(board["of"])},
        "annotations": {"list": [_deployments()]},
        "links": [_others()],
        "panels": _panels(board["rows"]),
    }
    return json.dumps(document, indent=1) + "\n"


def _variables(of: str) -> list[dict[str, Any]]:
    namespaces = f"label_values({of}, namespace)"
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "namespace",
            "label": "Namespace",
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": namespaces, "refId": "namespaces"},
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _deployments() -> dict[str, Any]:
    """A mark in every panel where a policy came into force."""
    return {
        "name": "Policy loaded",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": "changes(safeguards_policy_loaded_timestamp_seconds[1m]) > 0",
    }


def _others() -> dict[str, Any]:
    return {
        "title": "Safeguards",
        "type": "dashboards",
        "tags": ["safeguards-extproc"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }


def _panels(rows: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    down = 0
    for row in rows:
        place = {"x": 0, "y": down, "w": COLUMNS, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row["title"], "gridPos": place, "panels": []})
        down, across, tallest = down + 1, 0, 0
        for panel in row["panels"]:
            stat = panel.get("kind") == "stat"
            height, width = 4 if stat else 8, panel.get("width", 4 if stat else 8)
            if across + width > COLUMNS:
                down, across, tallest = down + tallest, 0, 0
            place = {"x": across, "y": down, "w": width, "h": height}
            panels.append(_panel(panel, len(panels) + 1, place))
            across, tallest = across + width, max(tallest, height)
        down += tallest
    return panels


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    kind = panel.get("kind", "timeseries")
    return {
        "id": number,
        "type": kind,
        "title": panel["title"],
        "description": panel.get("says", ""),
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": _text(expression),
                "legendFormat": legend or "__auto",
                "instant": kind == "stat",
                "range": kind != "stat",
            }
            for index, (legend, expression) in enumerate(panel["ask"].items())
        ],
        "fieldConfig": {"defaults": _field(panel, kind), "overrides": []},
        "options": _options(kind),
    }


def _field(panel: Panel, kind: str) -> dict[str, Any]:
    field: dict[str, Any] = {"unit": panel.get("unit", "short"), "min": 0}
    for key, low, high in (("red", "green", "red"), ("red_beneath", "red", "green")):
        if key in panel:
            field["color"] = {"mode": "thresholds"}
            steps = [{"color": low, "value": None}, {"color": high, "value": panel[key]}]
            field["thresholds"] = {"mode": "absolute", "steps": steps}
    if kind == "timeseries":
        field["custom"] = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    return field


def _options(kind: str) -> dict[str, Any]:
    if kind == "stat":
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": reduced, "colorMode": "background", "graphMode": "none", "textMode": "auto"}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for board in boards():
        (FOLDER / f"{board['name']}.json").write_text(render(board), encoding="utf-8")


if __name__ == "__main__":
    main()
