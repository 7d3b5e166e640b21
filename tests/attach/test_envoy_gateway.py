"""Envoy Gateway's objects: fields and bounds as documented, closed by default, and the most specific policy counts."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import ValidationError

from safeguards_extproc.attach import MESHES
from safeguards_extproc.attach.envoy_gateway import duration
from safeguards_extproc.attach.options import Attachment, How, Route, Tls
from safeguards_extproc.errors import ConfigError
from tests.attach import crds

SHAPES = {
    "default": Attachment(gateway="edge"),
    "elsewhere": Attachment(gateway="edge", gateway_namespace="edge"),
    "buffered": Attachment(gateway="edge", how=How.BUFFERED),
    "fail-open": Attachment(gateway="edge", how=How.FAIL_OPEN, timeout_s=1.5),
    "off": Attachment(gateway="edge", how=How.OFF, routes=(Route("chat", How.GUARD),)),
    "routes": Attachment(gateway="edge", routes=tuple(Route(f"to-{how}", how) for how in How)),
    "tls": Attachment(gateway="edge", gateway_namespace="edge", tls=Tls.MUTUAL),
}


def objects(wanted: Attachment) -> list[dict[str, Any]]:
    return [document for _, document in MESHES["envoy-gateway"](wanted)]


@pytest.mark.parametrize("name", SHAPES)
def test_kubernetes_takes_it(name: str) -> None:
    """Every object has the fields that are documented, within their bounds, and no other."""
    for document in objects(SHAPES[name]):
        crds.check(document)


def test_a_policy_replaces_the_gateway_s() -> None:
    """A route that differs has one of its own; one that is left alone has one without a filter."""
    policies = [each for each in objects(SHAPES["routes"]) if each["kind"] == "EnvoyExtensionPolicy"]
    targets = {each["spec"]["targetRefs"][0]["name"]: each["spec"].get("extProc") for each in policies}
    assert {"edge", "to-guard", "to-buffered", "to-fail-open", "to-off"} == targets.keys()
    assert targets["to-off"] is None
    opened = {name: [each["failOpen"] for each in found] for name, found in targets.items() if found}
    assert {"edge": [False], "to-guard": [False], "to-buffered": [False], "to-fail-open": [True]} == opened


def test_another_namespace_needs_a_grant() -> None:
    """And one's own does not."""
    assert "ReferenceGrant" in {each["kind"] for each in objects(SHAPES["elsewhere"])}
    assert "ReferenceGrant" not in {each["kind"] for each in objects(SHAPES["default"])}


def test_a_gateway_must_be_named() -> None:
    """A policy attaches to something."""
    with pytest.raises(ConfigError, match="no Gateway is named"):
        objects(Attachment())


@pytest.mark.parametrize(("given", "expected"), [(10, "10s"), (1.5, "1500ms"), (0.25, "250ms")])
def test_durations(given: float, expected: str) -> None:
    """As the Gateway API writes them."""
    assert expected == duration(given)


def test_full_duplex_never_fails_open() -> None:
    """Envoy Gateway refuses that pair, and so does the schema here: it bites."""
    [policy, *_] = objects(SHAPES["default"])
    policy["spec"]["extProc"][0]["failOpen"] = True
    with pytest.raises(AssertionError, match="duplex_fails_closed"):
        crds.check(policy)


def test_a_field_that_is_misspelt_is_found() -> None:
    """The schema bites."""
    [policy, *_] = objects(SHAPES["default"])
    policy["spec"]["extProc"][0]["messageTimeOut"] = "1s"
    with pytest.raises(ValidationError):
        crds.check(policy)
