"""The facts of a decision, from its record: what a policy is asked when it decides again.

The one rule: what a record does not hold is not made up. Of an account it holds the step and whether a restriction
took hold, of a limit whether it allowed the exchange; what an answer's items said it does not hold, and `Undecidable`
says so.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

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

    ITEMS = "what the items of its answer said is not recorded, and a rule drops items"
    MASKED = "a field that decides is masked"


MASKS = ("scores", "features", "failed", "skipped", "fired", "account")
"""Fields of a phase without which it cannot be decided again."""


def lacking(record: Record, policy: CompiledPolicy) -> Undecidable | None:
    """Why the record is not enough; None if it is."""
    if any(mask(path) for path in record.masked):
        return Undecidable.MASKED
    if record.response.items.listed and policy.book.dropping.rules:
        return Undecidable.ITEMS
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
    if direction is Direction.REQUEST and policy.admits:
        found.admission = _admission(record, {limit.name: limit for limit in policy.limits})
    return found


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
