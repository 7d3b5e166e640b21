"""One broken exchange, played to its end, and a witness who knows nothing of windows: it reads what left.

What it holds against an exchange: only IllegalEvent is raised; every word that left in hold and window mode had stood
in a text that the model had answered for by then; the forbidden word and the address never leave; one record; and where
everything was said and answered, an end.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from random import Random

from safeguards_extproc import wire
from safeguards_extproc.core.decision import Policy, Result
from safeguards_extproc.core.effects import Classify, Effect
from safeguards_extproc.core.events import Aborted, Body, BodyMode, Event, Headers, Trailers
from safeguards_extproc.core.text import Direction
from safeguards_extproc.errors import IllegalEvent
from safeguards_extproc.policy import load
from safeguards_extproc.policy.decide import MESSAGES
from tests.faults.leaves import Leaf, events, leaves, pieces, spoken
from tests.faults.mutations import ADDRESS, MARKER, PATHS, Case, case, cuts
from tests.playbook import REQUEST, RESPONSE, Conversation, request_headers, response_headers

HEAD = f"""
version: 1
name: campaign
message: refused by the campaign
detectors:
  lists: {{kind: patterns, lists: {{codename: {{keywords: [{MARKER}]}}}}}}
  pii: {{kind: pii, entities: [email]}}
  screen: {{kind: classification, model: screen, labels: [unsafe], on_failure: FAILURE}}
rules:
  - {{name: codename, when: scores.lists.codename > 0, then: block}}
  - {{name: address, when: scores.pii.email > 0.5, then: redact, entities: [email]}}
  - {{name: unsafe, when: scores.screen.unsafe > 0.9, then: stop, on: response}}
uninspectable: {{opaque: ELSE, malformed: ELSE, encoding: ELSE, too-large: ELSE, unread: ELSE, not-sent: ELSE,
  unavailable: ELSE, websocket: ELSE, grpc: ELSE, binary: ELSE, opaque-answer: ELSE}}
routes:
"""
WINDOW = "window: {first: 40, largest: 200, overlap: 60, flush_ms: 60}"
ROUTES = {
    "held.test": "gate: hold, release: window",
    "answer.test": "gate: hold, release: window, refuse_as: answer",
    "overlap.test": "gate: overlap, release: window",
    "follow.test": "release: follow, gate: hold",
    "observe.test": "gate: observe, release: observe, refuse_as: error",
}
FORBIDDEN = re.compile(rf"(?i)(?<!\w){MARKER}(?!\w)|(?<![\w.+-]){re.escape(ADDRESS)}(?![\w-])")
"""What must not leave, where it is a word of its own."""

OURS = " ".join(("refused by the campaign REDACTED EMAIL content_filter refusal assistant", *MESSAGES.values()))
"""What the filter itself says."""


def _policy(failure: str, otherwise: str) -> Policy:
    routes = [
        f"  - {{name: {host.partition('.')[0]}, match: {{hosts: [{host}]}}, {how}, {WINDOW}}}\n"
        for host, how in ROUTES.items()
    ]
    text = HEAD.replace("FAILURE", failure).replace("ELSE", otherwise) + "".join(routes)
    if otherwise == "allow":  # what overlaps or observes cannot edit
        return load.parse(text.replace("then: redact, entities: [email]", "then: annotate"), "lenient.yaml")
    return load.parse(
        text.replace("gate: overlap, ", "")
        .replace("gate: observe, release: observe, ", "")
        .replace("release: follow, ", ""),
        "strict.yaml",
    )


STRICT, LENIENT = _policy("block", "block"), _policy("degrade", "allow")


def read(body: bytes) -> Iterator[Leaf]:
    """Every string of a body."""
    try:
        return leaves(json.loads(body))
    except ValueError as error:
        raise AssertionError("what left is not JSON") from error


class Witness(Conversation):
    """A conversation that is read by the world outside as it goes."""

    def __init__(self, policy: Policy, told: Case, mode: BodyMode = BodyMode.DUPLEX) -> None:
        super().__init__(policy, mode=mode, wire=wire)
        self.told = told
        self.strict = policy is STRICT
        self.corpus = {REQUEST: [OURS], RESPONSE: [OURS]}
        self.texts: dict[object, str] = {}
        self._seen_to = {REQUEST: 0, RESPONSE: 0}
        self._tail = b""
        self._plain = zlib.decompressobj(31)

    def answered(self, asked: Classify, failure: str, score: float) -> None:
        """The model has answered; what it saw may leave from now on."""
        if not failure:
            self.corpus[asked.direction].append(asked.texts[0])
        scores = {} if failure else {"screen.unsafe": score}
        self.answer(asked.ticket, [Result("screen", scores, failure, "1")])

    def feed(self, event: Event) -> list[Effect]:
        effects = super().feed(event)
        if self.strict:
            self.look()
        return effects

    def look(self) -> None:
        """Read what has left since."""
        new = bytes(self.seen[RESPONSE].body[self._seen_to[RESPONSE] :])
        self._seen_to[RESPONSE] += len(new)
        if new and self.told.streamed:
            whole, self._tail = events(self._tail + new)
            for data in whole:
                self.judge(RESPONSE, spoken(data))
        elif new:
            self.judge(RESPONSE, read(self.inflated(new)))
        sent = bytes(self.seen[REQUEST].body)
        if len(sent) > self._seen_to[REQUEST]:
            self._seen_to[REQUEST] = len(sent)
            self.judge(REQUEST, read(sent))

    def inflated(self, data: bytes) -> bytes:
        try:
            return self._plain.decompress(data) if data.startswith(b"\x1f\x8b") else data
        except zlib.error:
            raise AssertionError("what left cannot be decompressed, so nobody can have read it") from None

    def judge(self, direction: Direction, found: Iterable[Leaf]) -> None:
        """Every word had been scanned, and none is what must not leave."""
        for leaf in found:
            if leaf.harmless:
                continue
            text = (direction, leaf.names[-1:], leaf.place)
            self.texts[text] = self.texts.get(text, "") + leaf.said
            missing = self.unscanned(direction, leaf.text)
            assert not (missing and self.unscanned(direction, leaf.said)), f"unscanned: {missing!r} at {leaf.names}"

    def unscanned(self, direction: Direction, text: str) -> str:
        """The first word that has not been scanned."""
        return next((word for word in pieces(text) if not any(word in seen for seen in self.corpus[direction])), "")

    def end(self) -> None:
        """The account at the very end."""
        if not self.exchange.finished:
            self.feed(Aborted("closed"))
        assert len(self.records) == 1, f"{len(self.records)} records"
        if self.strict:
            for text in self.texts.values():
                assert not FORBIDDEN.search(text)


def play(seed: int) -> Witness:
    """One exchange, whose every detail follows from `seed`."""
    random = Random(seed)
    told = case(random)
    host = random.choice([*ROUTES, "held.test", "held.test"])
    mode = random.choice([BodyMode.DUPLEX] * 5 + [BodyMode.BUFFERED, BodyMode.STREAMED])
    witness = Witness(STRICT if random.random() < 0.7 else LENIENT, told, mode)
    cut_off = random.randrange(60) if random.random() < 0.15 else -1
    wild = random.random() < 0.1
    late = random.random() < 0.1
    script = {REQUEST: _request(random, told, mode, host), RESPONSE: _response(random, told, mode, late=late)}
    try:
        while step(random, witness, script, wild=wild):
            cut_off -= 1
            if cut_off == 0:
                witness.abort(random.choice(("closed", "shutdown", "error")))
                break
        else:
            assert witness.exchange.finished, "everything was said and answered, and it has no end"
            assert witness.records[0].termination in ("complete", "refused", "stopped")
    except IllegalEvent:
        assert wild, "a legal event was called illegal"
    witness.end()
    return witness


def _request(random: Random, told: Case, mode: BodyMode, host: str) -> list[Event]:
    head = request_headers(PATHS[told.dialect])
    head.fields[":authority"] = host
    parts = [told.request] if mode is BodyMode.BUFFERED else cuts(random, told.request)
    return [head, *_body(random, REQUEST, parts, mode)]


def _response(random: Random, told: Case, mode: BodyMode, *, late: bool) -> list[Event]:
    kind = "text/event-stream" if told.streamed else "application/json"
    head = response_headers(kind)
    if told.encoding:
        head.fields["content-encoding"] = told.encoding
    parts = [told.response] if mode is BodyMode.BUFFERED else cuts(random, told.response)
    script = [head, *_body(random, RESPONSE, parts, mode)]
    if late:
        script.append(Body(RESPONSE, b"late", random.random() < 0.5))
    return script


def _body(random: Random, direction: Direction, parts: list[bytes], mode: BodyMode) -> list[Event]:
    if random.random() < 0.15:
        return [*(Body(direction, part, False) for part in parts), Trailers(direction)]
    return [Body(direction, part, part is parts[-1] and at == len(parts) - 1) for at, part in enumerate(parts)]


def step(random: Random, witness: Witness, script: dict[Direction, list[Event]], *, wild: bool) -> bool:
    """Something happens; False once nothing more can."""
    if witness.refused or witness.exchange.finished:
        return False
    may = []
    if script[REQUEST]:
        may += ["request"] * 4
    if script[RESPONSE] and witness.seen[REQUEST].headers and (not script[REQUEST] or random.random() < 0.2):
        may += ["response"] * 4
    if witness.out:
        may += ["score"] * 2
    if "flush" in witness.timers:
        may.append("flush")
    if not may:
        return False
    match random.choice(may):
        case "request":
            witness.feed(script[REQUEST].pop(0))
        case "response":
            witness.feed(script[RESPONSE].pop(0))
        case "score":
            failure = random.choice(("timeout", "unavailable", "bad-response")) if random.random() < 0.02 else ""
            witness.answered(
                random.choice(witness.out), failure, 0.95 if random.random() < 0.01 else random.random() * 0.5
            )
        case "flush":
            witness.fire("flush")
    if wild and random.random() < 0.1:
        witness.feed(random.choice(_WILD)(random.choice(list(Direction))))
    return True


_WILD = (
    lambda direction: Headers(direction, {":method": "POST", ":path": "/v1/messages", ":status": "200"}, False),
    lambda direction: Body(direction, b"{}", False),
    lambda direction: Body(direction, b"", True),
    Trailers,
)
