"""What a cluster adds to an object: defaults, an address, a status that says it is rolled out, children."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

Object = dict[str, Any]

IMMUTABLE = {
    "Deployment": (("spec", "selector"),),
    "StatefulSet": (("spec", "selector"), ("spec", "serviceName"), ("spec", "volumeClaimTemplates")),
    "PersistentVolumeClaim": (("spec", "accessModes"), ("spec", "storageClassName")),
    "Service": (("spec", "clusterIP"),),
}
"""Fields that no update may change (k8s.io/kubernetes/pkg/apis/*/validation)."""


def default(found: Object, number: int) -> None:
    """Fill in what the API server fills in; `number` makes addresses differ."""
    match found:
        case {"kind": "Deployment" | "StatefulSet", "spec": dict(spec)}:
            spec.setdefault("replicas", 1)
        case {"kind": "Service", "spec": dict(spec)}:
            spec.setdefault("clusterIP", f"10.96.{number // 250 % 250}.{number % 250 + 1}")


def changed(old: Object, new: Object) -> str:
    """The immutable field that differs; "" if none does."""
    for path in IMMUTABLE.get(str(new["kind"]), ()):
        before, after = old, new
        for key in path:
            before, after = (each.get(key, {}) if isinstance(each, dict) else {} for each in (before, after))
        if before != after:
            return ".".join(path)
    return ""


ROLLED_OUT = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
OF_A_SET = ("replicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas")


def status(found: Object, succeeds: bool) -> None:
    """Say that it is as it should be; a pod has ended, well if `succeeds`."""
    generation = found["metadata"]["generation"]
    match found:
        case {"kind": "Deployment", "spec": {"replicas": int(count)}}:
            found["status"] = {"observedGeneration": generation, **dict.fromkeys(ROLLED_OUT, count)}
            found["status"]["conditions"] = [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ]
        case {"kind": "StatefulSet", "spec": {"replicas": int(count)}}:
            found["status"] = {
                "observedGeneration": generation,
                **dict.fromkeys((*ROLLED_OUT, "currentReplicas"), count),
            }
            found["status"] |= dict.fromkeys(("currentRevision", "updateRevision"), _revision(found))
        case {"kind": "ReplicaSet", "spec": {"replicas": int(count)}}:
            found["status"] = {"observedGeneration": generation, **dict.fromkeys(OF_A_SET, count)}
        case {"kind": "PodDisruptionBudget"}:
            healthy = {"currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1, "expectedPods": 2}
            found["status"] = {"observedGeneration": generation, **healthy}
        case {"kind": "PersistentVolumeClaim"}:
            found["status"] = {"phase": "Bound"}
        case {"kind": "Namespace"}:
            found["status"] = {"phase": "Active"}
        case {"kind": "Pod", "spec": {"containers": containers}}:
            ended = {"terminated": {"exitCode": 0 if succeeds else 1}}
            states = [
                {"name": each["name"], "image": each["image"], "imageID": "", "ready": False, "restartCount": 0}
                | {"state": ended}
                for each in containers
            ]
            found["status"] = {"phase": "Succeeded" if succeeds else "Failed", "containerStatuses": states}


def children(found: Object) -> list[Object]:
    """What a workload makes: a ReplicaSet, the claims of a StatefulSet."""
    meta = found["metadata"]
    match found:
        case {"kind": "Deployment", "spec": {"template": template, "selector": selector, "replicas": count}}:
            name = _revision(found)
            copied = copy.deepcopy(template)
            copied["metadata"]["labels"]["pod-template-hash"] = name.rpartition("-")[2]
            owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"], "uid": meta["uid"]}
            labels = dict(copied["metadata"]["labels"])
            return [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "metadata": {
                        "name": name,
                        "namespace": meta["namespace"],
                        "labels": labels,
                        "ownerReferences": [owner | {"controller": True}],
                    },
                    "spec": {"replicas": count, "selector": selector, "template": copied},
                }
            ]
        case {"kind": "StatefulSet", "spec": {"replicas": count, "volumeClaimTemplates": claims}}:
            return [
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {
                        "name": f"{claim['metadata']['name']}-{meta['name']}-{number}",
                        "namespace": meta["namespace"],
                    },
                    "spec": copy.deepcopy(claim["spec"]),
                }
                for claim in claims
                for number in range(count)
            ]
    return []


def _revision(found: Object) -> str:
    text = json.dumps(found["spec"]["template"], sort_keys=True)
    return f"{found['metadata']['name']}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
