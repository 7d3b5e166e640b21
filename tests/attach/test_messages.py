"""Filter, route and cluster say what a safeguard must say, in every mode."""

from __future__ import annotations

from pathlib import Path

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster  # type: ignore[import-untyped]
from envoy.extensions.filters.http.ext_proc.v3.ext_proc_pb2 import ExternalProcessor  # type: ignore[import-untyped]
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import (  # type: ignore[import-untyped]
    ProcessingMode,
)
from google.protobuf.json_format import ParseDict

from safeguards_extproc.adapters import extproc
from safeguards_extproc.attach import messages
from safeguards_extproc.attach.options import Attachment, How
from safeguards_extproc.local.envoy import load
from tests.attach.pasted import manager_of

DEMO = Path(__file__).parents[2] / "envoy" / "demo.yaml"
PHASES = [f"{side}_{phase}_mode" for side in ("request", "response") for phase in ("header", "body", "trailer")]


@pytest.mark.parametrize("how", How)
def test_every_phase_is_sent(how: How) -> None:
    """A phase that is not sent is not checked: headers, bodies and trailers of both directions are."""
    mode = messages.processing_mode(how)
    unsent = {ProcessingMode.DEFAULT, ProcessingMode.SKIP}
    assert all(getattr(mode, phase) not in unsent for phase in PHASES if "body" not in phase)
    bodies = {mode.request_body_mode, mode.response_body_mode}
    assert bodies.isdisjoint({ProcessingMode.NONE, ProcessingMode.BUFFERED_PARTIAL})


@pytest.mark.parametrize("how", How)
def test_only_who_asks_fails_open(how: How) -> None:
    """A filter that is away means unread traffic where somebody wrote so, and nowhere else."""
    expected = how is How.FAIL_OPEN
    assert expected == messages.ext_proc(Attachment(how=how)).failure_mode_allow
    assert expected == messages.per_route(how).overrides.failure_mode_allow.value
    assert (how is How.OFF) == messages.per_route(how).disabled


def test_nothing_turns_a_refusal_off() -> None:
    """No field lets the filter's answer be ignored, and the verdict reaches the access log."""
    found = messages.ext_proc(Attachment())
    ignoring = (found.observability_mode, found.disable_immediate_response, found.allow_mode_override)
    assert not any(ignoring)
    assert [extproc.NAMESPACE] == list(found.metadata_options.receiving_namespaces.untyped)
    assert found.mutation_rules.disallow_is_error.value


def test_the_cluster_believes_health_at_once() -> None:
    """One failed check takes a process out, none brings a draining one back, and every live answer has room."""
    found = messages.cluster(Attachment(streams=12_345))
    [check] = found.health_checks
    assert (1, 1) == (check.unhealthy_threshold.value, check.healthy_threshold.value)
    assert extproc.SERVICE == check.grpc_health_check.service_name
    assert found.common_lb_config.HasField("healthy_panic_threshold")
    assert 0.0 == found.common_lb_config.healthy_panic_threshold.value
    assert {12_345} == {each.max_requests.value for each in found.circuit_breakers.thresholds}


def test_names_are_those_of_the_service() -> None:
    """What is written for Envoy is what the filter answers to."""
    assert extproc.SERVICE == messages.SERVICE
    assert extproc.NAMESPACE == messages.NAMESPACE
    assert extproc.FILTER == messages.FILTER


def test_the_demo_runs_what_is_generated() -> None:
    """What people paste is what is tested: the demo's Envoy has the same filter and the same cluster."""
    demo = load(DEMO)
    settings = manager_of(demo)["http_filters"][0]["typed_config"]
    del settings["@type"]
    assert messages.ext_proc(Attachment()) == ParseDict(settings, ExternalProcessor())
    [row] = [row for row in demo["static_resources"]["clusters"] if row["name"] == "safeguards"]
    assert messages.cluster(Attachment()) == ParseDict(row, Cluster())


@pytest.mark.parametrize(
    ("address", "kind", "expected"),
    [
        ("127.0.0.1:9002", Cluster.STATIC, "127.0.0.1"),
        ("filter.mesh.svc:9002", Cluster.STRICT_DNS, "filter.mesh.svc"),
        ("unix:///run/a.sock", Cluster.STATIC, "/run/a.sock"),
    ],
)
def test_an_address_makes_the_cluster(address: str, kind: int, expected: str) -> None:
    """A name is asked of DNS, one address for each pod."""
    found = messages.cluster(Attachment(addresses=(address,)))
    place = found.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address
    assert kind == found.type
    assert expected in (place.socket_address.address, place.pipe.path)
