"""The values that the chart is rendered with: a row for each choice, every example, and everything at once."""

from __future__ import annotations

import copy
from typing import Any

import yaml

from tests.helm.program import CHART, Values

DIGEST = "sha256:" + "0123456789abcdef" * 4
SUMS = f"{'0' * 64}  screen/config.pbtxt\n{'1' * 64}  screen/1/model.py\n"
IMAGE = {"registry": "registry.example.com:5000/mirror", "repository": "a/b", "digest": DIGEST}
MODELS = {"url": "s3://models/live?region=eu-central-1", "digests": SUMS, "secretName": "store"}
EXPORTED: Values = {"redis": {"bundled": {"enabled": True, "exporter": {"enabled": True}}}}
COMPACTED: Values = {"sealer": {"compact": {"schedule": "17 * * * *"}}}
SEALED = {"records": {"kind": "spool"}, "sealer": {"store": "s3://records/eu"}, "terminationGracePeriodSeconds": 340}
MONITORING = {
    "monitors": {"enabled": True, "labels": {"release": "prometheus"}},
    "rules": {"enabled": True, "runbooks": "https://wiki.example.com/"},
    "dashboards": {"enabled": True},
}


def merged(*values: Values) -> Values:
    """Values one over the other, as Helm merges several files."""
    found: Values = {}
    for each in values:
        for key, value in each.items():
            old = found.get(key)
            if isinstance(value, dict) and isinstance(old, dict):
                found[key] = merged(old, value)
            else:
                found[key] = copy.deepcopy(value)
    return found


def example(*names: str) -> Values:
    """The values of one example, or of several over each other."""
    return merged(*(yaml.safe_load((CHART / "examples" / f"{name}.yaml").read_text()) for name in names))


EVERYTHING: Values = {
    "triton": {"enabled": True, "replicas": 2, "hedgeMilliseconds": 20, "models": MODELS | {"load": ["screen"]}},
    **EXPORTED,
    "keeper": {"enabled": True},
    "tls": {"certManager": {"enabled": True, "envoySecretName": "envoy-client"}},
    "identity": {"secretName": "who"},
    "autoscaling": {"kind": "keda", "prometheus": "http://prometheus:9090"},
    "monitoring": MONITORING,
    **merged(SEALED, COMPACTED),
}

MATRIX: dict[str, Values] = {
    "defaults": {},
    "one replica": {"replicas": 1},
    "digest": {"image": IMAGE},
    "openshift": {"openshift": True},
    "cluster address": {"service": {"headless": False, "annotations": {"a": "b"}}},
    "claim": {"records": {"persistence": {"enabled": True, "storageClass": "fast"}}},
    "claim for one": {"replicas": 1, "records": {"persistence": {"enabled": True, "accessMode": "ReadWriteOnce"}}},
    "claim of theirs": {"records": {"persistence": {"enabled": True, "existingClaim": "archive"}}},
    "tls": {"tls": {"secretName": "guard-tls", "mutual": False}},
    "mutual tls": {"tls": {"secretName": "guard-tls"}},
    "cert-manager": {"tls": {"certManager": {"enabled": True, "envoySecretName": "envoy"}}},
    "issuer of theirs": {
        "tls": {"certManager": {"enabled": True, "issuer": {"name": "mesh", "kind": "ClusterIssuer"}}}
    },
    "identity": {"identity": {"secretName": "who"}},
    "models": {"triton": {"addresses": ["a:8001", "[::1]:8002"], "hedgeMilliseconds": 20}},
    "triton": {"triton": {"enabled": True, "replicas": 2, "models": MODELS}},
    "triton on a slice": example("gpu-slice"),
    "redis of theirs": {"redis": {"urls": ["redis://a:6380", "redis://b:6380"]}},
    "redis with its metrics": merged(EXPORTED, {"monitoring": {"monitors": {"enabled": True}}}),
    "redis in a secret": {"redis": {"secret": {"name": "redis"}}},
    "keeper": example("trial"),
    "keepers": {
        "redis": {"secret": {"name": "redis"}},
        "keeper": {"enabled": True, "replicas": 2, "ledger": {"secret": {"name": "ledger"}}},
    },
    "sealer": SEALED,
    "sealer and compactor": merged(SEALED, COMPACTED, {"sealer": {"secretName": "store"}}),
    "shed never": {"shedAboveMilliseconds": 0},
    "sealer on a claim": merged(SEALED, {"records": {"persistence": {"enabled": True}, "region": "eu"}}),
    "hpa": {"autoscaling": {"kind": "hpa"}},
    "keda": {"autoscaling": {"kind": "keda", "prometheus": "http://prometheus:9090"}},
    "monitoring": {"monitoring": MONITORING},
    "on gke": {"attach": {"mesh": "gke", "gateway": "edge"}, "tls": {"secretName": "guard-tls", "mutual": False}},
    "no network policy": {"networkPolicy": {"enabled": False}},
    "policy of theirs": {"policyVolume": {"configMap": {"name": "policies"}}},
    "no wait": {
        "drain": {"preStopSeconds": 0, "delaySeconds": 1, "limitSeconds": 9},
        "terminationGracePeriodSeconds": 15,
    },
    "account of theirs": {"serviceAccount": {"create": False, "name": "shared"}},
    "other ports": {"ports": {"extproc": 19002, "health": 19003, "metrics": 19090}},
    "sidecar": example("sidecar"),
    "sidecar with everything beside it": {
        "mode": "sidecar",
        **{name: EVERYTHING[name] for name in ("triton", "redis", "keeper", "identity", "monitoring")},
    },
    "on openshift": example("openshift"),
    "production in europe": merged(example("production", "region-eu"), {"triton": {"models": {"digests": SUMS}}}),
    "production in america": merged(example("production", "region-us"), {"triton": {"models": {"digests": SUMS}}}),
    "everything": EVERYTHING,
    "everything else": {
        "image": {"pullSecrets": [{"name": "pull"}], "tag": "1.2.3"},
        "extraArgs": ["--log-level=debug"],
        "extraEnv": [
            {"name": "LEVEL", "value": "debug"},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "regional"}}},
        ],
        "extraVolumes": [{"name": "captures", "emptyDir": {"sizeLimit": "1Gi"}}],
        "extraVolumeMounts": [{"name": "captures", "mountPath": "/captures"}],
        "topologySpread": [{"topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 2}],
        "nodeSelector": {"pool": "edge"},
        "tolerations": [{"key": "edge", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "high",
        "podLabels": {"team": "safety"},
        "podAnnotations": {"sidecar.istio.io/inject": "false"},
        "serviceAccount": {"annotations": {"a": "b"}},
        "networkPolicy": {
            "envoy": [{"namespaceSelector": {"matchLabels": {"team": "edge"}}}],
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]}],
        },
        "fullnameOverride": "filter",
    },
}


def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The spec of every pod that the manifests make, by kind and name; the sidecar's patch is one, too."""
    found = {}
    for manifest in manifests:
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        match manifest:
            case {"kind": "StatefulSet", "spec": {"template": {"spec": spec}, "volumeClaimTemplates": claims}}:
                made = [{"name": each["metadata"]["name"], "persistentVolumeClaim": {}} for each in claims]
                found[name] = spec | {"volumes": [*spec.get("volumes", ()), *made]}
            case (
                {"kind": "Deployment" | "StatefulSet", "spec": {"template": {"spec": spec}}}
                | {
                    "kind": "Pod",
                    "spec": spec,
                }
                | {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}
            ):
                found[name] = spec
            case {"kind": "ConfigMap", "data": {"patch.yaml": text}}:
                found[name] = yaml.safe_load(text)["spec"]["template"]["spec"]
    return found
