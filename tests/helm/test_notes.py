"""What Helm prints after an install, and that a real Envoy takes the configuration in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy.config.cluster.v3.cluster_pb2 import Cluster  # type: ignore[import-untyped]
from envoy.extensions.filters.http.ext_proc.v3.ext_proc_pb2 import ExternalProcessor  # type: ignore[import-untyped]
from google.protobuf.json_format import ParseDict

from safeguards_extproc.attach.messages import cluster, ext_proc
from safeguards_extproc.attach.options import Attachment
from tests.helm.certificates import write
from tests.helm.program import CHART, Helm, Values, only

pytestmark = pytest.mark.real

FILTERS = "type.googleapis.com/envoy.extensions.filters"


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """The chart with its notes as a ConfigMap, because only a cluster makes Helm 4 print them."""
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    (copy / "templates" / "NOTES.txt").rename(copy / "files" / "NOTES.txt")
    text = '(tpl (.Files.Get "files/NOTES.txt") .)'
    body = f'{{{{ dict "kind" "Notes" "metadata" (dict "name" "notes") "text" {text} | toJson }}}}'
    (copy / "templates" / "notes.yaml").write_text(body)
    return copy


def notes(helm: Helm, chart: Path, values: Values | None = None) -> str:
    """The notes for these values."""
    return str(only(helm.render(values, chart=chart), "Notes")["text"])


def snippet(text: str) -> dict[str, Any]:
    """The filter and the cluster that the notes tell users to copy."""
    found: dict[str, Any] = yaml.safe_load(text.split("--- envoy\n")[1].split("\n---")[0])
    return found


def bootstrap(found: dict[str, Any]) -> dict[str, Any]:
    """A whole Envoy configuration around the snippet."""
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"},
    }
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": []},
        "http_filters": [*found["http_filters"], router],
    }
    listener = {
        "name": "front",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    return {"static_resources": {"listeners": [listener], "clusters": found["clusters"]}}


def validate(config: dict[str, Any], path: Path) -> subprocess.CompletedProcess[str]:
    """What `envoy --mode validate` says."""
    binary = Path(sys.executable).with_name("envoy")
    envoy = str(binary) if binary.exists() else shutil.which("envoy")
    if envoy is None:
        pytest.skip("no Envoy beside this Python or on PATH; the extra `local` brings one")
    path.write_text(yaml.safe_dump(config))
    return subprocess.run([envoy, "--mode", "validate", "-c", str(path)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("values", [{}, {"ports": {"extproc": 19002, "health": 19003}}], ids=["defaults", "ports"])
def test_envoy_takes_the_snippet(helm: Helm, chart: Path, tmp_path: Path, values: Values) -> None:
    """What users copy from the notes is configuration that Envoy accepts."""
    done = validate(bootstrap(snippet(notes(helm, chart, values))), tmp_path / "envoy.yaml")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mutual"])
def test_envoy_takes_the_snippet_with_tls(helm: Helm, chart: Path, tmp_path: Path, mutual: bool) -> None:
    """With TLS, Envoy checks the name in the filter's certificate, and shows one of its own where it must."""
    write(tmp_path / "pem", "envoy")
    text = notes(helm, chart, {"tls": {"secretName": "guard-tls", "mutual": mutual}})
    found = snippet(text.replace("/etc/envoy/safeguards", str(tmp_path / "pem")))
    tls = found["clusters"][0]["transport_socket"]["typed_config"]["common_tls_context"]
    (name,) = tls["validation_context"]["match_typed_subject_alt_names"]
    assert name["matcher"] == {"exact": "guard-safeguards-extproc.mesh.svc"}
    assert mutual == ("tls_certificates" in tls)
    done = validate(bootstrap(found), tmp_path / "envoy.yaml")
    assert done.returncode == 0, done.stderr


def test_envoy_refuses_a_wrong_snippet(helm: Helm, chart: Path, tmp_path: Path) -> None:
    """The check bites: a misspelt field does not pass."""
    found = snippet(notes(helm, chart))
    found["http_filters"][0]["typed_config"]["failure_mode"] = True
    assert validate(bootstrap(found), tmp_path / "envoy.yaml").returncode != 0


def test_snippet_is_the_repository_s(helm: Helm, chart: Path) -> None:
    """The notes say what `envoy-config` writes."""
    found = snippet(notes(helm, chart, {"ports": {"extproc": 19002}}))
    wanted = Attachment(addresses=("guard-safeguards-extproc.mesh.svc:19002",))
    settings = found["http_filters"][0]["typed_config"]
    del settings["@type"]
    assert ext_proc(wanted) == ParseDict(settings, ExternalProcessor())
    assert cluster(wanted) == ParseDict(found["clusters"][0], Cluster())


def test_snippet_fails_closed(helm: Helm, chart: Path) -> None:
    """Copied as it stands, the filter lets nothing by unread: neither when it is away, nor at the 1024th stream."""
    found = snippet(notes(helm, chart))
    extproc = found["http_filters"][0]["typed_config"]
    assert extproc["failure_mode_allow"] is False
    assert set(extproc["processing_mode"].values()) == {"SEND", "FULL_DUPLEX_STREAMED"}
    assert all(each["max_requests"] > 1024 for each in found["clusters"][0]["circuit_breakers"]["thresholds"])


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"service": {"headless": False}}, "Warning: without service.headless"),
        ({}, "Warning: decision records lie on an emptyDir"),
        ({"replicas": 1}, "Warning: one replica"),
        ({}, "Warning: prompts and answers go between Envoy and this service in plaintext"),
    ],
)
def test_warns(helm: Helm, chart: Path, values: Values, warning: str) -> None:
    """Each choice that costs safety or records is said aloud, and only where it was made."""
    calm = {"records": {"persistence": {"enabled": True}}, "tls": {"secretName": "guard-tls"}}
    assert warning in notes(helm, chart, values)
    assert "Warning" not in notes(helm, chart, calm)
