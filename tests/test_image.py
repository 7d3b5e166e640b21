"""The container image and the chart agree, and the image holds the service alone."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tools.image import stages

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile"
HELPERS = ROOT / "helm" / "safeguards-extproc" / "templates" / "_helpers.tpl"


@pytest.fixture
def last_stage() -> dict[str, str]:
    """The instructions of the stage that is shipped, the last of each kind."""
    return dict(stages(DOCKERFILE.read_text())[-1].lines)


def test_runs_as_the_user_that_the_chart_names(last_stage: dict[str, str]) -> None:
    """The image's user is not root, is a number that the kubelet can check, and owns what the chart says."""
    user = re.search(r'define "safeguards-extproc.user" -}}(\d+)', HELPERS.read_text())
    assert user is not None
    assert last_stage["USER"] == f"{user[1]}:{user[1]}"
    assert int(user[1]) > 0


def test_starts_the_command_line(last_stage: dict[str, str]) -> None:
    """The chart's arguments follow the entry point, which is the script that pyproject.toml installs."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert last_stage["ENTRYPOINT"] == '["safeguards-extproc"]'
    assert "safeguards-extproc" in scripts


def test_holds_no_torch() -> None:
    """The service's own dependencies name no torch, and the image installs no extra unless it is asked to."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [name for name in project["dependencies"] if name.startswith(("torch", "nvidia"))] == []
    [built, _] = stages(DOCKERFILE.read_text())
    assert ("ARG", "EXTRAS=") in built.lines
    [install] = [rest for _, rest in built.lines if " install --no-cache-dir" in rest]
    assert "[" not in install


def test_build_context_is_what_the_build_copies() -> None:
    """Nothing but what the Dockerfile copies reaches the builder: no records, no caches, no tests."""
    ignore = (ROOT / ".dockerignore").read_text().split()
    lines = [line for stage in stages(DOCKERFILE.read_text()) for line in stage.lines]
    copied = [rest.split()[:-1] for word, rest in lines if word == "COPY"]
    sources = {name for names in copied for name in names if not name.startswith(("--", "/"))}
    assert ignore[0] == "*"
    assert {line.strip("!/") for line in ignore if line.startswith("!")} == sources


def test_says_what_it_is(last_stage: dict[str, str]) -> None:
    """Title, version, revision and licence stand in the image's labels, under the names that registries show."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', last_stage["LABEL"]))
    assert {"title", "description", "version", "revision", "licenses"} == labels.keys()
    assert ("${VERSION}", "${REVISION}", "Apache-2.0") == (labels["version"], labels["revision"], labels["licenses"])
