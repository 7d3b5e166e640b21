"""The chunks of InvokeModelWithResponseStream, per dialect: what each says, and those that break an answer off.

Bedrock marks the last chunk of every dialect with its own metrics; nothing else says for all of them that no other
choice or answer goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from safeguards_extproc.core.text import Channel, Kind, Path, Reading, Refusal, Segment
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import bedrock, eventstream, openai_read, used
from safeguards_extproc.wire.anthropic_stream import MessageEvents
from safeguards_extproc.wire.bedrock_stream import ConverseStream
from safeguards_extproc.wire.invoke_dialects import FLAT, LAST, METRICS, NOVA_EVENTS, Dialect, choices
from safeguards_extproc.wire.invoke_read import flat
from safeguards_extproc.wire.leaves import Leaves, aside, words
from safeguards_extproc.wire.openai_stream import CHAT, goes_on
from safeguards_extproc.wire.strict_json import loads, spans

_HEAD = ("id", "object", "created", "model")
_METRICS = METRICS.encode()
_TEXT: Channel = (Kind.CONTENT, "0")
_TEXT_PATH: Path = ("contentBlockDelta", "delta", "text")
_DELTA_KEYS = frozenset(("delta", "contentBlockIndex"))
_COUNTS = words("prompt_token_count generation_token_count stop_reason stop completionReason inputTextTokenCount")
_IDENTIFIERS = frozenset(("amazon-bedrock-guardrailAction",))


class Chunks(Protocol):
    """One streamed answer, without the frames it comes in.

    `goes_on`: all that the chunk which was read last adds to what the one before it said is a text, so that `released`
    need not be told of it.
    """

    goes_on: bool

    def read(self, body: dict[str, Any], data: bytes) -> Reading:
        """One chunk, `body`, which stands in `data` as JSON."""
        ...

    def released(self, data: bytes) -> None:
        """The client has been sent the chunk in `data`."""
        ...

    def ending(self, refusal: Refusal) -> list[dict[str, Any]] | None:
        """The chunks that end what has been released; None where only an exception says it."""
        ...


def chunks(dialect: Dialect | None) -> Chunks | None:
    """A reader for a stream whose chunks are of this dialect; None for what is no stream."""
    match dialect:
        case Dialect.ANTHROPIC:
            return MessageEvents()
        case Dialect.NOVA:
            return NovaChunks()
        case Dialect.CHAT:
            return ChatChunks()
    return FlatChunks(dialect) if dialect in FLAT else None


class FlatChunks:
    """Texts that answer a prompt."""

    __slots__ = ("_begun", "_channels", "_dialect", "_ended", "_plain", "goes_on")

    def __init__(self, dialect: Dialect) -> None:
        self.goes_on = self._plain = False  # whether the last chunk, and the one before it, had a text and no more
        self._dialect = dialect
        self._channels: dict[Channel, None] = {}
        self._begun = self._ended = False

    def read(self, body: dict[str, Any], data: bytes) -> Reading:
        segment = self._grown(body)
        self.goes_on, self._plain = self._plain and segment is not None, segment is not None
        if segment is not None:
            self._channels[_TEXT] = None
            return Reading((segment,) if segment.text else ())
        leaves = Leaves()
        flat(leaves, body, self._dialect)
        last = METRICS in body
        self._channels |= {segment.channel: None for segment in leaves.segments}
        return Reading(leaves.segments, list(self._channels) if last else (), last, ",".join(sorted(leaves.unread)))

    def _grown(self, body: dict[str, Any]) -> Segment | None:
        """The segment of the common case, a text and nothing else that could be one; None for anything else."""
        form, said, path = FLAT[self._dialect], body, Path()
        if form.chunk_listed:
            listed = body.get(form.listed)
            if len(body) != 1 or type(listed) is not list or len(listed) != 1 or type(listed[0]) is not dict:
                return None
            said, path = listed[0], (form.listed, 0)
        for name, value in said.items():
            if name != form.text and (name not in _COUNTS or not (value is None or type(value) is int)):
                return None
        text = said.get(form.text)
        return Segment(_TEXT, text, (*path, form.text)) if type(text) is str else None

    def released(self, data: bytes) -> None:
        self._begun = True
        self._ended = _METRICS in data and METRICS in _read(data)

    def ending(self, refusal: Refusal) -> list[dict[str, Any]] | None:
        """Words of ours in the middle of an answer would read as the model's: they are said only at its beginning."""
        if self._ended:
            return []
        return [FLAT[self._dialect].write("" if self._begun else refusal.message, chunk=True)]


class ChatChunks:
    """OpenAI's choices, whose chunks hold deltas or, from Mistral, messages."""

    __slots__ = ("_begun", "_channels", "_ended", "_finished", "_head", "_last", "_member", "goes_on")

    def __init__(self) -> None:
        self.goes_on = False
        self._last: int | None = None  # the choice of the last chunk, if that only went on
        self._channels: dict[Channel, None] = {}
        self._head: dict[str, Any] = {}
        self._member = "delta"
        self._begun: set[int] = set()  # choices of which the client has seen something
        self._finished: set[int] = set()
        self._ended = False

    def read(self, body: dict[str, Any], data: bytes) -> Reading:
        if not self._head:
            self._head = {key: body[key] for key in _HEAD if isinstance(body.get(key), str | int)}
        found = goes_on(body, CHAT.path)
        if found is not None and found[2].keys() <= CHAT.fields:
            index, text, _ = found
            self.goes_on, self._last = index == self._last, index
            channel = (Kind.CONTENT, str(index))
            if text:
                self._channels[channel] = None
            return Reading((Segment(channel, text, CHAT.path),) if text else ())
        self.goes_on, self._last = False, None
        leaves = Leaves()
        openai_read.choices(leaves, body)
        aside(leaves.segments, self._channels.__contains__)
        self._channels |= {segment.channel: None for segment in leaves.segments}
        last = METRICS in body
        over = {str(index) for index, choice in _choices(body) if _ends(choice)}
        closed = [channel for channel in self._channels if last or channel[1].partition(".")[0] in over]
        for channel in closed:
            self._channels.pop(channel)
        return Reading(leaves.segments, closed, last, ",".join(sorted(leaves.unread)))

    def released(self, data: bytes) -> None:
        body = _read(data)
        self._ended = METRICS in body
        for index, choice in _choices(body):
            self._begun.add(index)
            if "message" in choice:
                self._member = "message"
            if _ends(choice):
                self._finished.add(index)

    def ending(self, refusal: Refusal) -> list[dict[str, Any]] | None:
        if self._ended:
            return []
        begun = sorted((self._begun or {0}) - self._finished)
        return [{**self._head, "choices": choices(refusal, begun, self._member), **LAST}]


def _choices(body: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    listed = body.get("choices")
    for position, choice in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(choice, dict):
            index = choice.get("index")
            yield index if type(index) is int else position, choice


def _ends(choice: dict[str, Any]) -> bool:
    return bool(choice.get("finish_reason") or choice.get("stop_reason"))


class NovaChunks:
    """Converse's events, each an object whose one member has the event's name: they are read as what they were."""

    __slots__ = ("_block", "_growing", "_stream", "_text", "goes_on")

    def __init__(self) -> None:
        self.goes_on = False
        self._block: int | None = None  # the one that the last chunk added text to
        self._stream = ConverseStream()
        self._text = False  # whether there was text that the stream was not told of
        self._growing: int | None = None  # the block of which the client was last sent text

    def read(self, body: dict[str, Any], data: bytes) -> Reading:
        text = _text(body)
        block = None if text is None else text[0]
        self.goes_on, self._block = block is not None and block == self._block, block
        if text is not None:
            self._text = True
            return Reading((Segment(_TEXT, text[1], _TEXT_PATH),) if text[1] else ())
        leaves, segments, closed, unread = Leaves(), list[Segment](), list[Channel](), set[str]()
        finished, usage = False, None
        for name, frame in _events(body, data):
            reading = self._stream.read(frame)
            usage = used.joined(usage, reading.usage)
            for segment in reading.segments:
                if segment.path:
                    segment.path = (name, *segment.path)
                segments.append(segment)
            closed += reading.closed
            unread |= set(filter(None, reading.unread.split(",")))
            finished = finished or reading.finished
        leaves.rest(bedrock.FIELDS, body, (), NOVA_EVENTS, _IDENTIFIERS)
        unread |= leaves.unread
        if finished and self._text and _TEXT not in closed:
            closed.append(_TEXT)
        return Reading([*segments, *leaves.segments], closed, finished, ",".join(sorted(unread)), usage)

    def released(self, data: bytes) -> None:
        body = _read(data)
        text = _text(body)
        if text is not None and text[0] == self._growing:
            return
        self._growing = None if text is None else text[0]
        for _, frame in _events(body, data):
            self._stream.released(frame)

    def ending(self, refusal: Refusal) -> list[dict[str, Any]] | None:
        return nova(self._stream.ending(refusal))


def _text(body: dict[str, Any]) -> tuple[int, str] | None:
    """The block and the text of the common case, a delta of text; None for anything else."""
    event = body.get("contentBlockDelta")
    if type(event) is not dict or len(body) != 1 or event.keys() != _DELTA_KEYS:
        return None
    index, delta = event["contentBlockIndex"], event["delta"]
    if type(index) is not int or type(delta) is not dict or len(delta) != 1 or type(delta.get("text")) is not str:
        return None
    return index, delta["text"]


def _read(data: bytes) -> dict[str, Any]:
    """A chunk that was read before; one that could not be says nothing."""
    try:
        body = loads(data)
    except MalformedBody:
        return {}
    return body if isinstance(body, dict) else {}


def _events(body: dict[str, Any], data: bytes) -> Iterator[tuple[str, bytes]]:
    """The events in a chunk, each in a frame as Converse sends it."""
    names = [(name,) for name in body if name in NOVA_EVENTS]
    found = spans(data, names) if names else {}
    for (name,), (start, end) in found.items():
        yield str(name), eventstream.event(str(name), data[start:end])


def nova(frames: bytes) -> list[dict[str, Any]] | None:
    """Converse's events as Nova's chunks; None if there is an exception among them."""
    messages = [eventstream.parse(frame) for frame in eventstream.Framer().push(frames)]
    if any(message.failed for message in messages):
        return None
    return [{message.name: loads(message.payload)} for message in messages]
