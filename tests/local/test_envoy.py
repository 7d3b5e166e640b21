"""Envoy on the committed configuration: rendered by addresses alone, started, asked, ended."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.local import envoy
from safeguards_extproc.local.envoy import Addresses, address, get, load, render
from safeguards_extproc.local.processes import PartFailed, stop

DEMO = Path(__file__).parents[2] / "envoy" / "demo.yaml"
ADDRESSES = Addresses("127.0.0.1:1", ("unix:///a.sock", "127.0.0.1:2"), listen="127.0.0.1:3", admin="127.0.0.1:4")


def without_addresses(value: Any) -> Any:
    """The document with every address and list of endpoints taken out."""
    if isinstance(value, dict):
        return {name: without_addresses(inner) for name, inner in value.items() if name not in ("address", "endpoints")}
    return [without_addresses(inner) for inner in value] if isinstance(value, list) else value


def test_rendering_changes_addresses_and_nothing_else() -> None:
    """What the demo runs is the committed file, so that what is committed is what works."""
    document = load(DEMO)
    before = copy.deepcopy(document)
    rendered = render(document, ADDRESSES)
    assert before == document
    assert without_addresses(document) == without_addresses(rendered)
    clusters = {cluster["name"]: cluster["load_assignment"]["endpoints"][0] for cluster in clusters_of(rendered)}
    places = [row["endpoint"]["address"] for row in clusters["safeguards"]["lb_endpoints"]]
    assert [{"pipe": {"path": "/a.sock"}}, address("127.0.0.1:2")] == places
    assert address("127.0.0.1:1") == clusters["model_server"]["lb_endpoints"][0]["endpoint"]["address"]
    assert address("127.0.0.1:3") == rendered["static_resources"]["listeners"][0]["address"]
    assert address("127.0.0.1:4") == rendered["admin"]["address"]


def clusters_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    clusters: list[dict[str, Any]] = document["static_resources"]["clusters"]
    return clusters


@pytest.mark.parametrize("text", ["- a", "a: [", None])
def test_a_file_that_is_no_configuration_is_said(tmp_path: Path, text: str | None) -> None:
    """A slip in a path or in the YAML ends in one line."""
    path = tmp_path / "envoy.yaml"
    if text:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"envoy\.yaml"):
        load(path)


def test_nobody_there_is_no_answer() -> None:
    """Asking where nobody listens is an answer of its own, so that waiting can go on."""
    assert get("127.0.0.1:1", "/ready") == (0, "")


def without_filter() -> dict[str, Any]:
    """The demo's Envoy with nothing between it and the model server."""
    document = load(DEMO)
    resources = document["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"] = manager["http_filters"][-1:]
    resources["clusters"] = [row for row in clusters_of(document) if row["name"] == "model_server"]
    return document


@pytest.mark.real
def test_a_real_envoy_comes_up_counts_and_goes_down(tmp_path: Path) -> None:
    """Envoy takes a free port, says which, answers 503 for a model server that is away, and ends when told."""
    front = envoy.start(without_filter(), Addresses("127.0.0.1:1", ()), tmp_path)
    try:
        assert get(front.url.removeprefix("http://"), "/v1/models")[0] == 503
        counted = front.stats("http.ingress.downstream_rq_")
        assert counted["http.ingress.downstream_rq_5xx"] == 1
    finally:
        stop(front.part)
    assert front.part.process.returncode == 0


@pytest.mark.real
def test_a_configuration_that_envoy_refuses_is_reported_in_its_words(tmp_path: Path) -> None:
    """The person sees which setting Envoy did not take."""
    document = without_filter()
    document["static_resources"]["clusters"][0]["no_such_setting"] = 1
    with pytest.raises(PartFailed, match="envoy: ended with exit code 1") as caught:
        envoy.start(document, Addresses("127.0.0.1:1", ()), tmp_path)
    assert "no_such_setting" in caught.value.log
