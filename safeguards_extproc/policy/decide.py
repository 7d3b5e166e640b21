"""Facts in, verdict out: the whole decision, in one place, without a look at the text.

Rules, detectors without an answer and unreadable bodies each say what they ask for; `soften` alone knows shadow mode;
`compose` joins what is left. The most severe action leads, and what the others ask for is done as well.

A rule that drops judges each item of an answer's list by itself. What is in no item cannot be dropped, so there it
blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from safeguards_extproc.core.account import Admitted, Step
from safeguards_extproc.core.admission import seconds
from safeguards_extproc.core.decision import ALLOWED, SEVERITY, Action, Facts, Fired, Placeholder, Verdict
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.cel import Expr
from safeguards_extproc.policy.closure import Rules, build

REASONS = {
    "too-large": "too-large",
    "encoding": "unsupported-encoding",
    "malformed": "malformed",
    "unavailable": "unavailable",
    "overloaded": "unavailable",
}
"""Refusal.reason for why a body cannot be inspected; every other is "policy"."""

REFUSED = {Action.THROTTLE: "throttled", Action.SUSPEND: "suspended"}
"""Refusal.reason for a rule that refuses; every other action's is "policy"."""

RETRY_AFTER_S = 60
"""When a client that a rule throttles may ask again, if the rule does not say."""

OVERLOADED_S = 1
"""When a client may ask again that came while too much waited."""

MESSAGES = {
    "unavailable": "The safety checks are not available. Please try again later.",
    "overloaded": "The safety checks have too much to do. Please try again later.",
    "too-large": "This is too large to be checked for safety.",
    "unsupported-encoding": "This content encoding cannot be checked for safety.",
    "malformed": "This is not well-formed and cannot be checked for safety.",
    "throttled": "Too many requests for now. Please try again later.",
    "suspended": "Access to this service has been suspended.",
    "model": "This account may not use this model for now.",
    "tools": "This account may not use tools for now.",
}
"""What the client reads for a reason other than policy, unless a rule or limit that refuses has words of its own; and
what one reads who is restricted."""

NOT_NEEDED = "cancelled"
"""The one reason for skipping a detector that is no failure: its answer was not needed any more."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What something that fired asks for. `enforced` is its own mode, before the policy's."""

    name: str
    action: Action
    enforced: bool = True
    annotations: Mapping[str, str] = field(default_factory=dict)
    redact: frozenset[str] = frozenset()
    placeholder: Placeholder = Placeholder.MARK
    steer: str = ""
    reroute: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    category: str = ""
    reason: str = "policy"
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, checked: its condition, the scores that the condition reads, and what it asks for. No kinds is all."""

    ask: Ask
    expr: Expr
    text: str
    scores: frozenset[str]
    kinds: frozenset[Kind]
    directions: frozenset[Direction]
    fires_on_missing: bool


@dataclass(frozen=True, slots=True)
class Reach:
    """Of which text a detector gives scores, and what its failure means. No kinds is all."""

    directions: frozenset[Direction]
    kinds: frozenset[Kind]
    on_failure: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One direction: its rules in the order of the file, compiled to one function over views of the scores."""

    rules: tuple[Rule, ...]
    views: tuple[frozenset[Kind], ...]
    run: Rules


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that a decision depends on besides the facts. `lanes` hold every rule of a direction, `dropping` those
    that judge the items of an answer, `other` the rest of them."""

    lanes: Mapping[Direction, Lane]
    dropping: Lane
    other: Lane
    detectors: Mapping[str, Reach]
    uninspectable: Mapping[str, str]
    enforced: bool


def lane(rules: Sequence[Rule], direction: Direction) -> Lane:
    """Compile the rules that apply to `direction`."""
    chosen = tuple(rule for rule in rules if direction in rule.directions)
    views = tuple(dict.fromkeys(rule.kinds for rule in chosen))
    run = build([(views.index(rule.kinds), rule.expr) for rule in chosen], len(views), direction)
    return Lane(chosen, views, run)


def write(rules: Sequence[Rule], detectors: Mapping[str, Reach], uninspectable: Mapping[str, str], mode: str) -> Book:
    """The book of a policy whose `mode` is "enforce" or "shadow"."""
    drops = [rule for rule in rules if rule.ask.action is Action.DROP]
    lanes = {direction: lane(rules, direction) for direction in Direction}
    dropping = lane(drops, Direction.RESPONSE)
    other = (
        lane([rule for rule in rules if rule not in drops], Direction.RESPONSE) if drops else lanes[Direction.RESPONSE]
    )
    return Book(lanes, dropping, other, detectors, uninspectable, mode == "enforce")


def decide(book: Book, facts: Facts) -> Verdict:
    """The verdict. Total."""
    asked = judge(book, facts)
    judged = facts.items if book.dropping.rules else ()
    items = {at: found for at, item in enumerate(judged) if (found := fired(book, book.dropping, item))}
    if items:
        each = {(ask.name, cause): (ask, cause) for ask, cause in chain.from_iterable(items.values())}
        asked += each.values()
    if not asked:
        return ALLOWED
    verdict = compose(soften(asked, book.enforced))
    if not items:
        return verdict
    drop = [at for at, found in items.items() if any(what.enforced for _, what in soften(found, book.enforced))]
    return replace(verdict, drop=frozenset(drop), would_drop=frozenset(items))


def admit(book: Book, facts: Facts) -> Verdict:
    """The verdict by the admission alone. Total."""
    asked = _admission(facts.admission, facts) if facts.admission is not None else []
    return compose(soften(asked, book.enforced)) if asked else ALLOWED


def judge(book: Book, facts: Facts) -> list[tuple[Ask, str]]:
    """Everything that fires, each with its cause, shadow or not: rules in order, then what could not be read, then
    detectors that gave no answer, then the admission. Items are not judged here, but what is in none of them is."""
    if facts.outside is None:
        asked = [(_blocking(ask), cause) for ask, cause in fired(book, book.lanes[facts.direction], facts)]
    else:
        asked = fired(book, book.other, facts)
        asked += [(_blocking(ask), cause) for ask, cause in fired(book, book.dropping, facts.outside)]
    if facts.uninspectable:
        asked += _unread(book, facts.uninspectable)
    broken = failures(book, facts)
    for detector, mode in broken.items():
        asked += _without(detector, mode, broken)
    if facts.admission is not None:
        asked += _admission(facts.admission, facts)
    return asked


def fired(book: Book, lane: Lane, facts: Facts) -> list[tuple[Ask, str]]:
    """The rules of a lane that fire, in order, each with its cause."""
    true, unknown = truths(lane, facts)
    if not (true or unknown or facts.failed or facts.skipped):
        return []
    broken = failures(book, facts)
    if "degrade" in broken.values():
        # A score that misses some windows is only a lower bound: what is not true now may be.
        unknown = [i for i in truths(lane, facts, [d for d in broken if broken[d] == "degrade"])[1] if i not in true]
    causes = dict.fromkeys(true, "true")
    causes.update((i, "missing") for i in unknown if fires_unknown(book, lane.rules[i], facts, broken))
    return [(lane.rules[i].ask, causes[i]) for i in sorted(causes)]


def truths(lane: Lane, facts: Facts, without: Collection[str] = ()) -> tuple[list[int], list[int]]:
    """Which rules are true and which unknown, by index, taking the scores of detectors in `without` as missing."""
    true: list[int] = []
    unknown: list[int] = []
    gets = [view(facts, kinds, without).get for kinds in lane.views]
    lane.run(true.append, unknown.append, facts.features.get, *gets)
    return true, unknown


def view(facts: Facts, kinds: frozenset[Kind], without: Collection[str] = ()) -> Mapping[str, float]:
    """The maximum of each score over `kinds` of text."""
    maps = [scores for kind, scores in facts.scores.items() if not kinds or kind in kinds]
    if len(maps) == 1 and not without:
        return maps[0]
    best: dict[str, float] = {}
    for scores in maps:
        for name, score in scores.items():
            if score > best.get(name, -1.0):
                best[name] = score
    return {name: score for name, score in best.items() if name.partition(".")[0] not in without} if without else best


def failures(book: Book, facts: Facts) -> dict[str, str]:
    """The policy's detectors that gave no answer somewhere, in its order, and their `on_failure`."""
    if not (facts.failed or facts.skipped):
        return {}
    names = facts.failed.keys() | (name for name, reason in facts.skipped.items() if reason != NOT_NEEDED)
    return {name: reach.on_failure for name, reach in book.detectors.items() if name in names}


def fires_unknown(book: Book, rule: Rule, facts: Facts, broken: Mapping[str, str]) -> bool:
    """Whether `on_missing` makes an unknown rule fire.

    Not if every score that it lacks is one that nobody owes (there was no text of its kinds), or one whose detector
    failed and has an `on_failure` that answers for it.
    """
    if not rule.fires_on_missing:
        return False
    degraded = [name for name, mode in broken.items() if mode == "degrade"]
    known = view(facts, rule.kinds, degraded)
    lacking = [name for name in rule.scores if name not in known]
    if not lacking:
        return True
    for name in lacking:
        detector = name.partition(".")[0]
        reach = book.detectors[detector]
        due = facts.direction in reach.directions and any(
            (not rule.kinds or kind in rule.kinds) and (not reach.kinds or kind in reach.kinds) for kind in facts.scores
        )
        if due and broken.get(detector, "degrade") == "degrade":
            return True
    return False


def soften(asked: Sequence[tuple[Ask, str]], enforced: bool) -> list[tuple[Ask, Fired]]:
    """Say of each thing that fired whether it counts. The only place that knows shadow mode."""
    return [(ask, Fired(ask.name, ask.action, enforced and ask.enforced, cause)) for ask, cause in asked]


def compose(fired: Sequence[tuple[Ask, Fired]]) -> Verdict:
    """Join what is enforced: the first of the most severe leads and lends its words; of two instructions, two routes
    or two values of an annotation the first counts; entities to redact add up, each with the placeholder that tells
    least."""
    counted = [ask for ask, what in fired if what.enforced]
    lead = max(counted, key=lambda ask: SEVERITY[ask.action], default=Ask("", Action.ALLOW))
    annotations: dict[str, str] = {}
    for ask in reversed(counted):
        annotations.update(ask.annotations)
    placeholders: dict[str, Placeholder] = {}
    for ask in counted:
        for entity in ask.redact:
            placeholders[entity] = min(ask.placeholder, placeholders.get(entity, ask.placeholder))
    return Verdict(
        action=lead.action,
        decided=max((ask.action for ask, _ in fired), key=SEVERITY.__getitem__, default=Action.ALLOW),
        fired=tuple(what for _, what in fired),
        annotations=annotations,
        redact=frozenset(placeholders),
        placeholders=placeholders,
        steer=next((ask.steer for ask in counted if ask.steer), ""),
        reroute=next((ask.reroute for ask in counted if ask.reroute), {}),
        message=lead.message,
        category=lead.category,
        reason=lead.reason,
        retry_after_s=lead.retry_after_s,
    )


def _admission(answer: Admitted, facts: Facts) -> list[tuple[Ask, str]]:
    """What the account's standing asks for, then each limit that is over, the longest wait first. A body that cannot
    be read may ask for anything, so one who may not use everything may not send it."""
    asked: list[Ask] = []
    standing, model = answer.standing, facts.features.get("model", "")
    hidden = facts.uninspectable not in ("", "unread")
    match standing.step:
        case Step.SUSPENDED | Step.BANNED as step:
            message = MESSAGES["suspended"]
            asked.append(Ask(f"account:{step.value}", Action.SUSPEND, message=message, reason="suspended"))
        case Step.RESTRICTED if "*" in standing.models or model in standing.models or (standing.models and hidden):
            asked.append(Ask("account:restricted", Action.BLOCK, message=MESSAGES["model"], category="account"))
        case Step.RESTRICTED if standing.tools and (hidden or facts.features.get("tools")):
            asked.append(Ask("account:restricted", Action.BLOCK, message=MESSAGES["tools"], category="account"))
    over = sorted((each for each in answer.counted if not each.allowed), key=lambda each: -each.retry_after_s)
    asked += [
        Ask(
            f"limit:{each.limit.name}",
            Action.THROTTLE,
            each.limit.enforced,
            message=each.limit.message or MESSAGES["throttled"],
            reason="throttled",
            retry_after_s=max(1, seconds(each.retry_after_s)),
        )
        for each in over
    ]
    return [(ask, "true") for ask in asked]


def _blocking(ask: Ask) -> Ask:
    """What a rule asks for where there is no item to drop."""
    return replace(ask, action=Action.BLOCK) if ask.action is Action.DROP else ask


def _unread(book: Book, why: str) -> list[tuple[Ask, str]]:
    name = f"uninspectable:{why}"
    match book.uninspectable.get(why, "block"):
        case "block":
            reason = REASONS.get(why, "policy")
            message, wait_s = MESSAGES.get(why) or MESSAGES.get(reason, ""), OVERLOADED_S if why == "overloaded" else 0
            return [(Ask(name, Action.BLOCK, message=message, reason=reason, retry_after_s=wait_s), "failure")]
        case "flag":
            return [(Ask(name, Action.ANNOTATE, annotations={"uninspected": why}), "failure")]
    return []


def _without(detector: str, mode: str, broken: Mapping[str, str]) -> list[tuple[Ask, str]]:
    name = f"detector:{detector}"
    match mode:
        case "block":
            ask = Ask(name, Action.BLOCK, message=MESSAGES["unavailable"], reason="unavailable")
            return [(ask, "failure")]
        case "flag":
            names = ",".join(sorted(other for other in broken if broken[other] == "flag"))
            return [(Ask(name, Action.ANNOTATE, annotations={"degraded": names}), "failure")]
    return []
