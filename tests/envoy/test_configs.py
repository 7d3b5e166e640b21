"""Every configuration that we hand to people is taken by a real Envoy, and says what a safeguard must say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.local.envoy import load, validate

ROOT = Path(__file__).parents[2] / "envoy"
SNIPPETS = sorted((ROOT / "snippets").glob("*.yaml"))


def manager_of(document: dict[str, Any]) -> dict[str, Any]:
    manager: dict[str, Any] = document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    typed: dict[str, Any] = manager["typed_config"]
    return typed


def filter_of(document: dict[str, Any]) -> dict[str, Any]:
    """The filter's settings in a whole configuration or a snippet."""
    filters = document["http_filters"] if "http_filters" in document else manager_of(document)["http_filters"]
    typed: dict[str, Any] = filters[0]["typed_config"]
    return typed


def cluster_of(document: dict[str, Any]) -> dict[str, Any]:
    clusters = document.get("clusters") or document["static_resources"]["clusters"]
    [cluster] = [row for row in clusters if row["name"] == "safeguards"]
    found: dict[str, Any] = cluster
    return found


def pasted(snippet: dict[str, Any]) -> dict[str, Any]:
    """The demo's Envoy with its filter and its cluster replaced by the snippet's, as a person would paste them."""
    document = load(ROOT / "demo.yaml")
    manager = manager_of(document)
    manager["http_filters"] = [*snippet["http_filters"], manager["http_filters"][-1]]
    resources = document["static_resources"]
    others = [row for row in resources["clusters"] if row["name"] != "safeguards"]
    resources["clusters"] = [*others, *snippet["clusters"]]
    return document


@pytest.mark.real
def test_the_demo_configuration_is_taken() -> None:
    """`envoy -c envoy/demo.yaml` works as committed."""
    assert validate(ROOT / "demo.yaml") == ""


@pytest.mark.real
@pytest.mark.parametrize("path", SNIPPETS, ids=lambda path: path.stem)
def test_a_pasted_snippet_is_taken(path: Path, tmp_path: Path) -> None:
    """A person who pastes the snippet into her own configuration has one that Envoy takes."""
    config = tmp_path / "pasted.json"
    config.write_text(json.dumps(pasted(load(path))))
    assert validate(config) == ""


@pytest.mark.real
def test_the_check_bites(tmp_path: Path) -> None:
    """A setting that Envoy does not know is refused, so a typing slip cannot be committed."""
    document = load(ROOT / "demo.yaml")
    filter_of(document)["failure_mode_alow"] = False
    config = tmp_path / "slip.json"
    config.write_text(json.dumps(document))
    assert "failure_mode_alow" in validate(config)


ALL = [ROOT / "demo.yaml", *SNIPPETS]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_filter_that_is_away_never_means_unread_traffic(path: Path) -> None:
    """Fail closed, with room for every live answer, and health believed at once, in every configuration."""
    document = load(path)
    settings, cluster = filter_of(document), cluster_of(document)
    assert settings["failure_mode_allow"] is False
    assert settings["status_on_error"] == {"code": "ServiceUnavailable"}
    assert settings["metadata_options"]["receiving_namespaces"]["untyped"] == ["safeguards"]
    assert "allow_mode_override" not in settings
    assert "disable_immediate_response" not in settings
    [health] = cluster["health_checks"]
    assert health["grpc_health_check"]["service_name"] == "envoy.service.ext_proc.v3.ExternalProcessor"
    assert health["unhealthy_threshold"] == 1
    assert cluster["common_lb_config"]["healthy_panic_threshold"]["value"] == 0
    assert all(row["max_requests"] >= 10_000 for row in cluster["circuit_breakers"]["thresholds"])


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_phase_is_sent(path: Path) -> None:
    """Headers, bodies and trailers of both directions are read: a phase that is not sent is not checked."""
    mode = filter_of(load(path))["processing_mode"]
    phases = {f"{side}_{phase}_mode" for side in ("request", "response") for phase in ("header", "body", "trailer")}
    assert phases == mode.keys()
    assert {"NONE", "SKIP", "BUFFERED_PARTIAL", "DEFAULT"}.isdisjoint(mode.values())


def test_the_snippets_say_what_the_demo_runs() -> None:
    """What people paste is what is tested: same cluster, same filter, but for the body modes of the fallback."""
    demo = load(ROOT / "demo.yaml")
    full, buffered = (
        load(ROOT / "snippets" / "static-full-duplex.yaml"),
        load(ROOT / "snippets" / "buffered-request.yaml"),
    )
    assert filter_of(demo) == filter_of(full)
    assert cluster_of(demo) == cluster_of(full) == cluster_of(buffered)
    modes = {"request_body_mode": "BUFFERED", "response_body_mode": "STREAMED"}
    assert {**filter_of(demo)["processing_mode"], **modes} == filter_of(buffered)["processing_mode"]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_no_access_log_names_what_a_client_wrote(path: Path) -> None:
    """Paths with their query, and headers of the client's choosing, may hold user text: they are not logged."""
    text = path.read_text()
    assert "%REQ(:PATH)" not in text
    assert "x-envoy-original-path" not in text.lower()
