"""What the chart renders, over the values that change it, by the Helm that partners run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.helm.program import CHART, Helm, Manifest, Values, only

pytestmark = pytest.mark.real

DIGEST = "sha256:" + "0123456789abcdef" * 4

MATRIX: dict[str, Values] = {
    "defaults": {},
    "one replica": {"replicas": 1},
    "digest": {"image": {"registry": "registry.example.com:5000", "repository": "a/b", "digest": DIGEST}},
    "openshift": {"openshift": True},
    "cluster address": {"service": {"headless": False, "annotations": {"a": "b"}}},
    "claim": {"records": {"persistence": {"enabled": True, "storageClass": "fast"}}},
    "claim for one": {"replicas": 1, "records": {"persistence": {"enabled": True, "accessMode": "ReadWriteOnce"}}},
    "claim of theirs": {"records": {"persistence": {"enabled": True, "existingClaim": "archive"}}},
    "tls": {"tls": {"secretName": "guard-tls"}},
    "mutual tls": {"tls": {"secretName": "guard-tls", "mutual": True}},
    "identity": {"identity": {"secretName": "who"}},
    "models": {"triton": {"addresses": ["a:8001", "[::1]:8001"], "hedgeMilliseconds": 20}},
    "no wait": {
        "drain": {"preStopSeconds": 0, "delaySeconds": 1, "limitSeconds": 9},
        "terminationGracePeriodSeconds": 15,
    },
    "account of theirs": {"serviceAccount": {"create": False, "name": "shared"}},
    "other ports": {"ports": {"extproc": 19002, "health": 19003, "metrics": 19090}},
    "everything else": {
        "image": {"pullSecrets": [{"name": "pull"}], "tag": "1.2.3"},
        "extraArgs": ["--log-level=debug"],
        "extraEnv": [
            {"name": "LEVEL", "value": "debug"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "regional"}}},
        ],
        "topologySpread": [{"topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 2}],
        "nodeSelector": {"pool": "edge"},
        "tolerations": [{"key": "edge", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "high",
        "podLabels": {"team": "safety"},
        "podAnnotations": {"sidecar.istio.io/inject": "false"},
        "serviceAccount": {"annotations": {"a": "b"}},
        "fullnameOverride": "filter",
    },
}


@pytest.fixture(scope="module", params=MATRIX, ids=lambda name: name.replace(" ", "-"))
def values(request: pytest.FixtureRequest) -> Values:
    """Each row of the matrix."""
    return MATRIX[request.param]


def pod(manifests: list[Manifest]) -> dict[str, Any]:
    """The pod spec of the Deployment."""
    spec: dict[str, Any] = only(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(manifests: list[Manifest]) -> dict[str, Any]:
    """The one container of the Deployment."""
    (found,) = pod(manifests)["containers"]
    return dict(found)


def test_lints_strictly(helm: Helm, values: Values, tmp_path: Path) -> None:
    """`helm lint --strict` finds nothing to warn of."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHART), "-f", str(file)).stdout


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
def test_manifests_are_valid(helm: Helm, values: Values, version: str) -> None:
    """Every manifest, whatever its kind, meets the strict schema of each Kubernetes version."""
    manifests = helm.render(values)
    assert len(manifests) >= 4
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_validation_bites(helm: Helm) -> None:
    """A misspelt field of a rendered manifest is found."""
    deployment = only(helm.render(), "Deployment")
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.33", strict=True)


def test_traffic_distribution_is_valid_where_it_exists(helm: Helm) -> None:
    """A hint on zones is passed on as written."""
    service = only(helm.render({"service": {"headless": False, "trafficDistribution": "PreferClose"}}), "Service")
    assert service["spec"]["trafficDistribution"] == "PreferClose"
    kubernetes_validate.validate(service, "1.33", strict=True)


def test_pods_are_restricted(helm: Helm, values: Values) -> None:
    """Every pod, the test's included, meets the restricted Pod Security Standard and carries no token."""
    manifests = helm.render(values)
    specs = [pod(manifests), only(manifests, "Pod")["spec"]]
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
        for each in spec["containers"]:
            expected = {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert expected == each["securityContext"]
            assert {"requests", "limits"} == each["resources"].keys()
        numbers = {"runAsUser", "runAsGroup", "fsGroup"} & spec["securityContext"].keys()
        assert (set() if values.get("openshift") else {"runAsUser", "runAsGroup", "fsGroup"}) == numbers


def test_selectors_never_change(helm: Helm, values: Values) -> None:
    """Service, Deployment and disruption budget select by name and instance alone, and the pods carry both."""
    manifests = helm.render(values)
    selector = {"app.kubernetes.io/name": "safeguards-extproc", "app.kubernetes.io/instance": "guard"}
    deployment = only(manifests, "Deployment")
    assert selector == deployment["spec"]["selector"]["matchLabels"]
    assert selector == only(manifests, "Service")["spec"]["selector"]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert selector["app.kubernetes.io/name"] != only(manifests, "Pod")["metadata"]["labels"]["app.kubernetes.io/name"]


def test_grace_outlasts_the_drain(helm: Helm, values: Values) -> None:
    """SIGKILL comes after the wait before SIGTERM and the drain together."""
    drain = {"preStopSeconds": 5, "delaySeconds": 5, "limitSeconds": 300} | values.get("drain", {})
    spec = pod(helm.render(values))
    assert spec["terminationGracePeriodSeconds"] > sum(drain.values())
    assert f"--drain-delay={drain['delaySeconds']}" in spec["containers"][0]["args"]
    assert f"--drain-limit={drain['limitSeconds']}" in spec["containers"][0]["args"]
    sleep = {"preStop": {"exec": {"command": ["sleep", str(drain["preStopSeconds"])]}}}
    assert (sleep if drain["preStopSeconds"] else None) == spec["containers"][0].get("lifecycle")


def test_command_line_and_ports(helm: Helm) -> None:
    """The process listens where the probes, the container's ports and the Service say."""
    manifests = helm.render({"ports": {"extproc": 19002, "health": 19003, "metrics": 19090}, "extraArgs": ["--more=1"]})
    assert container(manifests)["args"] == [
        "serve",
        "--policy=/etc/safeguards/policy.yaml",
        "--listen=0.0.0.0:19002",
        "--health=0.0.0.0:19003",
        "--metrics=0.0.0.0:19090",
        "--records=/var/lib/safeguards/records.jsonl",
        "--on-record-failure=go-on",
        "--drain-delay=5",
        "--drain-limit=300",
        "--more=1",
    ]
    declared = {port["name"]: port["containerPort"] for port in container(manifests)["ports"]}
    assert declared == {"grpc": 19002, "health": 19003, "metrics": 19090}
    ports = only(manifests, "Service")["spec"]["ports"]
    served = {port["targetPort"]: (port["port"], port["appProtocol"]) for port in ports}
    assert served == {"grpc": (19002, "grpc"), "health": (19003, "grpc"), "metrics": (19090, "http")}


def test_arguments_follow_the_values(helm: Helm) -> None:
    """Each Triton is named, and TLS is spoken where there is a Secret, mutual where it is asked for."""

    def added(values: Values) -> list[str]:
        usual = container(helm.render())["args"]
        return [each for each in container(helm.render(values))["args"] if each not in usual]

    pair = ["--tls-certificate=/etc/safeguards-tls/tls.crt", "--tls-key=/etc/safeguards-tls/tls.key"]
    assert added(MATRIX["models"]) == ["--triton=a:8001", "--triton=[::1]:8001", "--hedge-ms=20"]
    assert added(MATRIX["tls"]) == pair
    assert added(MATRIX["identity"]) == ["--identity-keys=/etc/safeguards-identity/keys.yaml"]
    assert added(MATRIX["mutual tls"]) == [*pair, "--tls-client-ca=/etc/safeguards-tls/ca.crt"]
    assert added({"records": {"onFailure": "refuse"}}) == ["--on-record-failure=refuse"]


def test_probes_ask_the_health_service_by_name(helm: Helm) -> None:
    """Startup and readiness ask for readiness, liveness for liveness, on the plaintext health port."""
    found = container(helm.render())
    asked = {kind: found[kind]["grpc"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert asked == {
        "startupProbe": {"port": 9003, "service": "readiness"},
        "readinessProbe": {"port": 9003, "service": "readiness"},
        "livenessProbe": {"port": 9003, "service": "liveness"},
    }


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "safeguards-extproc:0.1.0"),
        ({"tag": "2.0"}, "safeguards-extproc:2.0"),
        ({"registry": "r.example.com:5000", "repository": "a/b"}, "r.example.com:5000/a/b:0.1.0"),
        ({"tag": "2.0", "digest": DIGEST}, f"safeguards-extproc@{DIGEST}"),
    ],
)
def test_image_reference(helm: Helm, image: Values, expected: str) -> None:
    """Registry, repository, tag and digest make one reference, the same in every pod; a digest wins over a tag."""
    manifests = helm.render({"image": image})
    used = {container(manifests)["image"], *(each["image"] for each in only(manifests, "Pod")["spec"]["containers"])}
    assert {expected} == used


def test_service_is_headless_unless_told(helm: Helm) -> None:
    """Envoy sees every pod's address by default, since one address would pin its connections to one pod."""
    assert only(helm.render(), "Service")["spec"]["clusterIP"] == "None"
    assert "clusterIP" not in only(helm.render({"service": {"headless": False}}), "Service")["spec"]


@pytest.mark.parametrize("text", ["a: 1\n", "a: 1", "  a: 1\n  b: 2\n", "a: |\n  x\n\n# {{ not a template }}\n"])
def test_policy_arrives_as_written(helm: Helm, text: str) -> None:
    """The ConfigMap holds the policy's own text, indentation and braces included."""
    data = only(helm.render({"policy": text}), "ConfigMap")["data"]
    assert {"policy.yaml": text.rstrip("\n") + "\n"} == data


def test_default_policy_is_the_chart_s_file(helm: Helm) -> None:
    """Without a policy of their own, users get files/policy.yaml."""
    data = only(helm.render(), "ConfigMap")["data"]
    assert (CHART / "files" / "policy.yaml").read_text() == data["policy.yaml"]


def test_another_policy_rolls_the_pods(helm: Helm) -> None:
    """The checksum follows the policy and nothing else."""

    def checksum(values: Values) -> str:
        template = only(helm.render(values), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/policy"])

    assert checksum({}) == checksum({"replicas": 3})
    assert checksum({"policy": "a: 1"}) != checksum({"policy": "a: 2"})


def test_disruption_budget_needs_two(helm: Helm) -> None:
    """One replica gets no budget, which would only block the draining of its node."""
    assert [each for each in helm.render({"replicas": 1}) if each["kind"] == "PodDisruptionBudget"] == []
    assert only(helm.render({"replicas": 2}), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_pods_spread(helm: Helm) -> None:
    """Pods of one version spread over hosts and zones."""
    found = pod(helm.render())["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in found] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert [each["matchLabelKeys"] for each in found] == [["pod-template-hash"]] * 2
    assert "topologySpreadConstraints" not in pod(helm.render({"topologySpread": []}))


@pytest.mark.parametrize(
    ("name", "volume", "folder", "strategy"),
    [
        ("defaults", {"emptyDir": {"sizeLimit": "2Gi"}}, None, "RollingUpdate"),
        (
            "claim",
            {"persistentVolumeClaim": {"claimName": "guard-safeguards-extproc-records"}},
            "$(POD_NAME)",
            "RollingUpdate",
        ),
        (
            "claim for one",
            {"persistentVolumeClaim": {"claimName": "guard-safeguards-extproc-records"}},
            "$(POD_NAME)",
            "Recreate",
        ),
        ("claim of theirs", {"persistentVolumeClaim": {"claimName": "archive"}}, "$(POD_NAME)", "RollingUpdate"),
    ],
)
def test_records_volume(helm: Helm, name: str, volume: dict[str, Any], folder: str | None, strategy: str) -> None:
    """No two pods write one file, and a volume for one pod is let go before the next pod starts."""
    manifests = helm.render(MATRIX[name])
    volumes = {each.pop("name"): each for each in pod(manifests)["volumes"]}
    mounts = {each["name"]: each for each in container(manifests)["volumeMounts"]}
    assert volume == volumes["records"]
    assert mounts["records"]["mountPath"] == "/var/lib/safeguards"
    assert folder == mounts["records"].get("subPathExpr")
    assert strategy == only(manifests, "Deployment")["spec"]["strategy"]["type"]


def test_claim_outlives_the_release(helm: Helm) -> None:
    """Uninstalling does not take the decision records along, unless the operator says so."""
    persistence = {"enabled": True}
    kept = only(helm.render({"records": {"persistence": persistence}}), "PersistentVolumeClaim")
    assert kept["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    gone = only(helm.render({"records": {"persistence": persistence | {"retain": False}}}), "PersistentVolumeClaim")
    assert "annotations" not in gone["metadata"]


def test_everything_written_has_a_volume(helm: Helm, values: Values) -> None:
    """With a read-only root, each mount has its volume and each volume its mount."""
    manifests = helm.render(values)
    mounted = {each["name"] for each in container(manifests)["volumeMounts"]}
    assert mounted == {each["name"] for each in pod(manifests)["volumes"]}
    for secret in ("tls", "identity"):
        assert (secret in values) == (secret in mounted)


def test_service_account(helm: Helm) -> None:
    """The chart's own account has no token; theirs is named and not created."""
    own = helm.render()
    assert only(own, "ServiceAccount")["metadata"]["name"] == pod(own)["serviceAccountName"]
    assert only(own, "ServiceAccount")["automountServiceAccountToken"] is False
    theirs = helm.render(MATRIX["account of theirs"])
    assert pod(theirs)["serviceAccountName"] == "shared"
    assert [each for each in theirs if each["kind"] == "ServiceAccount"] == []


def test_names_fit(helm: Helm) -> None:
    """Names stay within 63 characters under the longest release name."""
    release = "r" * 53
    done = helm.run("template", release, str(CHART), "--set", "records.persistence.enabled=true")
    names = [(each["kind"], each["metadata"]["name"]) for each in yaml.safe_load_all(done.stdout) if each]
    assert all(len(name) <= 63 for _, name in names)
    assert len(set(names)) == len(names)


def test_renders_as_part_of_another_chart(helm: Helm, tmp_path: Path) -> None:
    """A platform's umbrella chart, from which Helm hands down `global`, can hold this chart."""
    parent = tmp_path / "platform"
    shutil.copytree(CHART, parent / "charts" / CHART.name)
    (parent / "Chart.yaml").write_text("apiVersion: v2\nname: platform\nversion: 1.0.0\n")
    manifests = helm.render({"global": {"region": "eu"}, CHART.name: {"replicas": 3}}, chart=parent)
    assert only(manifests, "Deployment")["spec"]["replicas"] == 3


def probe(manifest: Manifest, status: health_pb2.HealthCheckResponse.ServingStatus) -> tuple[int, str]:
    """Run the command of the test pod against a real health service; its exit status and what it said."""
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    servicer.set("readiness", status)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (found,) = manifest["spec"]["containers"]
    command = [sys.executable, *found["command"][1:], *found["args"][:-1], f"127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    server.stop(None)
    return done.returncode, done.stderr.strip()


def test_test_pod_tells_ready_from_not(helm: Helm) -> None:
    """The command that `helm test` runs passes on a serving filter and names the state of one that is not."""
    manifest = only(helm.render(), "Pod")
    assert manifest["spec"]["containers"][0]["args"][-1] == "guard-safeguards-extproc.mesh.svc:9003"
    serving = health_pb2.HealthCheckResponse.SERVING
    draining = health_pb2.HealthCheckResponse.NOT_SERVING
    assert probe(manifest, serving) == (0, "")
    assert probe(manifest, draining) == (1, "readiness is NOT_SERVING")
