"""The facts of a decision, from its record: what a policy is asked when it decides again.

The one rule: what a record does not hold is not made up. Of an account it holds the step and whether a restriction
took hold, of a limit whether it allowed the exchange; what decides and is masked, or was too much for a record, it does
not hold, and `Undecidable` says so.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from safeguards_extproc.core.account import Admitted, Counted, Limit, Standing, Step
from safeguards_extproc.core.decision import Facts
from safeguards_extproc.core.record import Phase, Record
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.compile import CompiledPolicy

RESTRICTED = "account:restricted"
_KINDS = {kind.value: kind for kind in Kind}
_STEPS = {step.value: step for step in Step}


class Undecidable(enum.StrEnum):
    """Why an exchange cannot be decided again from its record."""

    ITEMS = "its answer lists more items than a record keeps, and a rule drops items"
    MASKED = "a field that decides is masked"


MASKS = ("scores", "features", "failed", "skipped", "fired", "account")
"""Fields of a phase without which it cannot be decided again."""

ITEM_MASK = "response.item_facts"
"""What a masked field begins with without which items cannot."""


def lacking(record: Record, policy: CompiledPolicy) -> Undecidable | None:
    """Why the record is not enough; None if it is."""
    if any(mask(path) for path in record.masked):
        return Undecidable.MASKED
    if policy.book.dropping.rules:
        known = record.response.item_facts.known
        if known == "none" or (not known and record.response.items.listed):
            return Undecidable.ITEMS
        if known and any(path.startswith(ITEM_MASK) for path in record.masked):
            return Undecidable.MASKED
    return None


def mask(path: str) -> bool:
    """Whether masking this field of a record takes away what a decision needs."""
    match path.split("."):
        case ["request" | "response"] | ["account" | "limits"]:
            return True
        case ["request" | "response", field, *_]:
            return field in MASKS
    return False


def facts(record: Record, direction: Direction, policy: CompiledPolicy) -> Facts:
    """What the record says of a direction."""
    phase = record.request if direction is Direction.REQUEST else record.response
    found = Facts(
        direction,
        features=phase.features,
        scores={_KINDS[kind]: scores for kind, scores in phase.scores.items() if kind in _KINDS},
        failed=phase.failed,
        skipped=phase.skipped,
        uninspectable=phase.account.uninspectable,
    )
    if direction is Direction.RESPONSE and phase.item_facts.known:
        found.outside, found.items = _items(phase, direction)
    if direction is Direction.REQUEST and policy.admits:
        found.admission = _admission(record, {limit.name: limit for limit in policy.limits})
    return found


def _items(phase: Phase, direction: Direction) -> tuple[Facts, Sequence[Facts]]:
    """What is known of the text that is in no item, and of each item, if they were judged."""
    told = phase.item_facts
    every = {at: Facts(direction, phase.features) for at in range(-1, phase.items.listed)}
    for kind, of in told.scores.items():
        for place, at in enumerate(of.items) if kind in _KINDS else ():
            if at in every:
                known = ((name, numbers[place]) for name, numbers in of.scores.items())
                every[at].scores[_KINDS[kind]] = {name: score for name, score in known if score >= 0}
    for detector, failed in told.failed.items():
        for at in failed:
            if at in every:
                every[at].failed[detector] = phase.failed.get(detector, "")
    outside = every.pop(-1)
    return outside, list(every.values()) if told.known == "all" else ()


def _admission(record: Record, limits: Mapping[str, Limit]) -> Admitted:
    """As the account answered. Of limits that were over, the record names the one with the longest wait first."""
    step = _STEPS.get(record.account, Step.GOOD)
    models = frozenset({"*"}) if restricted(record.request) else frozenset[str]()
    order = [fired.rule.removeprefix("limit:") for fired in record.request.fired if fired.rule.startswith("limit:")]
    over = [state.name for state in record.limits if not state.allowed and state.name in limits]
    over.sort(key=lambda name: order.index(name) if name in order else len(order))
    counted = [Counted(limits[name], False, 0, retry_after_s=float(len(over) - at)) for at, name in enumerate(over)]
    return Admitted(counted, Standing(step, models=models))


def restricted(request: Phase) -> bool:
    """Whether the account's restriction took hold."""
    return any(fired.rule == RESTRICTED for fired in request.fired)
