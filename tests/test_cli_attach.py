"""The command line of attachments: what it writes is what was asked for, and wrong questions are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from safeguards_extproc.attach import MESHES
from safeguards_extproc.attach.options import Attachment, How, Route, Tls
from safeguards_extproc.cli import app
from safeguards_extproc.errors import ConfigError


def run(*args: str) -> str:
    """What the command writes."""
    done = CliRunner().invoke(app, ["envoy-config", *args])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


KUBERNETES = ("--service", "guard", "--namespace", "mesh", "--port", "19002", "--gateway", "edge")


@pytest.mark.parametrize("mesh", [mesh for mesh in MESHES if mesh != "static"])
def test_every_mesh_of_kubernetes(mesh: str) -> None:
    """The options name the Service and the Gateway; what is written is what the mesh's module says."""
    wanted = Attachment(
        addresses=("guard.mesh.svc:19002",), service="guard", namespace="mesh", port=19002, gateway="edge"
    )
    written = list(yaml.safe_load_all(run("--mesh", mesh, *KUBERNETES)))
    assert [document for _, document in MESHES[mesh](wanted)] == written


def test_a_file() -> None:
    """Processes, routes and TLS, from options."""
    args = ["--address", "a.example:1", "--address", "a.example:2", "--route", "/admin=off", "--route", "/v1/chat"]
    args += ["--default", "buffered", "--streams", "5000", "--message-timeout", "4", "--tls", "mutual"]
    wanted = Attachment(
        addresses=("a.example:1", "a.example:2"),
        how=How.BUFFERED,
        routes=(Route("/admin", How.OFF), Route("/v1/chat", How.GUARD)),
        streams=5000,
        timeout_s=4,
        tls=Tls.MUTUAL,
    )
    expected = [document for _, document in MESHES["static"](wanted)]
    assert expected == list(yaml.safe_load_all(run("--mesh", "static", *args)))


def test_files_are_written(tmp_path: Path) -> None:
    """Each document is a file, and those that Envoy reads have the names that it asks for."""
    said = run("--mesh", "static", "--tls", "mutual", "--out", str(tmp_path / "out"))
    names = ["00-static.yaml", "safeguards_authority.yaml", "safeguards_certificate.yaml"]
    assert [str(tmp_path / "out" / name) for name in names] == said.split()
    assert all(yaml.safe_load((tmp_path / "out" / name).read_text()) for name in names)


@pytest.mark.parametrize(
    ("args", "where"),
    [
        (["--mesh", "linkerd"], "--mesh"),
        (["--mesh", "static", "--default", "open"], "--default"),
        (["--mesh", "static", "--tls", "yes"], "--tls"),
        (["--mesh", "static", "--route", "/a=maybe"], "--route"),
        (["--mesh", "gke"], "--gateway"),
        (["--mesh", "gke", "--gateway", "g", "--pod-label", "app"], "--pod-label"),
    ],
)
def test_a_wrong_question_is_named(args: list[str], where: str) -> None:
    """The option that has to change is said."""
    with pytest.raises(ConfigError) as caught:
        run(*args)
    assert where == caught.value.where
