"""A checked document becomes a policy that answers: everything that can be worked out beforehand is worked out here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import re2  # type: ignore[import-untyped]

from safeguards_extproc.core.account import Charge, Count, Identity, Limit
from safeguards_extproc.core.decision import Action, Facts, Findings, Model, Placeholder, Route, Span, Value, Verdict
from safeguards_extproc.core.known import Known
from safeguards_extproc.core.text import Direction, Format, Kind
from safeguards_extproc.detectors import DETECTORS
from safeguards_extproc.detectors.detector import Detector
from safeguards_extproc.detectors.hiding import hidden, unfinished
from safeguards_extproc.detectors.sieve import Sieve
from safeguards_extproc.detectors.views import expand, judged
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy import apis, capture_document, checks, conditions, identify, limits
from safeguards_extproc.policy.apis import Apis
from safeguards_extproc.policy.cel import CelError, Names, excerpt, parse, scores
from safeguards_extproc.policy.conditions import Condition
from safeguards_extproc.policy.decide import (
    MESSAGES,
    REFUSED,
    RETRY_AFTER_S,
    Ask,
    Book,
    Reach,
    Rule,
    admit,
    decide,
    write,
)
from safeguards_extproc.policy.document import Classification, Document, InProcess, RuleSpec
from safeguards_extproc.policy.problems import PolicyError, Problem, suggest
from safeguards_extproc.policy.routes import Table
from safeguards_extproc.policy.source import Path, Source
from safeguards_extproc.wire import FORMATS

Factory = Callable[[str, Mapping[str, object]], Detector]

NOTHING = Findings()

ADMITTING = ("identity", "limits", "enforcement", "campaigns")
"""Keys of a document of which any that says something has every exchange ask for its admission."""

LONG_WORD = 40
"""Characters of the longest word that people write; what is longer is code, or a disguise."""


@dataclass(frozen=True, slots=True)
class _Local:
    """A detector that runs in process, and the kinds of text it runs on; no kinds is all."""

    detector: Detector
    kinds: frozenset[Kind]


class _Due:
    """The detectors for texts of a kind. Most windows hold nothing: what is said of them is made once.

    One pass says of all detectors together which may find anything; where RE2 cannot hold that, all may.
    """

    __slots__ = ("_owners", "_sieve", "apart", "detectors", "nothing", "redacted")

    def __init__(self, detectors: list[Detector], redacted: Sequence[tuple[Detector, frozenset[str]]]) -> None:
        self.detectors = detectors
        self.redacted = [each for each in redacted if each[0] in detectors]
        self.apart = [detector.find("", ()) for detector in detectors]
        self.nothing = _joined(self.apart)
        owners = [(detector, pattern) for detector in detectors for pattern in detector.patterns]
        self._owners = [detector for detector, _ in owners]
        try:
            self._sieve: Sieve | None = Sieve([pattern for _, pattern in owners])
        except re2.error:
            self._sieve = None

    def suspects(self, views: Sequence[str]) -> Collection[Detector]:
        """The detectors that may find something in one of `views`; any other finds nothing."""
        if self._sieve is None:
            return self.detectors
        owners, suspects = self._owners, set[Detector]()
        for view in views:
            hits = self._sieve.may(view.encode("utf-8", "surrogatepass"))
            if hits:
                suspects.update(owners[index] for index in hits)
        return suspects


def _joined(found: Sequence[Findings]) -> Findings:
    if len(found) == 1:
        return found[0]
    scores: dict[str, float] = {}
    spans: list[Span] = []
    for findings in found:
        scores.update(findings.scores)
        spans.extend(findings.spans)
    spans.sort(key=lambda span: (span.start, span.end))
    return Findings(scores, spans)


class CompiledPolicy:
    """A policy, ready; core.decision.Policy says what it answers. Immutable but for caches.

    `hedges` gives, by detector, the milliseconds after which a second request may be sent; detectors without it do not
    hedge. `book` and `conditions` are what explain.py reads; a condition stands after those that it waits for. `limits`
    are those of the document; `admits` says whether exchanges ask for their admission, `reserves` whether any
    limit counts tokens.
    """

    __slots__ = (
        "_apis",
        "_due",
        "_locals",
        "_redacted",
        "_table",
        "admits",
        "book",
        "conditions",
        "digest",
        "document",
        "hedges",
        "known",
        "limits",
        "local",
        "message",
        "models",
        "reserves",
    )

    def __init__(
        self,
        document: Document,
        book: Book,
        conditions_: Mapping[str, Condition],
        locals_: Sequence[_Local],
        table: Table,
        apis: Apis,
        limits_: Sequence[Limit] = (),
    ) -> None:
        # What is captured and what is known again decides nothing.
        said = document.model_dump(mode="json", by_alias=True, exclude={"capture", "remember"})
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
        self.digest = hashlib.sha256(canonical.encode()).hexdigest()
        self.document, self.book, self.conditions = document, book, conditions_
        self.message = document.message
        self.limits = tuple(limits_)
        self.reserves = any(limit.count is Count.TOKENS for limit in self.limits)
        self.admits = any(getattr(document, key) != Document.model_fields[key].default for key in ADMITTING)
        self.models: Sequence[Model] = tuple(
            Model(
                name,
                spec.model,
                spec.budget_ms,
                request=Direction.REQUEST in spec.directions,
                response=Direction.RESPONSE in spec.directions,
                kinds=frozenset(spec.kinds),
                required=document.mode == "enforce" and spec.on_failure == "block" and spec.when is None,
                escalation=conditions.escalation(conditions_[name], spec) if name in conditions_ else None,
                exchange=spec.reads == "exchange",
                sentences=tuple(f"{name}.{label}" for label in spec.labels) if spec.reads == "sentences" else (),
            )
            for name, spec in document.detectors.items()
            if isinstance(spec, Classification)
        )
        self.hedges: Mapping[str, int] = {
            name: spec.hedge_ms
            for name, spec in document.detectors.items()
            if isinstance(spec, Classification) and spec.hedge_ms is not None
        }
        self.local: Sequence[str] = tuple(entry.detector.name for entry in locals_)
        self._locals, self._table, self._apis = tuple(locals_), table, apis
        self._due: dict[Kind, _Due] = {}
        self.known = Known(document.remember) if document.remember else None
        redacted = _redacted(book)
        self._redacted = [
            (entry.detector, wanted)
            for entry in locals_
            if (wanted := entry.detector.entities if "*" in redacted else entry.detector.entities & redacted)
        ]

    @property
    def routes(self) -> Sequence[Route]:
        """In the order in which they are tried; the last one matches everything."""
        return self._table.routes

    def route(self, method: str, host: str, path: str) -> Route:
        """The first route that matches."""
        return self._table.find(method, host, path)

    def declared(self, name: str, fields: Mapping[str, str]) -> Format | None:
        """The declared API that a request belongs to."""
        return self._apis.find(name, fields)

    def decide(self, facts: Facts) -> Verdict:
        """The verdict. Total."""
        return decide(self.book, facts)

    def charges(
        self, identity: Identity, model: str, prompt_tokens: int, max_tokens: int, bytes: int
    ) -> Sequence[Charge]:
        """What an exchange costs under each limit that counts it."""
        return limits.charges(self.limits, identity, model, prompt_tokens, max_tokens, bytes)

    def admit(self, facts: Facts) -> Verdict:
        """The verdict by the admission alone. Total."""
        return admit(self.book, facts)

    def enforced(self, facts: Facts) -> Verdict:
        """The verdict if the whole policy were enforced, rules in shadow excepted."""
        return decide(replace(self.book, enforced=True), facts)

    def due(
        self, detector: str, direction: Direction, scores: Mapping[str, float], features: Mapping[str, Value]
    ) -> bool | None:
        """Whether the detector's condition is true of a window, None if that is unknown."""
        return self.conditions[detector].holds(direction, scores, features)

    def find(self, kind: Kind, text: str, views: Sequence[str] = ()) -> Findings:
        """Run the in-process detectors that read texts of this kind. What may be redacted is marked where it is hidden,
        too. `views` are those of `text`, where they are known."""
        due = self._due.get(kind)
        if due is None:
            chosen = [each.detector for each in self._locals if not each.kinds or kind in each.kinds]
            due = self._due[kind] = _Due(chosen, self._redacted)
        if not due.detectors:
            return NOTHING
        views = views or expand(text)
        suspects = due.suspects(views)
        if not suspects:
            return due.nothing
        found = [
            detector.find(text, views) if detector in suspects else nothing
            for detector, nothing in zip(due.detectors, due.apart, strict=True)
        ]
        if found == due.apart:
            return due.nothing
        if len(views) > 1:
            found += [
                Findings({}, hidden(detector, text, entities, views))
                for detector, entities in due.redacted
                if detector in suspects
            ]
        return _joined(found)

    def views(self, text: str) -> Sequence[str]:
        """The text and its normalised or decoded forms, the text itself first."""
        return judged(text)

    def tail(self, text: str) -> int:
        """Characters at the end that may begin something which an enforced rule redacts, or hide anything at all.

        A word so long that the next window's lead may miss its beginning waits whatever the rules are.
        """
        word = unfinished(text)
        if not self._redacted:
            return word if word > LONG_WORD else 0
        for detector, entities in self._redacted:
            word = max(word, detector.tail(text, entities))
        return word


def compile_policy(
    document: Document,
    source: Source,
    *,
    detectors: Mapping[str, Factory] = DETECTORS,
    formats: Collection[str] = FORMATS,
) -> CompiledPolicy:
    """Check a document as a whole and compile it. Raises PolicyError with every mistake. Examples are not run here."""
    problems: list[Problem] = []
    locals_ = _locals(document, source, detectors, problems)
    labels = _labels(document, locals_)
    broken = len(locals_) < sum(isinstance(spec, InProcess) for spec in document.detectors.values())
    reaches = {name: _reach(spec) for name, spec in document.detectors.items()}
    entities = frozenset().union(*(entry.detector.entities for entry in locals_))
    declared = apis.formats(document, source, formats, problems)
    inventory = checks.Inventory(reaches, labels, None if broken else entities, {*formats, *declared})
    names = Names(labels, document.thresholds)
    rules = _rules(document, source, names, problems)
    asked = conditions.conditions(document, source, names, problems)
    problems += checks.check(document, source, inventory, rules)
    problems += conditions.check(document, source, asked, reaches)
    problems += identify.check(document.identity, source)
    limited = limits.limits(document, source, problems)
    problems += capture_document.check(
        document.capture,
        [rule.name for rule in document.rules],
        [route.name for route in document.routes],
        source,
    )
    if problems:
        raise PolicyError(checks.in_order(problems))
    uninspectable = document.uninspectable.model_dump(mode="json", by_alias=True)
    book = write(tuple(rules.values()), reaches, uninspectable, document.mode)
    return CompiledPolicy(document, book, asked, locals_, Table(document.routes), Apis(document, declared), limited)


def _locals(
    document: Document, source: Source, detectors: Mapping[str, Factory], problems: list[Problem]
) -> list[_Local]:
    found = []
    for name, spec in document.detectors.items():
        if isinstance(spec, Classification):
            continue
        path: Path = ("detectors", name)
        factory = detectors.get(spec.kind)
        if factory is None:
            hint = suggest(spec.kind, [*detectors, "classification"])
            problems.append(source.problem((*path, "kind"), f"unknown kind {spec.kind!r}", hint))
            continue
        try:
            found.append(_Local(factory(name, spec.options), frozenset(spec.kinds)))
        except ConfigError as error:
            problems.append(source.problem((*path, *_steps(source.data, path, error.where)), error.message, error.hint))
    return found


def _steps(data: Any, path: Path, where: str) -> Path:
    """A place inside a detector's options, written "lists.a.regex[0]", as a path."""
    for step in path:
        data = data[step]
    steps: list[str | int] = []
    for word in where.replace("]", "").replace("[", ".").split(".") if where else []:
        key: str | int = int(word) if isinstance(data, list) and word.isdigit() else word
        steps.append(key)
        inside = (isinstance(data, dict) and key in data) or (isinstance(key, int) and key < len(data))
        data = data[key] if inside else None
    return tuple(steps)


def _labels(document: Document, locals_: Sequence[_Local]) -> dict[str, frozenset[str] | None]:
    labels: dict[str, frozenset[str] | None] = dict.fromkeys(document.detectors)
    for entry in locals_:
        name = entry.detector.name
        labels[name] = frozenset(score.removeprefix(f"{name}.") for score in entry.detector.scores)
    for name, spec in document.detectors.items():
        if isinstance(spec, Classification):
            labels[name] = frozenset(spec.labels)
    return labels


def _reach(spec: Classification | InProcess) -> Reach:
    if isinstance(spec, Classification):
        return Reach(spec.directions, frozenset(spec.kinds), spec.on_failure)
    return Reach(checks.BOTH, frozenset(spec.kinds), "block")


def _rules(document: Document, source: Source, names: Names, problems: list[Problem]) -> dict[int, Rule]:
    rules = {}
    for index, spec in enumerate(document.rules):
        try:
            expr = parse(spec.when, names)
        except CelError as error:
            problems.append(source.problem(("rules", index, "when"), excerpt(spec.when, error), error.hint))
            continue
        rules[index] = Rule(
            ask=_ask(spec),
            expr=expr,
            text=spec.when,
            scores=scores(expr),
            kinds=frozenset(spec.kinds),
            directions=checks.directions(spec.on),
            fires_on_missing=spec.on_missing == "fire",
        )
    return rules


def _ask(spec: RuleSpec) -> Ask:
    action = Action(spec.then)
    reason = REFUSED.get(action, "policy")
    return Ask(
        name=spec.name,
        action=action,
        enforced=spec.mode == "enforce",
        annotations=spec.annotations,
        redact=frozenset(spec.entities or ()),
        placeholder=_placeholder(spec),
        steer=spec.instruction or "",
        reroute=spec.headers or {},
        message=spec.message or MESSAGES.get(reason, ""),
        category=spec.category,
        reason=reason,
        retry_after_s=(spec.retry_after_s or RETRY_AFTER_S) if action is Action.THROTTLE else 0,
    )


def _placeholder(spec: RuleSpec) -> Placeholder:
    if spec.placeholder == "mark":
        return Placeholder.MARK
    return Placeholder.RESTORED if spec.restore else Placeholder.NUMBERED


def _redacted(book: Book) -> frozenset[str]:
    # Requests count too: a window's tail is where the next one begins, so that an entity on the border is seen whole.
    asks = [rule.ask for side in book.lanes.values() for rule in side.rules]
    return frozenset().union(*(ask.redact for ask in asks if book.enforced and ask.enforced))
