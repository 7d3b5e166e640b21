"""Strikes of both sides climb the ladder, and the difference is named."""

from __future__ import annotations

from typing import Any

from safeguards_extproc.policy.account_document import Delay, EnforcementSpec, Rung, StrikeSpec
from safeguards_extproc.replay.identities import Identities, Stands
from safeguards_extproc.replay.verdict import Verdict

SPEC = EnforcementSpec(
    strikes=[StrikeSpec(category="harm", half_life=3600.0)],
    ladder=[Rung(at=1.5, step="warn"), Rung(at=2.5, step="suspend", delay=Delay(at_least=1.0, at_most=3.0))],
)


def blocked(second: int, subject: str = "k1", **more: object) -> Verdict:
    told: dict[str, Any] = {"outcome": "block", "rule": "r", "category": "harm", "judged": True}
    time = f"2026-01-01T00:00:{second:02d}+00:00"
    return Verdict("x", **(told | {"time": time, "kind": "key", "subject": subject} | more))


ALLOWED = Verdict("x", kind="key", subject="k1")


def test_who_stands_elsewhere() -> None:
    """Three refusals suspend; without two of them there was not even a warning. Whoever keeps a step is no change."""
    identities = Identities(SPEC, SPEC)
    for second, after in ((1, blocked(1)), (2, ALLOWED), (3, ALLOWED), (9, blocked(9))):
        identities.add(blocked(second), after)
        identities.add(blocked(second, "k2"), blocked(second, "k2"))
    moves, moved = identities.changed()
    assert {("suspended", "warned"): 1, ("suspended", "suspended"): 1} == moves
    assert [Stands("key", "k1", "suspended", "warned")] == moved


def test_time_counts_and_order_does_not() -> None:
    """Strikes an hour apart are one and a half; told backwards, they are the same."""
    hours = [f"2026-01-01T{hour:02d}:00:00+00:00" for hour in range(3)]
    both = []
    for times in (hours, hours[::-1]):
        identities = Identities(SPEC, SPEC)
        for time in times:
            identities.add(ALLOWED, blocked(0, time=time))
        both.append(identities.changed())
    assert both[0] == both[1]
    assert [Stands("key", "k1", "good", "warned")] == both[0][1]


def test_what_is_no_strike() -> None:
    """Another category, a check that failed, nobody who answers for it, and an outcome that counts for nothing."""
    identities = Identities(SPEC, SPEC)
    for told in (
        blocked(1, category="spam"),
        blocked(1, judged=False),
        blocked(1, ""),
        blocked(1, outcome="annotate"),
    ):
        identities.add(told, told)
    assert ({}, []) == identities.changed()
    assert not identities.wants(blocked(1, judged=False))
    assert identities.wants(blocked(1))
