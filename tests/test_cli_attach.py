"""The command line of attachments: it writes what was asked for, says what it finds, and names wrong questions."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from typer.testing import CliRunner

from safeguards_extproc.attach import MESHES
from safeguards_extproc.attach.options import Attachment, How, Route, Tls
from safeguards_extproc.cli import app
from safeguards_extproc.doctor import CHECKS
from safeguards_extproc.errors import ConfigError
from tests.attach.pasted import static
from tests.doctor.paper import dump


def run(*args: str) -> str:
    """What the command writes."""
    done = CliRunner().invoke(app, ["envoy-config", *args])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


KUBERNETES = (
    "--service",
    "guard",
    "--namespace",
    "mesh",
    "--port",
    "19002",
    "--health-port",
    "19003",
    "--gateway",
    "edge",
)


@pytest.mark.parametrize("mesh", [mesh for mesh in MESHES if mesh != "static"])
def test_every_mesh_of_kubernetes(mesh: str) -> None:
    """The options name the Service and the Gateway; what is written is what the mesh's module says."""
    wanted = Attachment(
        addresses=("guard.mesh.svc:19002",),
        service="guard",
        namespace="mesh",
        port=19002,
        health_port=19003,
        gateway="edge",
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


class Admin(BaseHTTPRequestHandler):
    """An admin interface that says what a configuration would make Envoy say."""

    document: ClassVar[dict[str, Any]]

    def do_GET(self) -> None:
        hosts_ = [{"name": "safeguards", "host_statuses": [{"health_status": {"eds_health_status": "HEALTHY"}}]}]
        said = {
            "/config_dump": dump(self.document),
            "/server_info": {"version": "sha/1.40.0/Clean"},
            "/stats": {"stats": []},
            "/clusters": {"cluster_statuses": hosts_},
        }
        body = json.dumps(said[self.path.partition("?")[0]]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on standard error."""


@contextmanager
def admin(document: dict[str, Any]) -> Iterator[str]:
    handler = type("Answering", (Admin,), {"document": document})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def doctor(*args: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", *args])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


@pytest.mark.long
def test_the_doctor_finds_nothing_wrong() -> None:
    """Every check is in the table, each with its question, and the command ends with 0."""
    document, _ = static(Attachment())
    with admin(document) as url:
        code, said = doctor("--envoy", url)
    assert 0 == code
    assert f"{len(CHECKS)} checks, 0 wrong, 0 to take care of" in said
    assert all(check.code in said for check in CHECKS)


def test_the_doctor_says_what_is_wrong() -> None:
    """Where, what and what to do about it; what was accepted is still in the table, and ends with 0."""
    document, _ = static(Attachment(routes=(Route("/admin/", How.OFF),)))
    with admin(document) as url:
        code, said = doctor("--envoy", url, "--json")
        accepted, _ = doctor("--envoy", url, "--accept", "route-unread")
    [row] = [row for row in json.loads(said) if row["result"] != "ok"]
    assert ("route-unread", "wrong", "ingress, models: /admin/") == (row["check"], row["result"], row["where"])
    assert (1, 0) == (code, accepted)


def test_an_unknown_check_cannot_be_accepted() -> None:
    """A slip in --accept would hide nothing and look as if it did."""
    with pytest.raises(ConfigError, match="no such check: route-unred"):
        doctor("--accept", "route-unred")
