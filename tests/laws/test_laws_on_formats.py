"""Laws 1, 2, 3 and 10 over the real formats, with a policy compiled from YAML; after each law, faults that it catches.

What an answer says is drawn first, then written as a whole and as a stream, in either dialect: several choices or
blocks, reasoning, refusals, calls; pieces of any size; lines ended and JSON spaced in every way that the formats allow.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core import intake as intake_module
from safeguards_extproc.core import marks as marks_module
from safeguards_extproc.core import response as response_module
from safeguards_extproc.core import scan as scan_module
from safeguards_extproc.core import windows as windows_module
from safeguards_extproc.core.decision import TERMINAL, Result
from safeguards_extproc.core.effects import Classify
from safeguards_extproc.core.events import Body, BodyMode, Event
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.redact import placeholder
from safeguards_extproc.core.text import Direction, Kind, Reading
from safeguards_extproc.core.windows import Window
from safeguards_extproc.wire.openai_stream import ChatStream
from tests.faults.mutations import ADDRESS, MARKER, PATHS, Case
from tests.faults.witness import STRICT, Witness, step
from tests.playbook import REQUEST, RESPONSE, Conversation, chunks, request_headers, response_headers

pytestmark = pytest.mark.long

quick = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)
hunting = settings(quick, max_examples=400, phases=[Phase.generate])
"""To find a planted fault: its smallest case is of no use."""

SIZES = (1, 7, 1000, 0)
WICKED = "wicked"
"""What the model calls unsafe."""

RUN = "a run of words that says nothing at all and is as long as a window"
FOUND = re.compile(r"(?:\\n)?" + re.escape(ADDRESS))
"""What is redacted: the address, in a call's arguments with the escape that it touches."""

KINDS = {
    "openai_chat": ("content", "content", "reasoning_content", "refusal", "call", "function"),
    "anthropic_messages": ("text", "text", "thinking", "call"),
}


@dataclass(frozen=True)
class Part:
    """One text of an answer: of a choice, or a block of its own."""

    choice: int
    kind: str
    text: str


@dataclass(frozen=True)
class Style:
    """How it is written. `size` is the characters of an event's text, 0 for all of it."""

    size: int = 0
    end: bytes = b"\n"
    space: str = " "
    escape: bool = False
    comments: bool = False


@dataclass(frozen=True)
class Said:
    """An exchange before it is written down."""

    dialect: str
    ask: str
    parts: tuple[Part, ...]
    style: Style

    @property
    def calls(self) -> list[str]:
        """The arguments of each call, as they are written."""
        return [self.arguments(part) for part in self.parts if part.kind in ("call", "function")]

    def arguments(self, part: Part) -> str:
        return self.dumps({"note": part.text})

    def dumps(self, value: object) -> str:
        space = self.style.space
        return json.dumps(value, ensure_ascii=self.style.escape, separators=("," + space, ":" + space))

    def request(self) -> bytes:
        ask = [{"role": "user", "content": self.ask}, {"role": "assistant", "content": "Go on."}]
        body = {"model": "m", "max_tokens": 9, "messages": [*ask, {"role": "user", "content": "More, please."}]}
        return self.dumps(body).encode()

    def whole(self) -> bytes:
        return self.dumps(_openai(self) if self.dialect == "openai_chat" else _anthropic(self)).encode()

    def frames(self) -> list[tuple[bytes, bool]]:
        """The events of the stream, and whether one carries a piece of the address."""
        found = []
        events = _openai_events(self) if self.dialect == "openai_chat" else _anthropic_events(self)
        for number, (value, dirty) in enumerate(events):
            end, lines = self.style.end, []
            if self.style.comments and number % 3 == 1:
                found.append((b": keep-alive" + end + end, False))
            if isinstance(value, dict) and "type" in value:
                lines.append(b"event: " + str(value["type"]).encode())
            data = value if isinstance(value, str) else self.dumps(value)
            lines.append(b"data:" + self.style.space.encode() + data.encode())
            found.append((end.join(lines) + end + end, dirty))
        return found

    def stream(self) -> bytes:
        return b"".join(frame for frame, _ in self.frames())

    def pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        """The text in pieces, and whether one is of the address."""
        size = self.style.size or max(len(text), 1)
        found = [match.span() for match in FOUND.finditer(text)]
        for start in range(0, len(text), size):
            yield text[start : start + size], any(start < end and begin < start + size for begin, end in found)


Events = Iterator[tuple[dict[str, object] | str, bool]]


def _openai(said: Said) -> dict[str, object]:
    choices = []
    for choice in sorted({part.choice for part in said.parts}):
        message: dict[str, object] = {"role": "assistant", "content": None}
        calls: list[object] = []
        for part in (part for part in said.parts if part.choice == choice):
            if part.kind == "call":
                function = {"name": "note", "arguments": said.arguments(part)}
                calls.append({"id": f"call_{len(calls)}", "type": "function", "function": function})
            elif part.kind == "function":
                message["function_call"] = {"name": "note", "arguments": said.arguments(part)}
            else:
                message[part.kind] = part.text
        if calls:
            message["tool_calls"] = calls
        choices.append({"index": choice, "message": message, "logprobs": None, "finish_reason": "stop"})
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": choices}


def _openai_events(said: Said) -> Events:
    """Choices take turns, event by event."""

    def chunk(choice: int, delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
        choices = [{"index": choice, "delta": delta, "finish_reason": finish}]
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": choices}

    def speaks(choice: int) -> Events:
        yield chunk(choice, {"role": "assistant", "content": ""}), False
        calls = itertools.count()
        for part in (part for part in said.parts if part.choice == choice):
            if part.kind not in ("call", "function"):
                for piece, dirty in said.pieces(part.text):
                    yield chunk(choice, {part.kind: piece}), dirty
                continue
            number = next(calls) if part.kind == "call" else 0
            named: dict[str, object] = {"id": f"call_{number}", "type": "function"}
            for head, (piece, dirty) in zip(
                itertools.chain([True], itertools.repeat(False)), said.pieces(said.arguments(part)), strict=False
            ):
                function = {"name": "note", "arguments": piece} if head else {"arguments": piece}
                call = {"index": number, **(named if head else {}), "function": function}
                yield (
                    chunk(choice, {"tool_calls": [call]} if part.kind == "call" else {"function_call": function}),
                    dirty,
                )
        yield chunk(choice, {}, "stop"), False

    turns = [speaks(choice) for choice in sorted({part.choice for part in said.parts})]
    for events in itertools.zip_longest(*turns):
        yield from (one for one in events if one is not None)
    yield "[DONE]", False


def _anthropic(said: Said) -> dict[str, object]:
    content: list[object] = []
    for number, part in enumerate(said.parts):
        if part.kind == "call":
            content.append({"type": "tool_use", "id": f"toolu_{number}", "name": "note", "input": {"note": part.text}})
        else:
            content.append({"type": part.kind, part.kind: part.text})
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}


def _anthropic_events(said: Said) -> Events:
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    yield {"type": "message_start", "message": start}, False
    for index, part in enumerate(said.parts):
        block: dict[str, object] = {"type": part.kind, part.kind: ""}
        type_, key, text = f"{part.kind}_delta", part.kind, part.text
        if part.kind == "call":
            block = {"type": "tool_use", "id": f"toolu_{index}", "name": "note", "input": {}}
            type_, key, text = "input_json_delta", "partial_json", said.arguments(part)
        yield {"type": "content_block_start", "index": index, "content_block": block}, False
        for piece, dirty in said.pieces(text):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": type_, key: piece}}, dirty
        yield {"type": "content_block_stop", "index": index}, False
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}, False
    yield {"type": "message_stop"}, False


@st.composite
def exchanges(draw: st.DrawFn, *, address: bool = True, bad: Sequence[str] = (MARKER, WICKED)) -> Said:
    """What is said: each word a new one, so that it can be told where it was seen. At most one sort of bad word, as
    which of two comes first depends on how an answer is written."""
    count = itertools.count()
    addresses = [ADDRESS, f"line\n{ADDRESS}"] if address else []
    words = ["plain", RUN, "plain", RUN, '"quoted"', "tab\t", "line\n", "ü字🌊", *addresses]
    with_bad = draw(st.booleans())
    if bad and with_bad:
        words.append(draw(st.sampled_from(bad)))

    def text(drawn: list[str]) -> str:
        said = []
        for word in drawn:
            if word in (*addresses, MARKER, WICKED):
                said.append(word + " ")
            else:
                said += [f"{one}{next(count)} " for one in word.split(" ")]
        return "".join(said)

    texts = st.lists(st.sampled_from(words), min_size=1, max_size=9).map(text)
    dialect = draw(st.sampled_from(sorted(PATHS)))
    parts: list[Part] = []
    for choice, kind, said in draw(
        st.lists(st.tuples(st.integers(0, 2), st.sampled_from(KINDS[dialect]), texts), min_size=1, max_size=4)
    ):
        if kind == "call" or dialect != "openai_chat" or (choice, kind) not in {(p.choice, p.kind) for p in parts}:
            parts.append(Part(choice, kind, said))
    style = Style(
        size=draw(st.sampled_from([0, 5, 20])),
        end=draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])),
        space=draw(st.sampled_from(["", " "])),
        escape=draw(st.booleans()),
        comments=draw(st.booleans()),
    )
    return Said(dialect, draw(texts), tuple(parts), style)


def model(asked: Classify) -> list[Result]:
    return [Result("screen", {"screen.unsafe": 0.95 if WICKED in asked.texts[0] else 0.1}, version="1")]


class Played(Conversation):
    """An exchange whose model answers when chance will, in any order; at once where there is none."""

    def __init__(self, said: Said, random: Random | None = None, mode: BodyMode = BodyMode.DUPLEX) -> None:
        super().__init__(STRICT, mode=mode, wire=wire)
        self.said, self.random = said, random
        self.patience = random.choice((0.0, 0.3, 0.9)) if random else 1.0

    def play(self, size: int, *, streamed: bool) -> Played:
        """From the first byte to the last, in chunks of `size` bytes."""
        said = self.said
        self.pass_on(REQUEST, head(said), said.request(), size)
        kind = "text/event-stream" if streamed else "application/json"
        if not self.refused:
            self.pass_on(RESPONSE, response_headers(kind), said.stream() if streamed else said.whole(), size)
        assert self.exchange.finished
        return self

    def pass_on(self, direction: Direction, first: Event, body: bytes, size: int) -> None:
        self.feed(first)
        pieces = chunks(body, 0 if self._mode(direction) is BodyMode.BUFFERED else size)
        for number, piece in enumerate(pieces):
            if not (self.refused or (self.seen[direction].ended and self._mode(direction) is BodyMode.DUPLEX)):
                self.feed(Body(direction, piece, number == len(pieces) - 1))
                self.some_answers(self.patience)
        self.some_answers(1.0)

    def some_answers(self, likely: float) -> None:
        while self.out and (self.random is None or self.random.random() < likely):
            asked = self.random.choice(self.out) if self.random else self.out[0]
            self.answer(asked.ticket, model(asked))


def head(said: Said) -> Event:
    headers = request_headers(PATHS[said.dialect])
    headers.fields[":authority"] = "held.test"
    return headers


def must_bite(law: Callable[[settings], None], *faults: contextlib.AbstractContextManager[object]) -> None:
    with contextlib.ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault)
        stack.enter_context(pytest.raises(AssertionError))
        law(hunting)


# 1. Chunking never matters.


def law_1_chunking(tries: settings = quick) -> None:
    @tries
    @given(exchanges(), st.booleans(), st.integers(0, 1 << 32))
    def law(said: Said, streamed: bool, seed: int) -> None:
        first = Played(said).play(0, streamed=streamed)
        for size in SIZES:
            other = Played(said, Random(seed + size)).play(size, streamed=streamed)
            assert first.upstream_saw() == other.upstream_saw()
            assert first.client_saw() == other.client_saw()
            assert decision(first.record) == decision(other.record)

    law()


def decision(record: Record) -> object:
    """What a record says was decided, without times and counts of messages."""
    phases = [(p.decided, p.applied, p.scores, p.redactions, p.fired) for p in (record.request, record.response)]
    return (phases, record.outcome, record.rule, record.status)


def test_law_1_chunking_never_matters() -> None:
    """Cut anywhere, and judged late and in any order: the same decision and the same bytes."""
    law_1_chunking()


@pytest.mark.interpreted
def test_law_1_catches_windows_cut_by_chunks() -> None:
    """Planted fault: a chunk's end is taken for the end of the texts in it."""
    stream = intake_module.Intake.stream

    def closing(intake: intake_module.Intake, data: bytes) -> None:
        stream(intake, data)
        intake._scan.close_all()

    must_bite(law_1_chunking, patch.object(intake_module.Intake, "stream", closing))


@pytest.mark.interpreted
def test_law_1_catches_verdicts_applied_as_they_come() -> None:
    """Planted fault: whichever model answers first is heard first."""
    scored = scan_module.Scan.scored

    def hasty(scan: scan_module.Scan, ticket: int, results: Sequence[Result]) -> None:
        pending = scan._out_now.get(ticket)
        scored(scan, ticket, results)
        if pending is not None and pending in scan._order:
            scan._order.remove(pending)
            scan._order.appendleft(pending)

    must_bite(law_1_chunking, patch.object(scan_module.Scan, "scored", hasty))


# 2. Nothing unscanned leaves.


def law_2_watermark(tries: settings = quick) -> None:
    @tries
    @given(exchanges(), st.booleans(), st.sampled_from([7, 50, 1000]), st.integers(0, 1 << 32))
    def law(said: Said, streamed: bool, size: int, seed: int) -> None:
        random = Random(seed)
        bodies = {REQUEST: said.request(), RESPONSE: said.stream() if streamed else said.whole()}
        witness = Witness(STRICT, Case(said.dialect, bodies[REQUEST], bodies[RESPONSE], streamed))
        kind = "text/event-stream" if streamed else "application/json"
        script: dict[Direction, list[Event]] = {REQUEST: [head(said)], RESPONSE: [response_headers(kind)]}
        for direction, body in bodies.items():
            pieces = chunks(body, size)
            script[direction] += [Body(direction, piece, piece is pieces[-1]) for piece in pieces[:-1]]
            script[direction].append(Body(direction, pieces[-1], True))
        while step(random, witness, script, wild=False):
            assert_calls_are_judged(witness, said)
        assert witness.exchange.finished
        witness.end()

    law()


def assert_calls_are_judged(witness: Witness, said: Said) -> None:
    """A call of which anything has left has been scanned to its end, and what left is as it was said."""
    left = []
    for key, text in witness.texts.items():
        match key:
            case (Direction.RESPONSE, ("arguments" | "partial_json",), _):
                left.append(text)
    clean = [FOUND.sub(placeholder("email"), call) for call in said.calls if not witness.unscanned(RESPONSE, call)]
    assert all(any(call.startswith(text) for call in clean) for text in left)
    if witness.records and witness.records[0].termination == "complete" and left:
        assert sorted(left) == sorted(clean)


def test_law_2_nothing_unscanned_leaves() -> None:
    """In any order of bytes, scores, failures and timers: what left had been scanned, and of a call all of it."""
    law_2_watermark()


@pytest.mark.interpreted
def test_law_2_catches_clearing_at_once() -> None:
    """Planted fault: a window is cleared when it is cut."""
    submit = scan_module.Scan._submit

    def eager(scan: scan_module.Scan, windows: list[Window]) -> None:
        submit(scan, windows)
        for window in windows:
            scan._windows.clear(window)

    must_bite(law_2_watermark, patch.object(scan_module.Scan, "_submit", eager))


@pytest.mark.interpreted
def test_law_2_catches_half_a_call() -> None:
    """Planted fault: a call's arguments leave as they are scanned."""
    must_bite(law_2_watermark, patch.object(windows_module, "HELD_WHOLE", frozenset()))


@pytest.mark.interpreted
def test_law_2_catches_a_redaction_that_breaks_arguments() -> None:
    """Planted fault: half an escape goes with the address behind it."""
    must_bite(law_2_watermark, patch.object(marks_module, "whole_escapes", lambda text, span: span))


# 3. Streamed or not, same text, same verdict.


def law_3_parity(tries: settings = quick) -> None:
    @tries
    @given(exchanges())
    def law(said: Said) -> None:
        streamed, whole = (Played(said).play(1000, streamed=streamed) for streamed in (True, False))
        first, second = streamed.record.response, whole.record.response
        assert (first.decided, first.action) == (second.decided, second.action)
        if first.action not in {action.value for action in TERMINAL}:
            assert (first.scores, first.redactions, first.fired) == (second.scores, second.redactions, second.fired)

    law()


def test_law_3_streamed_or_not() -> None:
    """The same answer has the same verdict either way, and unless that ends it the same scores and redactions."""
    law_3_parity()


@pytest.mark.interpreted
def test_law_3_catches_a_stream_that_is_not_classified() -> None:
    """Planted fault: the streaming path asks no model."""
    read = intake_module.Intake._frame

    def cheap(intake: intake_module.Intake, raw: bytes) -> None:
        intake._scan._models = []
        read(intake, raw)

    must_bite(law_3_parity, patch.object(intake_module.Intake, "_frame", cheap))


@pytest.mark.interpreted
def test_law_3_catches_a_stream_of_which_only_the_content_is_read() -> None:
    """Planted fault: deltas of reasoning, refusals and calls pass by."""
    read = ChatStream.read

    def narrow(reader: ChatStream, frame: bytes) -> Reading:
        reading = read(reader, frame)
        return replace(reading, segments=[one for one in reading.segments if one.channel[0] is Kind.CONTENT])

    must_bite(law_3_parity, patch.object(ChatStream, "read", narrow))


# 10. Unchanged bytes stay unchanged.


def law_10_bytes(tries: settings = quick) -> None:
    @tries
    @given(
        exchanges(address=False, bad=()),
        st.booleans(),
        st.sampled_from(SIZES[1:]),
        st.sampled_from([BodyMode.DUPLEX, BodyMode.BUFFERED, BodyMode.STREAMED]),
    )
    def law(said: Said, streamed: bool, size: int, mode: BodyMode) -> None:
        talk = Played(said, mode=mode).play(size, streamed=streamed)
        assert said.request() == talk.upstream_saw()
        assert (said.stream() if streamed else said.whole()) == talk.client_saw()

    law()


def law_10_frames(tries: settings = quick) -> None:
    @tries
    @given(exchanges(bad=()), st.sampled_from(SIZES[1:]))
    def law(said: Said, size: int) -> None:
        saw = Played(replace(said, ask="hello")).play(size, streamed=True).client_saw()
        for frame, dirty in said.frames():
            if dirty:
                end = saw.index(said.style.end * 2) + 2 * len(said.style.end)
                assert frame.count(said.style.end) == saw[:end].count(said.style.end)
            else:
                end = len(frame)
                assert frame == saw[:end]
            saw = saw[end:]
        assert not saw

    law()


def test_law_10_unchanged_bytes() -> None:
    """Where nothing is redacted, both sides have the exact bytes, however they are written."""
    law_10_bytes()


def test_law_10_unchanged_frames() -> None:
    """Where something is redacted, every frame without a piece of it is as it came."""
    law_10_frames()


@pytest.mark.interpreted
def test_law_10_catches_reserialised_frames() -> None:
    """Planted fault: frames are written anew instead of passed on."""

    def tidy(lane: response_module.ResponseLane, frame: intake_module.Frame) -> bytes:
        return frame.raw.replace(b'": ', b'":')

    must_bite(law_10_bytes, patch.object(response_module.ResponseLane, "_edited", tidy))


@pytest.mark.interpreted
def test_law_10_catches_a_redaction_that_touches_its_neighbours() -> None:
    """Planted fault: once something is redacted, every frame is written anew."""
    edited = response_module.ResponseLane._edited

    def broad(lane: response_module.ResponseLane, frame: intake_module.Frame) -> bytes:
        raw = edited(lane, frame)
        return raw.replace(b'": ', b'":') if lane.scan.verdict.redact else raw

    must_bite(law_10_frames, patch.object(response_module.ResponseLane, "_edited", broad))
