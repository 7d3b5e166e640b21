"""Every alert has its page, and every page tells somebody who was just woken what is true now."""

from __future__ import annotations

import contextlib
import functools
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from safeguards_extproc.cli import app
from safeguards_extproc.telemetry import METRICS
from tests.oncall import promtool
from tests.oncall.promtool import ROOT, alerts

PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
HEADINGS = ["Is traffic unchecked?", "What it means", "Look", "Mitigate"]
MOST_LINES = 60
"""A page is read at night."""

QUESTIONS = re.compile(r"```promql\n(.*?)```", re.DOTALL)


def words(text: str) -> str:
    return " ".join(text.split())


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    """By the address that the alert gives."""
    assert {ROOT / alert["annotations"]["runbook_url"] for alert in alerts()} == set(PAGES)
    for alert in alerts():
        assert f"docs/runbooks/{alert['alert']}.md" == alert["annotations"]["runbook_url"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_answers_what_is_asked_first(page: Path) -> None:
    """The same headings everywhere, and what the alert itself says about unchecked traffic and severity."""
    text = page.read_text(encoding="utf-8")
    assert f"# {page.stem}\n" == text[: len(page.stem) + 3]
    assert HEADINGS == re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert MOST_LINES > text.count("\n")
    severity = text.partition(". Names")[0].partition("Severity: ")[2]
    of = [alert for alert in alerts() if alert["alert"] == page.stem]
    assert [alert["labels"]["severity"] for alert in of] == severity.split(" and ")
    for alert in of:
        assert words(alert["annotations"]["unchecked"]) in words(text)


def unknown(text: str) -> set[str]:
    """Alerts, metrics, commands and options that a page names and nobody knows."""
    known = {row.name for row in METRICS} | {alert["alert"] for alert in alerts()}
    named = set(re.findall(r"\bsafeguards_[a-z_]+|\bSafeguards[A-Z]\w+", text))
    metrics = {re.sub(r"_(bucket|count|sum)$", "", name) if name not in known else name for name in named}
    commands = set(re.findall(r"safeguards-extproc ([a-z]+(?: [a-z]+)?)", text))
    options = set(re.findall(r"`(--[a-z-]+)", text))
    serve = {option for parameter in command("serve").params for option in parameter.opts}
    return (metrics - known) | {each for each in commands if not exists(each)} | (options - serve)


@functools.cache
def command(words: str) -> Any:
    """The command of our command line; KeyError if there is none."""
    found: Any = typer.main.get_command(app)
    for word in words.split():
        found = getattr(found, "commands", {})[word]
    return found


def exists(words: str) -> bool:
    with contextlib.suppress(KeyError):
        return command(words) is not None
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_nothing_that_is_not_there(page: Path) -> None:
    """Other alerts, metrics, our commands, options of `serve`, links."""
    text = page.read_text(encoding="utf-8")
    assert set() == unknown(text)
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize(
    "text",
    ["SafeguardsNoSuchAlert", "`safeguards_no_such_metric`", "`--no-such-option`", "safeguards-extproc records guess"],
)
def test_what_is_not_there_is_found(text: str) -> None:
    """Planted faults."""
    assert 1 == len(unknown(f"Look at SafeguardsFaults, `safeguards_faults_total`, then {text}."))


@pytest.mark.real
def test_prometheus_understands_every_question(tmp_path: Path) -> None:
    """Each block of PromQL is one expression; a broken one is found."""

    def said(questions: list[str]) -> str:
        file = tmp_path / "questions.yaml"
        rules = [{"record": f"question:{number}", "expr": text} for number, text in enumerate(questions)]
        file.write_text(yaml.safe_dump({"groups": [{"name": "questions", "rules": rules}]}), encoding="utf-8")
        return promtool.check(file)

    questions = [found for page in PAGES for found in QUESTIONS.findall(page.read_text(encoding="utf-8"))]
    assert len(questions) > len(PAGES)
    assert "" == said(questions)
    assert "" != said([*questions, "sum by (namespace"])


def test_the_list_of_alerts_is_whole() -> None:
    """docs/oncall.md names each with its page and severities."""
    rows = re.findall(r"^\| \[(\w+)\]\((.*?)\) \| (.*?) \|", (ROOT / "docs" / "oncall.md").read_text(), re.MULTILINE)
    severities: dict[str, list[str]] = {}
    for alert in alerts():
        severities.setdefault(alert["alert"], []).append(alert["labels"]["severity"])
    assert [(name, f"runbooks/{name}.md", " and ".join(of)) for name, of in severities.items()] == rows
