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
    """What an exchange would know that holds the example's text in one window and whose models answered as it says."""
    direction = Direction(example.on)
    kind = example.kind or USUAL[direction]
    known = Facts(direction, features=dict(example.features), uninspectable=example.uninspectable)
    if example.text is not None:
        known.absorb(kind, policy.find(kind, example.text).scores)
    if example.scores or example.text is not None:
        known.absorb(kind, example.scores)
    known.failed.update(example.failed)
    spare(policy, known, kind)
    return one_item(known) if example.item else known


def spare(policy: CompiledPolicy, known: Facts, kind: Kind) -> list[str]:
    """Give models that are not asked about a window like this the scores that they have then. Returns the scores above
    that which were given for such a model; they stay as they are."""
    window = known.scores.get(kind)
    odd: list[str] = []
    if window is None:
        return odd
    for name, condition in policy.conditions.items():
        reach = policy.book.detectors[name]
        reads = known.direction in reach.directions and (not reach.kinds or kind in reach.kinds)
        if reads and condition.holds(known.direction, window, known.features) is False:
            odd += [score for score in condition.own if window.setdefault(score, 0.0) > 0.0]
    return odd


def one_item(known: Facts) -> Facts:
    """The facts of an answer that lists one item, of which this is known, and says nothing beside it."""
    return replace(known, outside=Facts(known.direction, known.features), items=[known])


def run(policy: CompiledPolicy, source: Source) -> Iterator[Problem]:
    """One problem for each example that does not come out as it says."""
    for index, example in enumerate(policy.document.examples):
        known = facts(policy, example)
        for score in spare(policy, known, example.kind or USUAL[known.direction]):
            detector = score.partition(".")[0]
            yield source.problem(
                ("examples", index, "scores", score),
                f"example {example.name!r} gives a score of {detector}, which would not be asked",
                f"it is asked where {policy.conditions[detector].text}",
            )
        verdict = policy.enforced(known)
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
