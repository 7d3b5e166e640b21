"""What the chart renders, over the values that change it, by the Helm that partners run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helm.matrix import DIGEST, MATRIX, SEALED, merged
from tests.helm.program import CHART, Helm, Manifest, Values, only

pytestmark = pytest.mark.real


ROWS = [name for name, values in MATRIX.items() if values.get("mode") != "sidecar"]


@pytest.fixture(scope="module", params=ROWS, ids=lambda name: name.replace(" ", "-"))
def values(request: pytest.FixtureRequest) -> Values:
    """Each row of the matrix that has pods of the filter."""
    return MATRIX[request.param]


def deployment(manifests: list[Manifest]) -> Manifest:
    """The filter's Deployment."""
    (found,) = (
        each
        for each in manifests
        if each["kind"] == "Deployment" and each["spec"]["template"]["spec"]["containers"][0]["name"] == "extproc"
    )
    return found


def pod(manifests: list[Manifest]) -> dict[str, Any]:
    """The pod spec of the filter's Deployment."""
    spec: dict[str, Any] = deployment(manifests)["spec"]["template"]["spec"]
    return spec


def container(manifests: list[Manifest]) -> dict[str, Any]:
    """The one container of the Deployment."""
    (found,) = pod(manifests)["containers"]
    return dict(found)


def test_grace_outlasts_the_drain(helm: Helm, values: Values) -> None:
    """SIGKILL comes after the wait before SIGTERM, the drain, and the time of the sealer, which ends after it."""
    drain = {"preStopSeconds": 15, "delaySeconds": 5, "limitSeconds": 300} | values.get("drain", {})
    spec = pod(helm.render(values))
    sealing = 15 if values.get("sealer") else 0
    assert spec["terminationGracePeriodSeconds"] > sum(drain.values()) + sealing
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
        "--shed-above-ms=250",
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
    assert added(MATRIX["models"]) == ["--triton=a:8001", "--triton=[::1]:8002", "--hedge-ms=20"]
    assert added(MATRIX["tls"]) == pair
    assert added(MATRIX["identity"]) == ["--identity-keys=/etc/safeguards-identity/keys.yaml"]
    assert added(MATRIX["mutual tls"]) == [*pair, "--tls-client-ca=/etc/safeguards-tls/ca.crt"]
    assert added({"records": {"onFailure": "refuse"}}) == ["--on-record-failure=refuse"]
    assert added(MATRIX["shed never"]) == ["--shed-above-ms=0"]


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
        template = deployment(helm.render(values))["spec"]["template"]
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
    assert strategy == deployment(manifests)["spec"]["strategy"]["type"]


def test_claim_outlives_the_release(helm: Helm) -> None:
    """Uninstalling does not take the decision records along, unless the operator says so."""
    persistence = {"enabled": True}
    kept = only(helm.render({"records": {"persistence": persistence}}), "PersistentVolumeClaim")
    assert kept["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    gone = only(helm.render({"records": {"persistence": persistence | {"retain": False}}}), "PersistentVolumeClaim")
    assert "annotations" not in gone["metadata"]


def test_service_account(helm: Helm) -> None:
    """The chart's own account has no token; theirs is named and not created."""
    own = helm.render()
    assert only(own, "ServiceAccount")["metadata"]["name"] == pod(own)["serviceAccountName"]
    assert only(own, "ServiceAccount")["automountServiceAccountToken"] is False
    theirs = helm.render(MATRIX["account of theirs"])
    assert pod(theirs)["serviceAccountName"] == "shared"
    assert [each for each in theirs if each["kind"] == "ServiceAccount"] == []


def test_renders_as_part_of_another_chart(helm: Helm, tmp_path: Path) -> None:
    """A platform's umbrella chart, from which Helm hands down `global`, can hold this chart."""
    parent = tmp_path / "platform"
    shutil.copytree(CHART, parent / "charts" / CHART.name)
    (parent / "Chart.yaml").write_text("apiVersion: v2\nname: platform\nversion: 1.0.0\n")
    manifests = helm.render({"global": {"region": "eu"}, CHART.name: {"replicas": 3}}, chart=parent)
    assert deployment(manifests)["spec"]["replicas"] == 3


def test_the_sealer_ends_after_the_filter(helm: Helm) -> None:
    """A native sidecar on the filter's spool: what the filter closes at its end is sealed before the pod is gone."""
    found = pod(helm.render(SEALED))
    (sealer,) = found["initContainers"]
    (filter_,) = found["containers"]
    assert "Always" == sealer["restartPolicy"]
    assert ["records", "seal", "/var/lib/safeguards", "s3://records/eu", "--every=30s", "--metrics=0.0.0.0:9104"] == (
        sealer["args"]
    )
    assert "--spool=/var/lib/safeguards" in filter_["args"]
    assert not [each for each in filter_["args"] if each.startswith("--records")]
    places = [[each for each in of["volumeMounts"] if each["name"] == "records"] for of in (sealer, filter_)]
    assert places[0] == places[1] != []
    ports = {each["name"]: each["targetPort"] for each in only(helm.render(SEALED), "Service")["spec"]["ports"]}
    assert 9104 == ports["sealer"]


def test_one_compactor_at_a_time(helm: Helm) -> None:
    """It runs by the clock on the sealer's store with its keys; one run keeps the next from beginning."""
    found = only(helm.render(MATRIX["sealer and compactor"]), "CronJob")["spec"]
    assert ("17 * * * *", "Forbid") == (found["schedule"], found["concurrencyPolicy"])
    (compact,) = found["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert ["records", "compact", "s3://records/eu", "--older=2h", "--keep=10m"] == compact["args"]
    assert [{"secretRef": {"name": "store"}}] == compact["envFrom"]


def test_redis_is_told_of_where_it_is_asked_for(helm: Helm) -> None:
    """The exporter's port is in the Service, and Prometheus may ask there and nowhere else."""
    manifests = helm.render(MATRIX["redis with its metrics"])
    assert ["redis", "metrics"] == [each["name"] for each in only(manifests, "Service", "-redis")["spec"]["ports"]]
    rules = only(manifests, "NetworkPolicy", "-redis")["spec"]["ingress"]
    assert [["redis"], ["metrics"]] == [[port["port"] for port in rule["ports"]] for rule in rules]
    assert [{"port": "metrics", "interval": "15s", "scrapeTimeout": "15s"}] == (
        only(manifests, "ServiceMonitor", "-redis")["spec"]["endpoints"]
    )


def test_who_may_open_streams(helm: Helm) -> None:
    """Any pod, or those that are named; GKE's load balancer is no pod, and asks for health as well."""

    def let_in(values: Values) -> tuple[list[Any], list[str]]:
        rule = only(helm.render(values), "NetworkPolicy", "guard-safeguards-extproc")["spec"]["ingress"][0]
        return rule["from"], [each["port"] for each in rule["ports"]]

    named = {"networkPolicy": {"envoy": [{"ipBlock": {"cidr": "10.129.0.0/23"}}]}}
    assert ([{"namespaceSelector": {}}], ["grpc"]) == let_in({})
    assert (named["networkPolicy"]["envoy"], ["grpc"]) == let_in(named)
    assert ([{"ipBlock": {"cidr": "0.0.0.0/0"}}], ["grpc", "health"]) == let_in(MATRIX["on gke"])
    assert (named["networkPolicy"]["envoy"], ["grpc", "health"]) == let_in(merged(MATRIX["on gke"], named))


@pytest.mark.parametrize("kind", ["hpa", "keda"])
def test_an_autoscaled_deployment_names_no_replicas(helm: Helm, kind: str) -> None:
    """Or each upgrade would undo what the autoscaler did, and Helm 4 find two owners of one field."""
    manifests = helm.render(MATRIX[kind])
    assert "replicas" not in deployment(manifests)["spec"]
    scaler = only(manifests, {"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject"}[kind])
    assert {"kind": "Deployment", "name": "guard-safeguards-extproc", "apiVersion": "apps/v1"} == (
        scaler["spec"]["scaleTargetRef"]
    )
    assert 1 == only(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"]


def test_it_scales_by_streams_queue_and_cpu(helm: Helm) -> None:
    """Each can be left out; KEDA asks for the series of this release alone."""
    spec = only(helm.render({"autoscaling": {"kind": "hpa"}}), "HorizontalPodAutoscaler")["spec"]
    metrics = [(each.get("pods") or each.get("containerResource")) for each in spec["metrics"]]
    assert [
        {"metric": {"name": "safeguards_streams_active"}, "target": {"type": "AverageValue", "averageValue": "200"}},
        {
            "metric": {"name": "safeguards_model_queue_p95_seconds"},
            "target": {"type": "AverageValue", "averageValue": "50m"},
        },
        {"name": "cpu", "container": "extproc", "target": {"type": "Utilization", "averageUtilization": 70}},
    ] == metrics
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 600
    triggers = only(helm.render(MATRIX["keda"]), "ScaledObject")["spec"]["triggers"]
    assert ["streams", "queue", None] == [each.get("name") for each in triggers]
    series = '{namespace="mesh",service="guard-safeguards-extproc"}'
    assert f"sum(safeguards_streams_active{series})" == triggers[0]["metadata"]["query"]
    only_streams = {"streams": 50, "queueMilliseconds": 0, "cpuPercent": 0}
    scaler = only(helm.render(merged(MATRIX["keda"], {"autoscaling": only_streams})), "ScaledObject")["spec"]
    assert ["50"] == [each["metadata"]["threshold"] for each in scaler["triggers"]]
    assert {"failureThreshold": 4, "replicas": 2, "behavior": "currentReplicasIfHigher"} == scaler["fallback"]


def test_a_policy_of_theirs_is_mounted(helm: Helm) -> None:
    """The chart then makes no ConfigMap, and the pod's policy is their volume."""
    manifests = helm.render(MATRIX["policy of theirs"])
    assert [] == [each for each in manifests if each["kind"] == "ConfigMap"]
    volumes = {each["name"]: each for each in pod(manifests)["volumes"]}
    assert {"name": "policies"} == volumes["policy"]["configMap"]
