"""The stack comes up whole or not at all, and says which part it was."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.local import triton
from safeguards_extproc.local.processes import PartFailed
from safeguards_extproc.local.stack import Plan, _asked, running

ROOT = Path(__file__).parents[2]
TRAFFIC = '{"id":"hi","format":"openai_chat","messages":[{"role":"user","content":"Hi"}],"answer":{"text":"Hello"}}\n'


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan with a policy that needs no model."""
    policy, traffic = tmp_path / "policy.yaml", tmp_path / "traffic.jsonl"
    policy.write_text("version: 1\nname: quiet\n")
    traffic.write_text(TRAFFIC)
    return Plan(policy, traffic, ROOT / "envoy" / "demo.yaml", ROOT / "triton_models", "embedded")


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.mark.parametrize("name", ["policy", "traffic", "envoy", "models"])
def test_a_missing_file_is_said_before_anything_starts(tmp_path: Path, plan: Plan, name: str) -> None:
    """A slip in a path, or the wrong folder, is told in one line."""
    files = {"policy": plan.policy, "traffic": plan.traffic, "envoy": plan.envoy, "models": plan.models}
    wrong = Plan(**files | {name: tmp_path / "none"})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="none: no such file"), running(wrong):
        pass


def test_triton_gets_only_the_models_that_the_policy_asks(tmp_path: Path, plan: Plan) -> None:
    """A policy names its models in its detectors; one that there is not, or a policy of another kind, starts none."""
    assert _asked(ROOT / "policies" / "demo.yaml") == {"screen"}
    assert _asked(plan.policy) == set()
    (tmp_path / "list.yaml").write_text("[detectors]")
    assert _asked(tmp_path / "list.yaml") == set()
    assert triton.among(plan.models, {"screen", "elsewhere"}) == ["screen"]


@pytest.mark.real
def test_a_stack_comes_up_says_each_step_and_leaves_nothing_behind(plan: Plan) -> None:
    """Model server, filter and Envoy run while they are needed, and not a moment longer."""
    said: list[str] = []
    before = children()
    with running(plan, said.append) as stack:
        assert {part.name for part in stack.parts} == {"model server", "filter", "envoy"}
        assert all(part.alive for part in stack.parts)
        assert stack.scorer == "embedded"
        assert stack.envoy.stats("cluster.safeguards.membership_")["cluster.safeguards.membership_healthy"] == 1
    assert not any(part.alive for part in stack.parts)
    assert children() <= before
    assert [line.partition("s  ")[2].split(" on ")[0] for line in said[:4]] == [
        "model server",
        "scorer: embedded",
        "filter: safeguards-extproc serve",
        "Envoy",
    ]


@pytest.mark.real
def test_a_part_that_fails_is_named_and_the_others_are_ended(plan: Plan) -> None:
    """A policy that does not load stops the filter: the person reads the filter's own words."""
    plan.policy.write_text("version: 1\nname: quiet\nruels: []\n")
    before = children()
    with pytest.raises(PartFailed, match=r"filter: ended with exit code") as caught, running(plan):
        pass
    assert "ruels" in caught.value.log
    assert children() <= before
