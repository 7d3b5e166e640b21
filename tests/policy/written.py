"""Policies and facts for tests, written short."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent

from safeguards_extproc.core.decision import Facts
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy import document, source
from safeguards_extproc.policy.compile import CompiledPolicy, compile_policy
from safeguards_extproc.policy.problems import PolicyError

HEAD = """\
version: 1
name: test
detectors:
  screen: {kind: classification, model: screen, labels: [attack, harmful]}
  guard: {kind: classification, model: guard, labels: [unsafe], on_failure: degrade}
  pii: {kind: pii, entities: [email, card]}
  lists: {kind: patterns, lists: {codename: {keywords: [bluefinch]}}}
"""

FORMATS = ("openai_chat", "anthropic_messages")


def policy(text: str, head: str = HEAD) -> CompiledPolicy:
    """The policy of `head` and `text`, whose formats are FORMATS; examples are not run."""
    read = source.read(head + dedent(text), "policy.yaml")
    return compile_policy(document.parse(read), read, formats=FORMATS)


def mistakes(text: str, head: str = HEAD) -> list[str]:
    """What is wrong with such a policy, a line each; nothing if it compiles."""
    try:
        policy(text, head)
    except PolicyError as error:
        return [str(problem) for problem in error.problems]
    return []


def facts(
    scores: Mapping[str, float] | None = None,
    *,
    kind: Kind = Kind.USER,
    direction: Direction = Direction.REQUEST,
    failed: Mapping[str, str] | None = None,
    skipped: Mapping[str, str] | None = None,
) -> Facts:
    """What is known after one text of `kind` was scored, or was to be."""
    known = Facts(direction, failed=dict(failed or {}), skipped=dict(skipped or {}))
    if scores is not None:
        known.absorb(kind, scores)
    return known
