"""The container image and the chart agree, and the image holds the service alone."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tools.image import stages

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile"
OF_TRITON = ROOT / "Dockerfile.triton"
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


@pytest.mark.parametrize(
    ("dockerfile", "ignored"), [(DOCKERFILE, ".dockerignore"), (OF_TRITON, "Dockerfile.triton.dockerignore")]
)
def test_build_context_is_what_the_build_copies(dockerfile: Path, ignored: str) -> None:
    """Nothing but what the Dockerfile copies reaches the builder: no records, no caches, no tests."""
    ignore = (ROOT / ignored).read_text().split()
    lines = [line for stage in stages(dockerfile.read_text()) for line in stage.lines]
    copied = [rest.split()[:-1] for word, rest in lines if word == "COPY"]
    sources = {name for names in copied for name in names if not name.startswith(("--", "/"))}
    assert ignore[0] == "*"
    assert {line.strip("!/") for line in ignore if line.startswith("!")} == sources


def test_says_what_it_is(last_stage: dict[str, str]) -> None:
    """Title, version, revision and licence stand in the image's labels, under the names that registries show."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', last_stage["LABEL"]))
    assert {"title", "description", "version", "revision", "licenses"} == labels.keys()
    assert ("${VERSION}", "${REVISION}", "Apache-2.0") == (labels["version"], labels["revision"], labels["licenses"])


def imports(folder: Path) -> set[str]:
    """The packages that the modules of a folder import, wherever they do it."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    found |= {each.name.partition(".")[0] for each in names}
                case ast.ImportFrom(module=str(module), level=0):
                    found.add(module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


def asked(text: str) -> set[str]:
    """The requirements that lines of `pip install` name."""
    return {word.strip('";') for word in text.split() if re.match(r'"?[A-Za-z0-9-]+(==|>=)', word)}


WITH_TRITON = {"numpy", "triton_python_backend_utils"}
"""What NVIDIA's image brings for its Python backend."""


def test_triton_s_image_has_what_the_models_import() -> None:
    """Every package that a model's code imports is installed, in the versions that the tests of this repository use."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {*project["dependencies"], *project["optional-dependencies"]["guards"]}
    [install] = [rest for word, rest in stages(OF_TRITON.read_text())[-1].lines if word == "RUN"]
    found = asked(install)
    minilm = re.search(r"^MINILM := (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert minilm is not None
    assert found - {minilm[1]} <= ours, found - ours
    names = {re.split(r"[=><]", each)[0].lower().replace("-", "_") for each in found}
    wanted = set().union(*(imports(ROOT / name) for name in ("encoders", "guards", "triton_models")))
    assert wanted - {"encoders", "guards"} - WITH_TRITON <= names


def test_triton_s_image_runs_as_the_user_that_the_chart_names() -> None:
    """Its files are readable to that user, and it is not root."""
    template = (HELPERS.parent / "triton.yaml").read_text()
    user = re.search(r'podSettings" \(list \$ (\d+)\)', template)
    assert user is not None
    assert ("USER", f"{user[1]}:{user[1]}") in stages(OF_TRITON.read_text())[-1].lines
