"""Values that the chart must refuse, in words that name the value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from safeguards_extproc import __version__
from safeguards_extproc.adapters.server import CLOSING_S
from tests.helm.matrix import SUMS
from tests.helm.program import CHART, ROOT, Helm, Values

REFUSED: list[tuple[Values, str]] = [
    ({"replica": 3}, "replica"),
    ({"image": {"sha": "x"}}, "image"),
    ({"replicas": "3"}, "replicas"),
    ({"replicas": 0}, "replicas"),
    ({"openshift": "yes"}, "openshift"),
    ({"image": {"digest": "sha256:abc"}}, "digest"),
    ({"image": {"digest": "sha512:" + "0" * 64}}, "digest"),
    ({"image": {"tag": "-x"}}, "tag"),
    ({"image": {"repository": "Upper"}}, "repository"),
    ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"triton": {"address": "triton:8001"}}, "address"),
    ({"triton": {"addresses": ["triton"]}}, "addresses"),
    ({"triton": {"addresses": ["http://triton:8001"]}}, "addresses"),
    ({"triton": {"hedgeMilliseconds": -1}}, "hedgeMilliseconds"),
    ({"ports": {"health": 80}}, "health"),
    ({"ports": {"health": 9002}}, "ports.extproc, ports.health, ports.metrics and sealer.metricsPort must differ"),
    ({"records": {"size": "lots"}}, "size"),
    ({"records": {"onFailure": "ignore"}}, "onFailure"),
    ({"records": {"persistence": {"accessMode": "ReadOnlyMany"}}}, "accessMode"),
    (
        {"records": {"persistence": {"enabled": True, "accessMode": "ReadWriteOnce"}}},
        "records.persistence.accessMode ReadWriteOnce cannot serve 2 replicas",
    ),
    ({"terminationGracePeriodSeconds": 30}, "terminationGracePeriodSeconds (30) must be more than 322"),
    ({"drain": {"limitSeconds": 600}}, "terminationGracePeriodSeconds (345) must be more than 622"),
    ({"drain": {"limitSeconds": -1}}, "limitSeconds"),
    ({"drain": {"seconds": 10}}, "seconds"),
    ({"probes": {"liveness": {"periodSeconds": 0}}}, "periodSeconds"),
    ({"resources": {"limits": {"memory": "1 GB"}}}, "memory"),
    ({"resources": {"limits": {"mem": "1Gi"}}}, "mem"),
    ({"extraEnv": [{"name": "A", "value": "1", "valueFrom": {}}]}, "extraEnv"),
    ({"extraEnv": [{"name": "POD_NAME", "value": "1"}]}, "extraEnv"),
    ({"podLabels": {"app.kubernetes.io/name": "mine"}}, "podLabels"),
    ({"podAnnotations": {"checksum/policy": "0"}}, "podAnnotations"),
    ({"topologySpread": [{"topologyKey": "zone"}]}, "topologySpread"),
    ({"fullnameOverride": "Not A Name"}, "fullnameOverride"),
    ({"mode": "daemonset"}, "mode"),
    ({"policy": "a: 1", "policyVolume": {"configMap": {"name": "x"}}}, "policy"),
    ({"policyVolume": {"hostPath": {"path": "/"}}}, "policyVolume"),
    ({"triton": {"enabled": True}}, "triton"),
    ({"triton": {"enabled": True, "models": {"url": "s3://a/b"}}}, "digests"),
    ({"triton": {"enabled": True, "models": {"digests": SUMS}}}, "models"),
    ({"triton": {"enabled": True, "models": {"digests": SUMS, "url": "s3://a/b", "claim": "c"}}}, "models"),
    ({"triton": {"enabled": True, "models": {"digests": SUMS, "url": "https://hub/model"}}}, "url"),
    ({"triton": {"enabled": True, "models": {"digests": SUMS, "url": "s3://key:secret@a/b"}}}, "url"),
    ({"triton": {"enabled": True, "models": {"digests": "abc  x", "claim": "c"}}}, "digests"),
    ({"triton": {"enabled": True, "models": {"digests": SUMS, "claim": "c", "path": "../x"}}}, "path"),
    ({"triton": {"enabled": True, "addresses": ["a:8001"], "models": {"digests": SUMS, "claim": "c"}}}, "addresses"),
    ({"redis": {"bundled": {"image": {"tag": ""}}}}, "tag"),
    ({"triton": {"gpu": {"count": 1, "resource": "gpu"}}}, "resource"),
    (
        {"triton": {"ports": {"http": 8001}}},
        "triton.ports.http, triton.ports.grpc and triton.ports.metrics must differ",
    ),
    ({"redis": {"urls": ["redis://user:word@a:6379"]}}, "urls"),
    ({"redis": {"urls": ["redis://a:6379"], "bundled": {"enabled": True}}}, "redis"),
    ({"redis": {"secret": {"name": "a"}, "bundled": {"enabled": True}}}, "redis"),
    ({"keeper": {"enabled": True}}, "keeper.enabled needs Redis"),
    (
        {"redis": {"bundled": {"enabled": True}}, "keeper": {"enabled": True, "replicas": 2}},
        "keeper.replicas more than 1 needs keeper.ledger.secret.name",
    ),
    ({"keeper": {"ports": {"health": 9090}}}, "keeper.ports.health and keeper.ports.metrics must differ"),
    ({"sealer": {"store": "s3://a"}}, "kind"),
    ({"sealer": {"compact": {"schedule": "17 * * * *"}}}, "store"),
    ({"sealer": {"compact": {"schedule": "hourly"}}}, "schedule"),
    ({"sealer": {"compact": {"older": "soon"}}}, "older"),
    ({"shedAboveMilliseconds": -1}, "shedAboveMilliseconds"),
    ({"sealer": {"store": "/var/records"}, "records": {"kind": "spool"}}, "store"),
    (
        {"sealer": {"store": "s3://a"}, "records": {"kind": "spool"}, "terminationGracePeriodSeconds": 337},
        "terminationGracePeriodSeconds (337) must be more than 337",
    ),
    ({"records": {"region": "eu central"}}, "region"),
    ({"autoscaling": {"kind": "vpa"}}, "kind"),
    ({"autoscaling": {"minReplicas": 1}}, "minReplicas"),
    ({"autoscaling": {"kind": "keda"}}, "prometheus"),
    ({"autoscaling": {"kind": "hpa", "streams": 0, "queueMilliseconds": 0, "cpuPercent": 0}}, "autoscaling"),
    ({"autoscaling": {"minReplicas": 20}}, "autoscaling.minReplicas must not be more than autoscaling.maxReplicas"),
    ({"autoscaling": {"kind": "hpa"}, "resources": {"requests": {"cpu": None}}}, "autoscaling.cpuPercent needs"),
    (
        {
            "autoscaling": {"kind": "hpa"},
            "records": {"persistence": {"enabled": True, "accessMode": "ReadWriteOnce"}},
        },
        "cannot serve an autoscaled number of replicas",
    ),
    ({"networkPolicy": {"envoy": [{"ports": []}]}}, "envoy"),
    ({"networkPolicy": {"envoy": [{"ipBlock": {"cidr": "10.0.0.0"}}]}}, "cidr"),
    ({"monitoring": {"monitors": {"interval": "15"}}}, "interval"),
    ({"extraVolumes": [{"name": "records", "emptyDir": {}}]}, "extraVolumes"),
    ({"extraVolumes": [{"name": "host", "hostPath": {"path": "/"}}]}, "extraVolumes"),
    ({"mode": "sidecar", "autoscaling": {"kind": "hpa"}}, "autoscaling.kind has no pods to scale with mode sidecar"),
    ({"attach": {"mesh": "linkerd"}}, "mesh"),
    ({"attach": {"mesh": "gke"}}, "gateway"),
    ({"mode": "sidecar", "attach": {"mesh": "istio"}}, "attach.mesh istio has no pods of yours to patch"),
    ({"mode": "sidecar", "tls": {"secretName": "x"}}, "tls is for mode deployment"),
    ({"mode": "sidecar", "records": {"persistence": {"enabled": True}}}, "records.persistence is for mode deployment"),
]


@pytest.mark.real
@pytest.mark.parametrize(("values", "named"), REFUSED, ids=[json.dumps(values)[:60] for values, _ in REFUSED])
def test_refuses(helm: Helm, values: Values, named: str) -> None:
    """A value that cannot work is refused before anything is installed, and the message names it."""
    assert named in helm.refuse(values)


SOURCES = {"configMap", "secret", "csi", "persistentVolumeClaim", "projected", "emptyDir"}
OPEN = {"global", "nodeAffinity", "podAffinity", "podAntiAffinity", *SOURCES}
"""Objects that the schema leaves to others: Helm's own, and Kubernetes' affinity and sources of volumes."""


def loose(schema: Any, path: str = "") -> Iterator[str]:
    """Objects of a JSON schema that would take unknown keys."""
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "additionalProperties" not in schema:
            yield path
        for key, value in schema.items():
            yield from loose(value, key)
    elif isinstance(schema, list):
        for value in schema:
            yield from loose(value, path)


def test_schema_is_strict() -> None:
    """No object takes a key that nobody knows, so that a misspelt value cannot be ignored."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(loose(schema)) == OPEN


def test_strictness_check_bites() -> None:
    """An object that says nothing of other keys is found."""
    schema = {"type": "object", "additionalProperties": False, "properties": {"tls": {"type": "object"}}}
    assert list(loose(schema)) == ["tls"]


def test_chart_carries_the_package_s_version() -> None:
    """The image that the chart asks for by default is the one of this version."""
    assert __version__ == yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]


@pytest.mark.real
def test_grace_covers_what_the_server_takes(helm: Helm) -> None:
    """The shortest grace that the chart takes is longer than the server needs, its time for closing included."""
    needed = 1 + 2 + 3 + int(CLOSING_S)
    drain = {"preStopSeconds": 1, "delaySeconds": 2, "limitSeconds": 3}
    assert f"must be more than {needed}" in helm.refuse({"drain": drain, "terminationGracePeriodSeconds": needed})
    helm.render({"drain": drain, "terminationGracePeriodSeconds": needed + 1})


def test_default_policy_is_the_repository_s() -> None:
    """The chart cannot read outside its folder; its copy of the minimal policy is the same, byte for byte."""
    assert (ROOT / "policies" / "minimal.yaml").read_bytes() == (CHART / "files" / "policy.yaml").read_bytes()
