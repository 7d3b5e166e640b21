"""What a policy is asked, and what it answers. Pure data; `policy/` implements `Policy`.

A decision depends on scores, features and identity, never on text: the same `Facts` give the same `Verdict`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from safeguards_extproc.core.account import Admitted, Charge, Identity
from safeguards_extproc.core.text import Direction, Format, Kind

if TYPE_CHECKING:
    from safeguards_extproc.core.known import Known

Value = int | float | bool | str


class Action(enum.StrEnum):
    """What a rule asks for, mildest first; `SEVERITY` is this order. actions.py says what each means per phase."""

    ALLOW = "allow"
    ANNOTATE = "annotate"
    REROUTE = "reroute"
    STEER = "steer"
    REDACT = "redact"
    DROP = "drop"
    STOP = "stop"
    THROTTLE = "throttle"
    BLOCK = "block"
    SUSPEND = "suspend"


SEVERITY = {action: rank for rank, action in enumerate(Action)}
TERMINAL = frozenset({Action.STOP, Action.THROTTLE, Action.BLOCK, Action.SUSPEND})


class Gate(enum.StrEnum):
    """How a request waits for its verdict."""

    HOLD = "hold"
    OVERLAP = "overlap"
    OBSERVE = "observe"


class Release(enum.StrEnum):
    """How a streamed response waits for its verdicts."""

    WINDOW = "window"
    FOLLOW = "follow"
    OBSERVE = "observe"


class Placeholder(enum.IntEnum):
    """What stands for a text that is redacted, the one that tells least first: where rules differ, it counts."""

    MARK = 0  # [REDACTED:EMAIL]
    NUMBERED = 1  # <EMAIL_1>, the same for the same text in all of a request; a mark in a response
    RESTORED = 2  # the same, and the answer gets the text back


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule that took part in a verdict. `cause`: "true", "missing" (on_missing) or "failure" (on_failure)."""

    rule: str
    action: Action
    enforced: bool
    cause: str = "true"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policy decides for one direction, everything that fired included.

    `action` is the most severe enforced one. `decided` is the most severe with shadow rules counted.
    `redact` holds entity names ("email", "card", "*"), and `placeholders` says of them what stands for the text, a mark
    where it says nothing; `annotations` become headers and metadata. `drop` holds the positions of the items that leave
    the answer's list, `would_drop` those that would, rules in shadow counted.
    `reason` and `retry_after_s` are those of the refusal (core/text.py), if it comes to one.
    """

    action: Action = Action.ALLOW
    decided: Action = Action.ALLOW
    fired: tuple[Fired, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    redact: frozenset[str] = frozenset()
    placeholders: Mapping[str, Placeholder] = field(default_factory=dict)
    drop: frozenset[int] = frozenset()
    would_drop: frozenset[int] = frozenset()
    steer: str = ""
    reroute: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    category: str = ""
    reason: str = "policy"
    retry_after_s: int = 0


ALLOWED = Verdict()


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of a window's text that a detector marked as `entity`."""

    start: int
    end: int
    entity: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What the detectors that run in process say of one text: scores by "detector.label", spans to redact."""

    scores: Mapping[str, float] = field(default_factory=dict)
    spans: Sequence[Span] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """A model's answer for one window (the maximum over its views), or why there is none.

    `scores` by "detector.label" in [0, 1]; `failure` is "" or a slug of errors.FAILURES. `asked` is False where the
    model's condition did not hold: its scores are 0.0 then, the maximum over no text.
    """

    detector: str
    scores: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""
    version: str = ""
    asked: bool = True


@dataclass(slots=True)
class Facts:
    """Everything a verdict may depend on, for one direction; grows as windows are scored.

    `scores` keeps the maximum per kind of text and per "detector.label". `failed` and `skipped` map a detector to the
    first reason. `uninspectable` is "" or why the text could not be read: "opaque", "opaque-answer",
    "malformed", "encoding", "too-large", "unread", "not-sent", "unavailable", "overloaded", "websocket",
    "grpc", "binary".

    Where an answer lists items, `outside` is what is known of its text that is in none of them, and `items` what is
    known of each by itself, once all of that is known: rules that drop judge these. `outside` is None where no answer
    lists any.

    `admission` is what a request that asked for its admission was told.
    """

    direction: Direction
    features: dict[str, Value] = field(default_factory=dict)
    scores: dict[Kind, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    uninspectable: str = ""
    outside: Facts | None = None
    items: Sequence[Facts] = ()
    admission: Admitted | None = None

    def absorb(self, kind: Kind, scores: Mapping[str, float]) -> bool:
        """Take the maximum of what was known and `scores`; whether that is more than was known."""
        known = self.scores.get(kind)
        if known is None:
            self.scores[kind] = dict(scores)
            return True
        more = False
        for name, score in scores.items():
            if score > known.get(name, -1.0):
                known[name] = score
                more = True
        return more


@dataclass(frozen=True, slots=True)
class Windowing:
    """How text is cut: characters, and milliseconds after which a slow stream's waiting text is classified anyway.

    `paragraphs`: models read each paragraph of a request's windows by itself, too. `turns`: they read where a turn of
    the user begins together with the end of the turns before it, too.
    """

    first: int = 160
    largest: int = 1200
    overlap: int = 200
    flush_ms: int = 60
    paragraphs: bool = False
    turns: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes an exchange may hold, and seconds it may take."""

    request_bytes: int = 8 << 20
    response_bytes: int = 8 << 20
    event_bytes: int = 4 << 20
    held_bytes: int = 1 << 20
    windows: int = 4096
    request_body_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Escalation:
    """What comes before a model that is asked under a condition (`Policy.due`).

    `after` names the detectors whose answers the condition reads, `scores` its own scores, which are 0.0 of a window
    that it was not asked about. `at_most` is the share of windows that it may be asked about. `early`: once the
    condition is true, no answer that is still out makes it false.
    """

    after: frozenset[str] = frozenset()
    scores: tuple[str, ...] = ()
    at_most: float = 1.0
    early: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """A classifier that is asked over the network. `kinds` empty means every kind of text. With an `escalation` it is
    asked about some windows only. An `exchange` reads the request's question beside each window of the answer.
    One with `sentences` reads the sentences of a window that has several, each by itself, and not the window; they
    name its scores, which are 0.0 of any other window.

    `required`: nothing at all can be allowed without it (on_failure: block, and no condition), so a filter that cannot
    reach it is not ready.
    """

    detector: str
    model: str
    budget_ms: int
    request: bool = True
    response: bool = True
    kinds: frozenset[Kind] = frozenset()
    required: bool = False
    escalation: Escalation | None = None
    exchange: bool = False
    sentences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """How exchanges that match are treated. `format` is a row of wire.FORMATS or "auto"; `inspect` False passes all;
    `shed` False reads them however long that takes."""

    name: str
    inspect: bool = True
    shed: bool = True
    format: str = "auto"
    gate: Gate = Gate.HOLD
    release: Release = Release.WINDOW
    windowing: Windowing = Windowing()
    limits: Limits = Limits()
    refuse_as: str = "error"  # or "answer"
    strip_accept_encoding: bool = True


class Policy(Protocol):
    """A compiled snapshot, immutable. An exchange keeps the one it began with."""

    @property
    def digest(self) -> str: ...

    @property
    def models(self) -> Sequence[Model]: ...

    @property
    def local(self) -> Sequence[str]:
        """Names of the detectors that `find` runs."""
        ...

    @property
    def message(self) -> str:
        """What a refused client reads where no rule says otherwise."""
        ...

    def route(self, method: str, host: str, path: str) -> Route:
        """The first route that matches; the last one matches everything."""
        ...

    def declared(self, name: str, fields: Mapping[str, str]) -> Format | None:
        """The API that the policy itself declares and that a request belongs to, by its headers: the one of that name,
        or with "auto" the first that claims it. None if there is none: `Wire.resolve` then says what it is."""
        ...

    def decide(self, facts: Facts) -> Verdict:
        """Total: every `Facts` has a verdict, and none raises."""
        ...

    @property
    def admits(self) -> bool:
        """Whether an exchange asks for its admission."""
        ...

    @property
    def reserves(self) -> bool:
        """Whether what an exchange is charged depends on the tokens that its request allows the answer."""
        ...

    def charges(
        self, identity: Identity, model: str, prompt_tokens: int, max_tokens: int, bytes: int
    ) -> Sequence[Charge]:
        """What an exchange costs. `max_tokens` is the most that its answer may have, 0 if it does not say."""
        ...

    def admit(self, facts: Facts) -> Verdict:
        """The verdict by `facts.admission` alone, before anything else is known. Total."""
        ...

    def due(
        self, detector: str, direction: Direction, scores: Mapping[str, float], features: Mapping[str, Value]
    ) -> bool | None:
        """Whether the condition of a model with an escalation holds for a window of which `scores` are known, None if
        that is unknown. The model is asked unless it is false: what is unknown, because a model failed or does not read
        such text, does not make it so."""
        ...

    @property
    def known(self) -> Known | None:
        """What `find` and `tail` said of windows of requests before, if that is remembered."""
        ...

    def find(self, kind: Kind, text: str, views: Sequence[str] = ()) -> Findings:
        """Run the in-process detectors on a text. `views` are those of `text`, where they are known."""
        ...

    def views(self, text: str) -> Sequence[str]:
        """The text and its normalised or decoded forms, the text itself first, then it as it is meant; models score
        each."""
        ...

    def tail(self, text: str) -> int:
        """Characters at the end of `text` that must be seen again with what follows: they could be the beginning of
        something to redact, or of a word that says something else than it seems to."""
        ...
