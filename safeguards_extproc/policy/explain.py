"""Why a verdict came out as it did, in plain English: rules, the scores they saw, what they did. No text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from safeguards_extproc.core.decision import Facts, Fired, Placeholder, Verdict
from safeguards_extproc.policy.cel import Expr
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.conditions import Condition
from safeguards_extproc.policy.decide import Rule, failures, truths, view


def explain(policy: CompiledPolicy, facts: Facts) -> list[str]:
    """A line for each model with a condition, each rule of the direction, each failure, and the verdict. The scores are
    taken as those of one window."""
    book, verdict = policy.book, policy.decide(facts)
    lines = [f"{facts.direction.value}, policy {policy.document.name} {policy.digest[:12]}"]
    lane = book.lanes[facts.direction]
    true, unknown = truths(lane, facts)
    known = {fired.rule: fired for fired in verdict.fired}
    lines += [_asked(name, condition, policy, facts) for name, condition in policy.conditions.items()]
    for index, rule in enumerate(lane.rules):
        state = "true" if index in true else "unknown" if index in unknown else "false"
        lines.append(_rule(rule, state, known.get(rule.ask.name), facts))
    if facts.uninspectable:
        meaning = book.uninspectable.get(facts.uninspectable, "block")
        lines.append(f"the body could not be read ({facts.uninspectable}): {meaning}")
    for detector, meaning in failures(book, facts).items():
        reason = facts.failed.get(detector) or facts.skipped[detector]
        lines.append(f"detector {detector} gave no answer ({reason}): {meaning}")
    lines.append(_verdict(verdict, book.enforced))
    return lines


def _asked(name: str, condition: Condition, policy: CompiledPolicy, facts: Facts) -> str:
    reach = policy.book.detectors[name]
    if facts.direction not in reach.directions:
        return f"model {name}: not asked about a {facts.direction.value}"
    known = view(facts, reach.kinds)
    holds = condition.holds(facts.direction, known, facts.features)
    seen = ", ".join(_seen(condition.scores, condition.expr, known, facts.features)) or "nothing"
    state = {True: "true, so asked", None: "unknown, so asked", False: "false, so not asked: its scores are 0"}[holds]
    return f"model {name} when {condition.text} saw {seen}: {state}"


def _rule(rule: Rule, state: str, fired: Fired | None, facts: Facts) -> str:
    seen = ", ".join(_seen(rule.scores, rule.expr, view(facts, rule.kinds), facts.features)) or "nothing"
    kinds = f" in {', '.join(sorted(kind.value for kind in rule.kinds))}" if rule.kinds else ""
    line = f"rule {rule.ask.name}{kinds}: {rule.text} saw {seen}: {state}"
    if fired is not None:
        line += f", so {fired.action.value}{'' if fired.enforced else ', in shadow'}"
        if fired.action is not rule.ask.action:
            line += f" (there is no item to {rule.ask.action.value})"
        if fired.cause == "missing":
            line += " (fires on missing)"
    elif state == "unknown":
        line += ", so nothing"
    return line


def _seen(scores: Iterable[str], expr: Expr, known: Mapping[str, float], features: Mapping[str, object]) -> list[str]:
    values = {name: known.get(name) for name in sorted(scores)}
    found = [f"{name}={'missing' if value is None else format(value, '.4g')}" for name, value in values.items()]
    return [*found, *_features(expr, features)]


def _features(expr: Expr, features: Mapping[str, object]) -> list[str]:
    return [f"{name}={_shown(features.get(name))}" for name in sorted(_named(expr))]


def _shown(value: object) -> str:
    """A feature without its words: a client chooses some of them."""
    if isinstance(value, str):
        return f"({len(value)} characters)"
    return "missing" if value is None else str(value).lower()


def _named(expr: Expr) -> frozenset[str]:
    if expr.op == "feature":
        return frozenset({expr.value})
    return frozenset().union(*map(_named, expr.args))


def _verdict(verdict: Verdict, enforced: bool) -> str:
    line = f"verdict: {verdict.action.value}"
    if verdict.decided is not verdict.action:
        line += f", {verdict.decided.value} if nothing were in shadow"
    if not enforced:
        line += " (the policy is in shadow)"
    details = [
        f"redact {', '.join(map(_redacted, sorted(verdict.placeholders.items())))}" if verdict.redact else "",
        "with an instruction" if verdict.steer else "",
        f"route {', '.join(verdict.reroute)}" if verdict.reroute else "",
        f"category {verdict.category}" if verdict.category else "",
        f"reason {verdict.reason}" if verdict.reason != "policy" else "",
        f"again after {verdict.retry_after_s} s" if verdict.retry_after_s else "",
    ]
    given = [detail for detail in details if detail]
    return line + (f": {'; '.join(given)}" if given else "")


def _redacted(asked: tuple[str, Placeholder]) -> str:
    entity, placeholder = asked
    return entity if placeholder is Placeholder.MARK else f"{entity} ({placeholder.name.lower()})"
