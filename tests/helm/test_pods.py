"""What holds of every pod that the chart makes, whichever values it is given: both majors render the same of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.matrix import DIGEST, EVERYTHING, IMAGE, MATRIX, merged, pods
from tests.helm.program import CHART, Helm, Manifest, Values

pytestmark = pytest.mark.real

CONTAINER_KEYS = {"allowPrivilegeEscalation", "readOnlyRootFilesystem", "capabilities"}


@pytest.fixture(scope="module", params=MATRIX, ids=lambda name: name.replace(" ", "-"))
def values(request: pytest.FixtureRequest) -> Values:
    """Each row of the matrix."""
    return MATRIX[request.param]


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """All containers of a pod that the chart wrote; Envoy's in the sidecar's patch is not one."""
    return [each for each in (*spec.get("initContainers", ()), *spec["containers"]) if "image" in each]


def test_lints_strictly(helm: Helm, values: Values, tmp_path: Path) -> None:
    """`helm lint --strict` finds nothing to warn of."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHART), "-f", str(file)).stdout


def unrestricted(name: str, spec: dict[str, Any], openshift: bool) -> list[str]:
    """What in a pod does not meet the restricted Pod Security Standard, or carries a token."""
    found = []
    patch = name.startswith("ConfigMap")
    if not patch:
        if spec.get("automountServiceAccountToken") is not False:
            found.append("mounts a token")
        found += _unrestricted_user(spec.get("securityContext", {}), openshift)
    found += [key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    found += [each["name"] for each in spec.get("volumes", ()) if "hostPath" in each]
    for each in containers(spec):
        context = each["securityContext"]
        if patch:
            found += _unrestricted_user(context, openshift)
        if context["allowPrivilegeEscalation"] or not context["readOnlyRootFilesystem"]:
            found.append(f"{each['name']} may gain rights or write")
        if context["capabilities"] != {"drop": ["ALL"]}:
            found.append(f"{each['name']} keeps capabilities")
    return found


def _unrestricted_user(context: dict[str, Any], openshift: bool) -> list[str]:
    found = []
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        found.append("may be root")
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        found.append("no seccomp profile")
    if openshift != ("runAsUser" not in context):
        found.append("a user that OpenShift must give, or none where we must")
    return found


def test_pods_are_restricted(newest: Helm, values: Values) -> None:
    """Every pod, those of the test and the sidecar included, meets the restricted Pod Security Standard."""
    for name, spec in pods(newest.render(values)).items():
        assert [] == unrestricted(name, spec, bool(values.get("openshift")))


@pytest.mark.parametrize(
    "broken",
    [
        {"hostNetwork": True},
        {"automountServiceAccountToken": True},
        {"securityContext": {}},
        {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_the_restrictions_bite(newest: Helm, broken: dict[str, Any]) -> None:
    """A pod with more rights is found."""
    for name, spec in pods(newest.render()).items():
        assert [] != unrestricted(name, spec | broken, False)


def test_every_container_says_what_it_takes(newest: Helm, values: Values) -> None:
    """Requests place it, a limit of memory ends it; it is pulled as the values say."""
    for spec in pods(newest.render(values)).values():
        for each in containers(spec):
            assert {"cpu", "memory"} <= each["resources"]["requests"].keys()
            assert "memory" in each["resources"]["limits"]
            assert "IfNotPresent" == each["imagePullPolicy"]


def test_everything_mounted_has_a_volume(newest: Helm, values: Values) -> None:
    """With a read-only root each mount has its volume, and each volume a mount."""
    for spec in pods(newest.render(values)).values():
        mounted = {
            each["name"]
            for container in (*spec.get("initContainers", ()), *spec["containers"])
            for each in container.get("volumeMounts", ())
        }
        assert mounted == {each["name"] for each in spec.get("volumes", ())}


def matched(selector: dict[str, str], manifests: list[Manifest]) -> set[str]:
    """The pods that a selector selects."""
    found = set()
    for each in manifests:
        match each:
            case (
                {"kind": "Deployment" | "StatefulSet", "spec": {"template": {"metadata": {"labels": labels}}}}
                | {
                    "kind": "Pod",
                    "metadata": {"labels": labels},
                }
                | {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"metadata": {"labels": labels}}}}}}
            ):
                if selector.items() <= labels.items():
                    found.add(f"{each['kind']}/{each['metadata']['name']}")
    return found


def test_selectors_meet_one_group_of_pods_each(newest: Helm, values: Values) -> None:
    """No Service, budget, monitor or workload of one component selects pods of another, and none selects nothing."""
    manifests = newest.render(values)
    for each in manifests:
        match each:
            case {"kind": "Service", "spec": {"selector": dict(selector)}}:
                assert 1 == len(matched(selector, manifests)), each["metadata"]["name"]
            case {"kind": "Deployment" | "StatefulSet" | "PodDisruptionBudget", "spec": {"selector": selector}}:
                assert {"app.kubernetes.io/name", "app.kubernetes.io/instance"} == selector["matchLabels"].keys()
                assert 1 == len(matched(selector["matchLabels"], manifests)), each["metadata"]["name"]
            case {"kind": "NetworkPolicy", "spec": {"podSelector": selector}}:
                assert 1 == len(matched(selector["matchLabels"], manifests)), each["metadata"]["name"]
            case {"kind": "ServiceMonitor", "spec": {"selector": {"matchLabels": labels}}}:
                services = [
                    of
                    for of in manifests
                    if of["kind"] == "Service" and labels.items() <= of["metadata"]["labels"].items()
                ]
                (service,) = services
                ports = {port["name"] for port in service["spec"]["ports"]}
                assert {endpoint["port"] for endpoint in each["spec"]["endpoints"]} <= ports


def test_objects_have_names_of_their_own_in_one_namespace(newest: Helm, values: Values) -> None:
    """No two objects of a kind share a name, every one says its namespace, and all bear the release's labels."""
    manifests = newest.render(values)
    names = Counter((each["kind"], each["metadata"]["name"]) for each in manifests)
    assert 1 == max(names.values())
    for each in manifests:
        assert "mesh" == each["metadata"]["namespace"]
        assert "guard" == each["metadata"]["labels"]["app.kubernetes.io/instance"]


def test_every_image_takes_a_mirror_and_a_digest(newest: Helm) -> None:
    """An air-gapped registry with a path, and digests, reach every container there is."""
    images = {
        "image": IMAGE,
        "extrasImage": IMAGE,
        "triton": {"image": IMAGE},
        "redis": {"bundled": {"image": IMAGE | {"tag": "1"}, "exporter": {"image": IMAGE | {"tag": "1"}}}},
    }
    found = [
        container["image"]
        for spec in pods(newest.render(merged(EVERYTHING, images))).values()
        for container in containers(spec)
    ]
    assert [f"registry.example.com:5000/mirror/a/b@{DIGEST}"] * 9 == found


def test_names_fit(newest: Helm) -> None:
    """Names that become labels or host names stay within 63 characters under the longest release name, 52 where a
    StatefulSet's pods get a hash behind them, or a CronJob's jobs their time."""
    values = newest.home / "everything.yaml"
    values.write_text(yaml.safe_dump(EVERYTHING))
    done = newest.run("template", "r" * 53, str(CHART), "-f", str(values))
    names = [(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(done.stdout) if each]
    assert all(len(name) <= (52 if kind in ("StatefulSet", "CronJob") else 63) for kind, name in names)
    assert len(set(names)) == len(names)
