"""A file becomes a policy, or says why not; the policies that we ship load and do what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards_extproc.core.decision import Action
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.load import load, parse
from safeguards_extproc.policy.problems import PolicyError
from tests.policy.written import facts

SHIPPED = Path(__file__).parents[2] / "policies"

LEAST = "version: 1\nname: least\n"


def test_loads(tmp_path: Path) -> None:
    """A file of UTF-8, with or without words beyond ASCII."""
    path = tmp_path / "policy.yaml"
    path.write_text(LEAST + "message: Nein, das ist nicht möglich.\n", encoding="utf-8")
    assert load(path).message == "Nein, das ist nicht möglich."
    assert load(str(path)).digest == load(path).digest


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Is a mistake of the operator like any other, and names the file."""
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("message: möglich".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8 at byte 10"):
        load(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: [", "p.yaml:1: not YAML"),
        ("version: 2\nname: a", "p.yaml:1: version: must be 1"),
        (LEAST + "routes: [{name: a, format: none}]", "p.yaml:3: routes[0].format: unknown format 'none'"),
        (LEAST + "examples: [{name: a, on: request, expect: block}]", "p.yaml:3: examples[0].expect: example 'a'"),
    ],
)
def test_every_step_can_refuse(text: str, expected: str) -> None:
    """YAML, the document, the whole, the examples; each with its line."""
    with pytest.raises(PolicyError) as caught:
        parse(text, "p.yaml")
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize("name", ["default", "demo", "minimal"])
def test_what_we_ship_loads(name: str) -> None:
    """With all of its examples."""
    policy = load(SHIPPED / f"{name}.yaml")
    assert policy.document.name == name
    assert policy.document.examples
    assert policy.routes[-1].inspect


def test_the_minimal_policy_needs_no_model() -> None:
    """A new installation works before its model server does."""
    policy = load(SHIPPED / "minimal.yaml")
    assert (policy.models, policy.decide(facts({})).action) == ((), Action.ALLOW)


def test_the_demonstration_shows_every_action() -> None:
    """Each action of the core but reroute, which needs a second model server; and both modes."""
    policy = load(SHIPPED / "demo.yaml")
    assert {rule.then for rule in policy.document.rules} == {"annotate", "steer", "redact", "stop", "block"}
    assert {rule.mode for rule in policy.document.rules} == {"enforce", "shadow"}
    call = policy.find(Kind.TOOL_CALL, '{"command": "rm -rf /"}').scores
    screen = dict.fromkeys((f"screen.{label}" for label in policy.document.thresholds), 0.0)
    known = facts({**call, **screen}, kind=Kind.TOOL_CALL, direction=Direction.RESPONSE)
    assert policy.decide(known).category == "tool-use"
