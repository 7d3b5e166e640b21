"""Changes are counted the same, in any order and by any number of hands."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from safeguards_extproc.policy.account_document import EnforcementSpec, Rung, StrikeSpec
from safeguards_extproc.replay.compare import (
    EXAMPLES,
    NEWLY_ALLOWED,
    NEWLY_BLOCKED,
    OTHERWISE,
    Comparison,
    Tally,
    group,
)
from safeguards_extproc.replay.identities import Identities
from safeguards_extproc.replay.verdict import MUST_ALLOW, MUST_BLOCK, Pair, Verdict

LADDER = EnforcementSpec(strikes=[StrikeSpec()], ladder=[Rung(at=2.0, step="warn")])


def verdict(number: int, outcome: str = "allow", rule: str = "", **more: object) -> Verdict:
    plain = Verdict(
        id=f"x{number}",
        sequence=number,
        time=f"2026-01-01T00:00:{number % 60:02d}+00:00",
        route="chat",
        tenant=f"t{number % 3}",
        kind="key",
        subject=f"k{number % 2}",
        outcome=outcome,
        rule=rule,
        judged=bool(rule),
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def random_pairs(count: int) -> list[Pair]:
    pick = random.Random(4)
    made = []
    for number in range(count):
        before, after = (
            verdict(number, *pick.choice((("allow", ""), ("block", "r1"), ("block", "r2"), ("annotate", "r3"))))
            for _ in range(2)
        )
        made.append(
            Pair(before, replace(after, latency_ms=pick.random() * 9), pick.choice(("", MUST_BLOCK, MUST_ALLOW)))
        )
    return made


def counted(pairs: list[Pair]) -> Comparison:
    comparison = Comparison(Identities(LADDER, LADDER))
    comparison.add_all(pairs)
    return comparison


def shown(comparison: Comparison) -> object:
    """Everything that a report is made from."""
    return (
        comparison.total,
        comparison.changes,
        comparison.rules,
        comparison.by,
        comparison.labelled,
        comparison.after_ms.counts.tolist(),
        comparison.examples,
        comparison.identities.changed(),
    )


def test_what_changes() -> None:
    """One is newly blocked, one newly allowed, one says the same, one is refused by another rule."""
    comparison = counted(
        [
            Pair(verdict(1), verdict(1, "block", "r1"), MUST_ALLOW),
            Pair(verdict(2, "block", "r1"), verdict(2), MUST_BLOCK),
            Pair(verdict(3, "block", "r1"), verdict(3, "block", "r1"), MUST_BLOCK),
            Pair(verdict(4, "block", "r1"), verdict(4, "block", "r2")),
        ]
    )
    assert Tally(4, 3, 3, 3, 1, 1) == comparison.total
    assert {("allow", "block"): 1, ("block", "allow"): 1, ("block", "block"): 2} == comparison.changes
    assert Tally(4, 3, 3, 2, 1, 1) == comparison.by["rule"]["r1"]
    assert Tally(1, 1, 0, 1, 0, 0) == comparison.by["rule"]["r2"]
    assert Tally(2, 1, 2, 1, 0, 1) == comparison.labelled[MUST_BLOCK]
    assert Tally(1, 1, 0, 1, 1, 0) == comparison.labelled[MUST_ALLOW]
    assert {(NEWLY_BLOCKED, "r1"), (NEWLY_ALLOWED, "r1"), (OTHERWISE, "r1")} == comparison.examples.keys()


def test_order_and_hands_do_not_matter() -> None:
    """Shuffled and counted by three, merged in another order: the same, examples and identities included."""
    pairs = random_pairs(600)
    whole = counted(pairs)
    random.Random(1).shuffle(pairs)
    parts = [counted(pairs[at::3]) for at in range(3)]
    merged = Comparison(Identities(LADDER, LADDER))
    for part in reversed(parts):
        merged.merge(part)
    assert shown(whole) == shown(merged)
    assert EXAMPLES == max(map(len, whole.examples.values()))


def test_the_comparison_of_comparisons_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples that depend on who came first would be found out."""
    pairs = random_pairs(600)
    monkeypatch.setattr(
        Comparison, "_example", lambda self, change, before, after: self.examples.setdefault((change, ""), before)
    )
    assert shown(counted(pairs)) != shown(counted(pairs[::-1]))


def test_many_alike_are_told_once() -> None:
    """A pair that changes nothing and strikes nobody may be told with a number."""
    comparison = Comparison(Identities(LADDER, LADDER))
    same = Pair(verdict(1), verdict(1))
    assert (None, False) == (group(same), comparison.strikes(same))
    comparison.count(same, 1000)
    assert (1000, 1000) == (comparison.total.exchanges, comparison.by["tenant"]["t1"].exchanges)
    assert (NEWLY_BLOCKED, "r1") == group(Pair(verdict(1), verdict(1, "block", "r1")))
    assert comparison.strikes(Pair(verdict(1, "block", "r1"), verdict(1, "block", "r1")))
