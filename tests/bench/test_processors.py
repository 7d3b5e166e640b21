"""What the bench compares: policies that load, bodies that are the same in every run, answers as their model says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import overload
from bench.offered import histogram
from bench.processors import Processor, litellm, processors
from bench.rig import Run
from bench.scenarios import SCENARIOS, streamed
from bench.upstream import CALL, STREAMED, TOOLS
from safeguards_extproc.policy.load import load

OURS = [one for one in processors("", "") if one.policy is not None]


@pytest.mark.parametrize("processor", OURS, ids=lambda one: one.name)
def test_each_of_ours_has_a_policy_that_loads(processor: Processor, tmp_path: Path) -> None:
    """Gates, releases and limits are changed in one of the shipped policies."""
    argv = processor.command(tmp_path, tmp_path / "s", "triton:1")
    policy = load(Path(argv[argv.index("--policy") + 1]))
    assert policy.document.model_fields_set >= set(processor.changes)
    assert bool(processor.models) == ("triton:1" in argv)


def test_a_reference_and_peers_are_rows_where_they_are_there(tmp_path: Path) -> None:
    """And nothing is said of them where they are not."""
    program = tmp_path / "litellm" / "bin" / "litellm"
    program.parent.mkdir(parents=True)
    program.touch()
    more = {one.name for one in processors("reference", str(tmp_path))} - {one.name for one in processors("", "")}
    assert {"no-op", "LiteLLM", "LiteLLM, guard"} == more
    assert "guardrails" not in litellm("a:1", "b:1", guarded=False)
    assert "filter" == litellm("a:1", "b:1", guarded=True)["guardrails"][0]["guardrail_name"]


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_bodies_are_chats_that_are_the_same_in_every_run(scenario: object) -> None:
    """One is no stream unless its model says so."""
    bodies = scenario.bodies()  # type: ignore[attr-defined]
    assert bodies == scenario.bodies()  # type: ignore[attr-defined]
    for body in bodies:
        said = json.loads(body)
        assert said["messages"]
        assert bool(said.get("stream")) == bool(STREAMED.search(body))


def test_the_model_server_is_told_by_the_model() -> None:
    """Events, their rate, and how long it takes to begin; proxies may write the JSON anew."""
    body = streamed(40, 12.5, 200)
    for said in (body, json.dumps(json.loads(body)).encode()):
        found = STREAMED.search(said)
        assert found is not None
        assert (b"40", b"12.5", b"200", None) == found.groups()
    assert all(TOOLS.search(body) for body in SCENARIOS["tool calls"].bodies())
    assert json.loads(CALL)["choices"][0]["message"]["tool_calls"]


def test_an_answer_that_comes_late_is_no_goodput() -> None:
    """One of three was in time, and what was shed is none."""
    last, other = histogram(), histogram()
    for value in (1_000_000, 2_500_000, 9_000_000):
        last.record_value(value)
    other.record_value(1000)
    run = Run(4, {"200": 3, "503": 1}, 9.0, last, last, other, {}, {})
    assert 1 == overload.in_time(run)
