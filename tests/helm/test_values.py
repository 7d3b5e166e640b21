"""Values that the chart must refuse, in words that name the value; and that every value is described."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from safeguards_extproc import __version__
from safeguards_extproc.adapters.server import CLOSING_S
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
    ({"ports": {"health": 9002}}, "ports.extproc, ports.health and ports.metrics must differ"),
    ({"records": {"size": "lots"}}, "size"),
    ({"records": {"onFailure": "ignore"}}, "onFailure"),
    ({"records": {"persistence": {"accessMode": "ReadOnlyMany"}}}, "accessMode"),
    (
        {"records": {"persistence": {"enabled": True, "accessMode": "ReadWriteOnce"}}},
        "records.persistence.accessMode ReadWriteOnce cannot serve 2 replicas",
    ),
    ({"terminationGracePeriodSeconds": 30}, "terminationGracePeriodSeconds (30) must be more than 312"),
    ({"drain": {"limitSeconds": 600}}, "terminationGracePeriodSeconds (330) must be more than 612"),
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
]


@pytest.mark.real
@pytest.mark.parametrize(("values", "named"), REFUSED, ids=[json.dumps(values)[:60] for values, _ in REFUSED])
def test_refuses(helm: Helm, values: Values, named: str) -> None:
    """A value that cannot work is refused before anything is installed, and the message names it."""
    assert named in helm.refuse(values)


def leaves(values: Values, path: str = "") -> Iterator[str]:
    """Dotted paths of every value that is not itself a group of values."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def documented(readme: str) -> dict[str, str]:
    """Path and default, as the README's table gives them."""
    return dict(re.findall(r"^\| `([\w.]+)` \| (.+?) \| .+ \|$", readme, re.MULTILINE))


def defaults(values: Values) -> dict[str, str]:
    """What the table must say: the default as JSON, strings bare; "" for a list too long for a table."""
    found: dict[str, Any] = {}
    for path in leaves(values):
        value: Any = values
        for key in path.split("."):
            value = value[key]
        text = value if isinstance(value, str) and value else json.dumps(value)
        found[path] = "" if len(text) > 40 else f"`{text}`"
    return found


def undocumented(values: Values, readme: str) -> set[str]:
    """Values that the table lacks, has too many, or gives another default."""
    told, true = documented(readme), defaults(values)
    wrong = {path for path in told.keys() & true.keys() if true[path] and told[path] != true[path]}
    return (told.keys() ^ true.keys()) | wrong


def test_every_value_is_documented() -> None:
    """The README's table and values.yaml name the same values with the same defaults."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set() == undocumented(values, (CHART / "README.md").read_text())


def test_documentation_check_bites() -> None:
    """A missing row, a stale row and a wrong default are each found."""
    readme = "| `a` | `1` | One |\n| `old` | `2` | Gone |\n| `b.c` | `2` | Two |\n"
    assert {"old", "b.c", "d"} == undocumented({"a": 1, "b": {"c": 3}, "d": ""}, readme)


OPEN = {"global", "nodeAffinity", "podAffinity", "podAntiAffinity"}
"""Objects that the schema leaves to others: Helm's own, and Kubernetes' affinity."""


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
