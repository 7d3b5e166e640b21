"""A small world for the core: a wire format of one field, and a policy of a few words.

The core knows formats and policies only by their protocols; these are complete ones, small enough to reason about.
The format "plain": a request is {"text": …, "stream": …}, an answer {"text": …} or events `data: {"text": …}`,
`{"call": …}` for a tool call, `{"end": true}` for its end, `[DONE]` for the end of all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from safeguards_extproc.core.account import Charge, Identity
from safeguards_extproc.core.decision import (
    SEVERITY,
    Action,
    Escalation,
    Facts,
    Findings,
    Fired,
    Model,
    Placeholder,
    Route,
    Span,
    Value,
    Verdict,
)
from safeguards_extproc.core.known import Known
from safeguards_extproc.core.text import Answer, Direction, Document, Edit, Format, Kind, Reading, Refusal, Segment
from safeguards_extproc.errors import LimitExceeded, MalformedBody

TEST = Route("test")


def event(**fields: object) -> bytes:
    """One event of a plain stream."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
SORRY = b'data: {"refused": true}\n\n' + DONE


def plain_request(text: str, *, stream: bool = False) -> bytes:
    return json.dumps({"text": text, "stream": stream}).encode()


def plain_stream(*texts: str) -> bytes:
    """A whole answer, an event for each text."""
    return b"".join(event(text=text) for text in texts) + DONE


@dataclass
class LineFramer:
    held: int = 0
    _rest: bytes = b""

    def push(self, data: bytes) -> list[bytes]:
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        self.held = len(self._rest)
        return [frame + b"\n\n" for frame in frames]

    def finish(self) -> bytes:
        rest, self._rest, self.held = self._rest, b"", 0
        return rest


class PlainReader:
    def read(self, frame: bytes) -> Reading:
        if frame.startswith(b":"):
            return Reading()
        data = frame.removeprefix(b"data: ").strip()
        if data == b"[DONE]":
            return Reading(finished=True, closed=[(Kind.CONTENT, "0")])
        try:
            said = json.loads(data)
        except ValueError:
            return Reading(unread="syntax")
        segments = []
        if "text" in said:
            segments.append(Segment((Kind.CONTENT, "0"), said["text"], ("text",)))
        if "call" in said:
            segments.append(Segment((Kind.TOOL_CALL, "0.0"), said["call"], ("call",)))
        return Reading(segments, [(Kind.TOOL_CALL, "0.0")] if said.get("end") else [])

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        said = json.loads(frame.removeprefix(b"data: "))
        for edit in sorted(edits, key=lambda one: -one.start):
            (key,) = edit.path
            said[key] = said[key][: edit.start] + edit.replacement + said[key][edit.end :]
        return event(**said)

    def ending(self, refusal: Refusal) -> bytes:
        return SORRY

    def released(self, frame: bytes) -> None:
        pass


@dataclass(frozen=True)
class Plain:
    name: str = "plain"

    def _read(self, body: bytes, kind: Kind) -> Document:
        try:
            said = json.loads(body)
            return Document([Segment((kind, "0"), said["text"], ("text",))], streamed=bool(said.get("stream")))
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedBody("syntax") from error

    def shape(self, body: bytes) -> dict[str, object]:
        try:
            said = json.loads(body)
        except ValueError as error:
            raise MalformedBody("syntax") from error
        return said if isinstance(said, dict) else {}

    def read_request(self, body: bytes) -> Document:
        return self._read(body, Kind.USER)

    def read_response(self, body: bytes, status: int) -> Document:
        return self._read(body, Kind.CONTENT)

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        said = json.loads(body)
        for edit in sorted(edits, key=lambda one: -one.start):
            said["text"] = said["text"][: edit.start] + edit.replacement + said["text"][edit.end :]
        return json.dumps(said).encode()

    def steer(self, body: bytes, instruction: str) -> bytes:
        return json.dumps({"system": instruction, **json.loads(body)}).encode()

    def framer(self, media: str) -> LineFramer | None:
        return LineFramer() if media == "text/event-stream" else None

    def stream(self) -> PlainReader:
        return PlainReader()

    def refuse(self, refusal: Refusal) -> Answer:
        status = {"throttled": 429, "too-large": 413, "timeout": 408, "unsupported-encoding": 415}.get(
            refusal.reason, 400
        )
        return Answer(status, [("content-type", "application/json")], b'{"error": "refused"}')

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        return Answer(200, [], SORRY if streamed else b'{"refused": true}')


@dataclass(frozen=True)
class Reverse:
    """The content-encoding "reversed" of this world; everything comes at the end."""

    held: list[bytes] = field(default_factory=list)

    def push(self, data: bytes) -> bytes:
        self.held.append(data)
        return b""

    def finish(self) -> bytes:
        return b"".join(self.held)[::-1]


class Bomb:
    """The content-encoding "bomb": always too much."""

    def push(self, data: bytes) -> bytes:
        raise LimitExceeded("compression_ratio")

    def finish(self) -> bytes:
        return b""


class _PlainWire:
    def resolve(self, name: str, fields: Mapping[str, str]) -> tuple[Plain, str]:
        return Plain("opaque") if fields.get(":path", "").startswith("/opaque") else Plain(), ""

    def promises(self, beginning: bytes) -> bool:
        return beginning.lstrip()[:1] in (b"", b"{")

    def recognise(self, body: bytes) -> Plain | None:
        return Plain() if "text" in Plain().shape(body) else None

    def decoder(self, encoding: str, limit: int) -> Reverse | Bomb:
        if encoding == "bomb":
            return Bomb()
        if encoding != "reversed":
            raise MalformedBody("content-encoding")
        return Reverse()

    def pick(self, body: bytes, paths: Sequence[str], format: str) -> dict[str, str]:
        said = Plain().shape(body)
        return {path: str(said[name]) for path in paths if (name := path.removeprefix("$.")) in said}


PLAIN_WIRE = _PlainWire()


Condition = Callable[[Mapping[str, float], Mapping[str, Value]], bool | None]

CASCADE = (
    Model("screen", "screen", 100),
    Model("guard", "guard", 100, escalation=Escalation(frozenset({"screen"}), ("guard.bad",))),
    Model("judge", "judge", 100, escalation=Escalation(frozenset({"guard", "words"}), ("judge.bad",))),
    Model("aside", "aside", 100),
)
"""Four models, of which one waits for the first, and one for that."""


def above(score: str, least: float) -> Condition:
    """A condition on one score."""
    return lambda scores, features: scores[score] >= least if score in scores else None


WHENS: Mapping[str, Condition] = {"guard": above("screen.bad", 0.3), "judge": above("guard.bad", 0.3)}
"""The conditions of CASCADE."""


CAUSES = {"failure": "failure", "uninspectable": "failure"}


@dataclass(frozen=True)
class WordPolicy:
    """Words decide: `words` maps a word to what it asks for. With `models`, so does a score above 0.5 that is called
    bad. `whens` are the conditions of those that have one."""

    words: dict[str, Action] = field(default_factory=lambda: {"FORBIDDEN": Action.BLOCK})
    place: Route = TEST
    models: Sequence[Model] = ()
    shadow: bool = False
    placeholder: Placeholder = Placeholder.MARK
    on_uninspectable: Action = Action.BLOCK
    on_failure: Action = Action.BLOCK
    local: Sequence[str] = ("words",)
    digest: str = "d" * 64
    message: str = "No."
    whens: Mapping[str, Condition] = field(default_factory=lambda: WHENS)

    charged: Callable[[Identity, str, int, int, int], Sequence[Charge]] | None = None
    reserves: bool = False
    known: Known | None = None

    @property
    def admits(self) -> bool:
        return self.charged is not None

    def charges(
        self, identity: Identity, model: str, prompt_tokens: int, max_tokens: int, bytes: int
    ) -> Sequence[Charge]:
        return self.charged(identity, model, prompt_tokens, max_tokens, bytes) if self.charged else ()

    def admit(self, facts: Facts) -> Verdict:
        refused = facts.admission.refused if facts.admission is not None else None
        if refused is None:
            return Verdict()
        name = f"limit:{refused.limit.name}"
        return Verdict(
            Action.THROTTLE,
            Action.THROTTLE,
            (Fired(name, Action.THROTTLE, True),),
            reason="throttled",
            retry_after_s=7,
        )

    def due(
        self, detector: str, direction: Direction, scores: Mapping[str, float], features: Mapping[str, Value]
    ) -> bool | None:
        return self.whens[detector](scores, features)

    def route(self, method: str, host: str, path: str) -> Route:
        return self.place

    def find(self, kind: Kind, text: str, views: Sequence[str] = ()) -> Findings:
        spans = []
        for word in self.words:
            at = text.find(word)
            while at >= 0:
                spans.append(Span(at, at + len(word), word.lower()))
                at = text.find(word, at + 1)
        return Findings({f"words.{word.lower()}": float(word in text) for word in self.words}, spans)

    def views(self, text: str) -> Sequence[str]:
        return (text,)

    def tail(self, text: str) -> int:
        redacted = [word for word, action in self.words.items() if action is Action.REDACT]
        return max(
            (n for word in redacted for n in range(1, len(word)) if text.endswith(word[:n])),
            default=0,
        )

    def declared(self, name: str, fields: Mapping[str, str]) -> Format | None:
        return None

    def decide(self, facts: Facts) -> Verdict:
        if (admitted := self.admit(facts)).action is not Action.ALLOW:
            return admitted
        seen: dict[str, float] = {}
        for scores in facts.scores.values():
            for name, score in scores.items():
                seen[name] = max(score, seen.get(name, 0.0))
        asked = [(word, action) for word, action in self.words.items() if seen.get(f"words.{word.lower()}", 0) > 0]
        asked += [(m.detector, Action.BLOCK) for m in self.models if seen.get(f"{m.detector}.bad", 0) > 0.5]
        if facts.failed:
            asked.append(("failure", self.on_failure))
        if facts.uninspectable:
            asked.append(("uninspectable", self.on_uninspectable))
        decided = max((action for _, action in asked), key=SEVERITY.__getitem__, default=Action.ALLOW)
        reason = {"too-large": "too-large", "encoding": "unsupported-encoding"}.get(facts.uninspectable, "policy")
        verdict = Verdict(
            decided,
            decided,
            tuple(Fired(name, action, not self.shadow, CAUSES.get(name, "true")) for name, action in asked),
            annotations={"note": "odd"} if any(action is Action.ANNOTATE for _, action in asked) else {},
            redact=frozenset(word.lower() for word, action in asked if action is Action.REDACT),
            placeholders={word.lower(): self.placeholder for word, action in asked if action is Action.REDACT},
            steer="Be kind." if any(action is Action.STEER for _, action in asked) else "",
            reroute={"x-tier": "safe"} if any(action is Action.REROUTE for _, action in asked) else {},
            reason=reason,
        )
        if self.shadow:
            return replace(verdict, action=Action.ALLOW, annotations={}, redact=frozenset(), steer="", reroute={})
        return verdict
