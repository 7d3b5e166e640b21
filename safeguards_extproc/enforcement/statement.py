"""The statement of reasons for a step: what was decided, on what facts and ground, and what can be done against it.

It has what article 17(3) of Regulation (EU) 2022/2065 (Digital Services Act) asks for, as JSON (`schema`) and as text.
Nothing that a user wrote is in it: facts are counts, times, and names from the policy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from safeguards_extproc.enforcement.events import STEPS, Event, Kind
from safeguards_extproc.enforcement.projection import undone
from safeguards_extproc.errors import NotAllowed

_MOST_RECORDS = 100


@dataclass(frozen=True, slots=True)
class Terms:
    """What a provider says in each of its statements. `territory` is where its measures hold; `terms` names the
    contract; `laws` the law that a category of the policy is about, where it is the law that is broken; `notice` is
    true where decisions follow notices of others (article 16) and are not its own initiative."""

    provider: str = "The provider of this service"
    territory: tuple[str, ...] = ("worldwide",)
    terms: str = "The usage policy, which is part of the terms of service"
    laws: Mapping[str, str] = field(default_factory=dict)
    notice: bool = False
    complaint: str = (
        "You can complain to us, free of charge, within six months of this decision. "
        "A person who had no part in it will look at it."
    )
    settlement: str = (
        "You can turn to an out-of-court dispute settlement body that is certified under article 21 of Regulation (EU) "
        "2022/2065."
    )
    court: str = "You can take the matter to a court."


DEFAULT = Terms()

_MEASURES = {
    Kind.WARN: "You are warned. Nothing that you may use changes.",
    Kind.THROTTLE: "You may use {share:.3g} % of what your limits allowed.",
    Kind.RESTRICT: "You may not use {what}.",
    Kind.SUSPEND: "You may not use the service while the suspension lasts.",
    Kind.BAN: "You may not use the service.",
}


def statement(step: Event, history: Sequence[Event], terms: Terms = DEFAULT) -> dict[str, Any]:
    """The statement for a step, as JSON that `schema` describes. `history` is all of the identity's events. Raises
    NotAllowed if the event is no step."""
    if step.kind not in STEPS:
        raise NotAllowed(f"event {step.id} is no step: there is nothing to give reasons for")
    strikes = _strikes(step, history)
    law = terms.laws.get(step.category)
    value: dict[str, Any] = {
        "version": 1,
        "event": step.id,
        "provider": terms.provider,
        "identity": {"kind": step.subject_kind, "pseudonym": step.subject},
        "decided": _time(step.at),
        "decision": _decision(step, terms),
        "facts": _facts(step, strikes, terms),
        "automated_means": {
            "detection": any(_by_policy(each) for each in [step, *strikes]),
            "decision": _by_policy(step),
        },
        "ground": {
            "basis": "contractual" if law is None else "legal",
            "reference": law or terms.terms,
            "explanation": step.reason,
        },
        "redress": {
            "internal_complaint": terms.complaint,
            "out_of_court_settlement": terms.settlement,
            "judicial": terms.court,
        },
    }
    if (by := undone(history).get(step.id)) is not None:
        value["taken_back"] = _time(by.at)
    return value


def as_text(value: Mapping[str, Any]) -> str:
    """A statement for people to read."""
    decision, facts, ground, redress = value["decision"], value["facts"], value["ground"], value["redress"]
    means = value["automated_means"]
    end = "for an indefinite time" if decision["ends"] is None else f"until {decision['ends']}"
    lines = [
        f"Statement of reasons, decision {value['event']} of {value['decided']}",
        f"{value['provider']}, about {value['identity']['kind'] or 'identity'} {value['identity']['pseudonym']}",
        "",
        f"What was decided ({decision['measure']}): {decision['description']}",
        f"Where and for how long: {', '.join(decision['territorial_scope'])}, from {decision['begins']} {end}.",
        f"Facts: {facts['summary']}",
        f"Records: {', '.join(facts['records']) or 'none'}",
        f"Automated means: {'' if means['detection'] else 'not '}used to detect, "
        f"{'' if means['decision'] else 'not '}used to decide.",
        f"Ground ({ground['basis']}): {ground['reference']}. {ground['explanation']}",
        "",
        "What you can do:",
        *(f"- {each}" for each in redress.values()),
    ]
    if "taken_back" in value:
        lines[2:2] = ["", f"This decision was taken back on {value['taken_back']}."]
    return "\n".join(lines) + "\n"


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a statement."""
    value: dict[str, Any] = json.loads(Path(__file__).with_name("statement.schema.json").read_text(encoding="utf-8"))
    return value


def _strikes(step: Event, history: Sequence[Event]) -> list[Event]:
    """The strikes before a step, those that were taken back left out."""
    back = undone(history)
    return [each for each in history if each.kind is Kind.STRIKE and each.id < step.id and each.id not in back]


def _decision(step: Event, terms: Terms) -> dict[str, Any]:
    models, tools = sorted(step.data.get("models", ())), bool(step.data.get("tools"))
    taken = ["any model" if "*" in models else f"the models {', '.join(models)}"] if models else []
    taken += ["tools"] if tools else []
    value: dict[str, Any] = {
        "measure": str(step.kind),
        "description": _MEASURES[step.kind].format(share=100 * step.data.get("share", 1.0), what=" or ".join(taken)),
        "territorial_scope": list(terms.territory),
        "begins": _time(step.start),
        "ends": _time(step.until) if step.until else None,
    }
    match step.kind:
        case Kind.THROTTLE:
            value["share"] = step.data["share"]
        case Kind.RESTRICT:
            value |= {"models": models, "tools": tools}
    return value


def _facts(step: Event, strikes: Sequence[Event], terms: Terms) -> dict[str, Any]:
    rules = sorted({each.rule for each in [step, *strikes] if each.rule})
    categories = sorted({each.category for each in [step, *strikes] if each.category})
    times = [each.at for each in strikes]
    first, last = (_time(min(times)), _time(max(times))) if times else (None, None)
    count = len(strikes)
    summary = f"{count} {'exchange' if count == 1 else 'exchanges'} against the policy"
    summary += f" from {first} to {last}" if count else ""
    summary += f", by the rules {', '.join(rules)}" if rules else ""
    summary += f", in the categories {', '.join(categories)}" if categories else ""
    records = dict.fromkeys(record for each in [step, *reversed(strikes)] for record in each.evidence)
    return {
        "summary": summary + ".",
        "source": "notice" if terms.notice else "own-initiative",
        "strikes": count,
        "first": first,
        "last": last,
        "categories": categories,
        "rules": rules,
        "records": list(records)[:_MOST_RECORDS],
    }


def _by_policy(event: Event) -> bool:
    return event.actor.startswith("policy:")


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
