"""What Helm prints after an install: what attaches an Envoy to this release, and what was chosen badly."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from safeguards_extproc.cli import app
from safeguards_extproc.local.envoy import validate
from tests.attach import crds
from tests.helm.certificates import write
from tests.helm.matrix import MATRIX, merged
from tests.helm.program import CHART, Helm, Values, only

pytestmark = pytest.mark.real

FILTERS = "type.googleapis.com/envoy.extensions.filters"
HOST = "guard-safeguards-extproc.mesh.svc"


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


def output(text: str) -> str:
    """What the command in the notes writes."""
    command = re.search(r"safeguards-extproc (envoy-config [^|\n]+)", text)
    assert command is not None
    done = CliRunner().invoke(app, shlex.split(command[1]))
    assert 0 == done.exit_code, done.exception
    return done.output


def written(text: str) -> list[dict[str, Any]]:
    """The documents of what that command writes."""
    return [each for each in yaml.safe_load_all(output(text)) if each]


def bootstrap(found: dict[str, Any]) -> dict[str, Any]:
    """A whole Envoy configuration around what is to be pasted."""
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"}}
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
    return {
        "node": {"id": "test", "cluster": "test"},
        "static_resources": {"listeners": [listener], "clusters": found["clusters"]},
    }


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ({}, {"address": HOST, "port_value": 9002}),
        ({"ports": {"extproc": 19002}}, {"address": HOST, "port_value": 19002}),
        (MATRIX["sidecar"], "/run/safeguards/extproc.sock"),
    ],
    ids=["defaults", "ports", "sidecar"],
)
def test_envoy_takes_what_the_command_writes(
    helm: Helm, chart: Path, tmp_path: Path, values: Values, address: Any
) -> None:
    """For an Envoy of one's own: it leads to this release, and Envoy accepts it."""
    (found,) = written(notes(helm, chart, values))
    (endpoints,) = found["clusters"][0]["load_assignment"]["endpoints"]
    (place,) = [each["endpoint"]["address"] for each in endpoints["lb_endpoints"]]
    assert address == (place.get("socket_address") or place["pipe"]["path"])
    config = tmp_path / "envoy.yaml"
    config.write_text(yaml.safe_dump(bootstrap(found)))
    assert "" == validate(config)


PRINTED = re.compile(r"^# Begin of what Envoy needs\n(.*?)^# End of what Envoy needs$", re.DOTALL | re.MULTILINE)


def printed(text: str) -> list[tuple[list[str], dict[str, Any]]]:
    """What the notes themselves say that Envoy needs: each document, and the comment above it."""
    found = PRINTED.search(text)
    assert found is not None
    return headed(found[1])


def headed(text: str) -> list[tuple[list[str], dict[str, Any]]]:
    """Each document, and the comment above it."""
    return [
        (re.findall(r"\A(?:# .*\n)+", part), yaml.safe_load(part))
        for part in re.split(r"^---\n", text, flags=re.MULTILINE)
    ]


SECURED: dict[str, Values] = {
    "plain": {},
    "server": {"tls": {"secretName": "guard-tls", "mutual": False}},
    "mutual": {"tls": {"certManager": {"enabled": True, "envoySecretName": "envoy-client"}}},
}
OTHERWISE: Values = {
    "ports": {"extproc": 19002, "health": 19003},
    "nameOverride": "other",
    "fullnameOverride": "true",
    "tls": {"secretName": "guard-tls"},
}
PLACED: dict[str, tuple[str, dict[str, str]]] = {
    "static": ("static", {}),
    "istio": ("istio", {}),
    "istio for a Gateway": ("istio", {"gateway": "edge", "gatewayNamespace": "edge"}),
    "envoy-gateway": ("envoy-gateway", {"gateway": "edge", "gatewayNamespace": "mesh"}),
    "envoy-gateway elsewhere": ("envoy-gateway", {"gateway": "edge", "gatewayNamespace": "edge"}),
    "gke": ("gke", {"gateway": "edge"}),
}
ATTACHED: dict[str, Values] = {
    f"{name}, {how}": merged({"attach": {"mesh": mesh} | place}, secured)
    for name, (mesh, place) in PLACED.items()
    for how, secured in {**(SECURED if mesh != "gke" else {}), "otherwise": OTHERWISE}.items()
} | {"sidecar": MATRIX["sidecar"]}


@pytest.mark.parametrize("name", ATTACHED)
def test_the_notes_say_it_themselves(newest: Helm, chart: Path, name: str) -> None:
    """Whatever the values: what is printed is what the command beside it would write, comments included."""
    text = notes(newest, chart, ATTACHED[name])
    assert headed(output(text)) == printed(text)


def test_what_is_not_the_same_is_found(helm: Helm, chart: Path) -> None:
    """With either Helm: a snippet that was changed by hand is another than the command's."""
    path = chart / "files" / "attach" / "istio.yaml"
    values: Values = {"attach": {"mesh": "istio"}}
    text = notes(helm, chart, values)
    assert headed(output(text)) == printed(text)
    path.write_text(path.read_text().replace("failure_mode_allow: false", "failure_mode_allow: true"))
    changed = chart.with_name("changed")
    chart.rename(changed)
    text = notes(helm, changed, values)
    assert headed(output(text)) != printed(text)


@pytest.mark.parametrize("mutual", [False, True], ids=["server", "mutual"])
def test_tls_follows_the_values(helm: Helm, chart: Path, tmp_path: Path, mutual: bool) -> None:
    """With TLS, Envoy checks the name in the filter's certificate, and shows one of its own where it must."""
    write(tmp_path / "pem", "envoy")
    values: Values = {"tls": {"secretName": "guard-tls", "mutual": mutual}}
    text = yaml.safe_dump(written(notes(helm, chart, values)))
    assert f"exact: {HOST}" in text
    assert mutual == ("tls_certificate_sds_secret_configs" in text)


@pytest.mark.parametrize("mesh", ["istio", "envoy-gateway", "gke"])
def test_a_mesh_gets_its_own_kinds(helm: Helm, chart: Path, mesh: str) -> None:
    """In Kubernetes the command names this release's Service, Gateway and certificate, and its output is applied."""
    values: Values = {
        "attach": {"mesh": mesh, "gateway": "edge", "gatewayNamespace": "mesh"},
        "tls": {"certManager": {"enabled": True, "envoySecretName": "envoy-client"}},
    }
    text = notes(helm, chart, values)
    assert "exec deploy/guard-safeguards-extproc -c extproc --" in text
    assert "| kubectl apply -f -" in text
    documents = written(text)
    for document in documents:
        crds.check(document)
    said = yaml.safe_dump_all(documents)
    assert "guard-safeguards-extproc" in said
    assert ("envoy-client" in said) == (mesh != "gke")


def test_gke_finds_the_pods_of_this_release(helm: Helm, chart: Path) -> None:
    """Its load balancer calls a Service of its own, which selects by the release's labels."""
    values: Values = {"attach": {"mesh": "gke", "gateway": "edge"}, "tls": {"secretName": "guard-tls"}}
    service = next(each for each in written(notes(helm, chart, values)) if each["kind"] == "Service")
    assert only(helm.render(values), "Service")["spec"]["selector"] == service["spec"]["selector"]


CALM: Values = {
    "records": {"persistence": {"enabled": True}},
    "tls": {"secretName": "guard-tls"},
    "networkPolicy": {"envoy": [{"podSelector": {}}]},
}


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"service": {"headless": False}}, "Warning: without service.headless"),
        ({}, "Warning: decision records lie on an emptyDir"),
        ({"replicas": 1}, "Warning: one replica"),
        ({}, "Warning: prompts and answers go between Envoy and this service in plaintext. Set"),
        ({"attach": {"mesh": "gke", "gateway": "edge"}}, "in plaintext, which GKE's load balancer does not"),
        ({}, "Warning: any pod of the cluster may open streams"),
        ({"attach": {"mesh": "gke", "gateway": "edge"}}, "Warning: any address may open streams"),
        ({"policy": "version: 1"}, "Warning: `helm test` does not know what this policy blocks"),
        ({"redis": {"bundled": {"enabled": True}}}, "Warning: the bundled Redis is for trials"),
    ],
)
def test_warns(helm: Helm, chart: Path, values: Values, warning: str) -> None:
    """Each choice that costs safety or records is said aloud, and only where it was made."""
    assert warning in notes(helm, chart, values)
    assert "Warning" not in notes(helm, chart, CALM)
