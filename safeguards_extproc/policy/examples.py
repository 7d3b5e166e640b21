"""A policy proves itself: its own examples must come out as it says, or it does not load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from safeguards_extproc.core.decision import Facts, Verdict
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.document import Example
from safeguards_extproc.policy.problems import Problem
from safeguards_extproc.policy.source import Source

USUAL = {Direction.REQUEST: Kind.USER, Direction.RESPONSE: Kind.CONTENT}
"""The kind of an example's text that names none."""


def facts(policy: CompiledPolicy, example: Example) -> Facts:
    """What an exchange would know that holds the example's text and whose models answered as it says."""
    direction = Direction(example.on)
    kind = example.kind or USUAL[direction]
    known = Facts(direction, features=dict(example.features), uninspectable=example.uninspectable)
    if example.text is not None:
        known.absorb(kind, policy.find(kind, example.text).scores)
    if example.scores or example.text is not None:
        known.absorb(kind, example.scores)
    known.failed.update(example.failed)
    return one_item(known) if example.item else known


def one_item(known: Facts) -> Facts:
    """The facts of an answer that lists one item, of which this is known, and says nothing beside it."""
    return replace(known, outside=Facts(known.direction, known.features), items=[known])


def run(policy: CompiledPolicy, source: Source) -> Iterator[Problem]:
    """One problem for each example that does not come out as it says."""
    for index, example in enumerate(policy.document.examples):
        verdict = policy.enforced(facts(policy, example))
        for key, expected, got in (
            ("expect", example.expect, verdict.action),
            ("decided", example.decided, verdict.decided),
        ):
            if expected is not None and expected != got:
                yield source.problem(
                    ("examples", index, key),
                    f"example {example.name!r} expected {expected}, got {got.value}",
                    _why(verdict),
                )


def _why(verdict: Verdict) -> str:
    if not verdict.fired:
        return "no rule fired"
    return ", ".join(f"{f.rule} asked for {f.action.value}{'' if f.enforced else ' in shadow'}" for f in verdict.fired)
