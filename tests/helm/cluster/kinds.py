"""The kinds that this API serves: those that the chart renders, and those that Helm and the controllers need."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource: "apps/v1", "deployments", "Deployment"."""

    group_version: str
    plural: str
    name: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.group_version.rpartition("/")[0]


KINDS = tuple(
    Kind(group_version, plural, name, name != "Namespace")
    for group_version, kinds in {
        "v1": {
            "configmaps": "ConfigMap",
            "events": "Event",
            "namespaces": "Namespace",
            "persistentvolumeclaims": "PersistentVolumeClaim",
            "pods": "Pod",
            "secrets": "Secret",
            "serviceaccounts": "ServiceAccount",
            "services": "Service",
        },
        "apps/v1": {"deployments": "Deployment", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet"},
        "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
        "batch/v1": {"cronjobs": "CronJob"},
        "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
        "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
        "cert-manager.io/v1": {"certificates": "Certificate", "issuers": "Issuer"},
        "keda.sh/v1alpha1": {"scaledobjects": "ScaledObject"},
        "monitoring.coreos.com/v1": {
            "podmonitors": "PodMonitor",
            "prometheusrules": "PrometheusRule",
            "servicemonitors": "ServiceMonitor",
        },
    }.items()
    for plural, name in kinds.items()
)

OPERATORS = {"cert-manager.io", "keda.sh", "monitoring.coreos.com"}
"""Groups of custom resources, whose schemas this API does not have."""


def of(group_version: str, plural: str) -> Kind | None:
    """The kind behind a path."""
    return next((kind for kind in KINDS if (kind.group_version, kind.plural) == (group_version, plural)), None)


def named(group_version: str, name: str) -> Kind | None:
    """The kind of a manifest."""
    return next((kind for kind in KINDS if (kind.group_version, kind.name) == (group_version, name)), None)
