"""Istio's EnvoyFilter: its patches, applied as istiod applies them, make a configuration that Envoy takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import ValidationError

from safeguards_extproc.attach import MESHES
from safeguards_extproc.attach.options import Attachment, How, Route, Tls
from safeguards_extproc.local.envoy import validate
from tests.attach import crds
from tests.attach.pasted import istio, manager_of

SHAPES = {
    "default": Attachment(addresses=("localhost:9002",)),
    "gateway": Attachment(addresses=("localhost:9002",), gateway="edge", gateway_namespace="edge"),
    "routes": Attachment(addresses=("localhost:9002",), routes=tuple(Route(f"to-{how}", how) for how in How)),
    "tls": Attachment(addresses=("localhost:9002",), tls=Tls.MUTUAL),
}


@pytest.mark.parametrize("name", SHAPES)
def test_kubernetes_takes_it(name: str) -> None:
    """The object has the fields that Istio documents, and no other."""
    for _, document in MESHES["istio"](SHAPES[name]):
        crds.check(document)


@pytest.mark.real
@pytest.mark.parametrize("name", [name for name in SHAPES if name != "tls"])
def test_envoy_takes_what_comes_of_it(name: str, tmp_path: Path) -> None:
    """What istiod makes of the patches is configuration that Envoy accepts; secrets need a control plane to ask."""
    config = tmp_path / "istio.json"
    config.write_text(json.dumps(istio(SHAPES[name])))
    assert "" == validate(config)


def test_the_filter_is_the_last_before_the_router() -> None:
    """What was judged is what goes on: nothing changes it afterwards."""
    names = [row["name"] for row in manager_of(istio(SHAPES["default"]))["http_filters"]]
    assert ["envoy.filters.http.ext_proc", "envoy.filters.http.router"] == names


def test_one_that_is_misspelt_is_found() -> None:
    """The schema bites."""
    [(_, document)] = MESHES["istio"](SHAPES["default"])
    document["spec"]["configPatches"][0]["applyTo"] = "CLUSTERS"
    with pytest.raises(ValidationError):
        crds.check(document)
