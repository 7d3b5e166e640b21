"""A streamed completion of OpenAI's: chunks until `[DONE]`; a choice ends with its `finish_reason`.

A stream that is broken off says so in the dialect: each choice that the client has seen begun gets a chunk with
`finish_reason` "content_filter". A bare cut would read as success in the official SDK, and "stop" as a whole tool call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from safeguards_extproc.core.text import Channel, Edit, Kind, Path, Reading, Refusal, Segment
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import azure_read, openai_read, sse, used
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.alike import Alike
from safeguards_extproc.wire.leaves import Leaves, aside
from safeguards_extproc.wire.openai_api import verdict
from safeguards_extproc.wire.strict_json import loads

DONE = b"[DONE]"

_CHUNK_KEYS = openai_read.CHUNK_FIELDS | {"choices"}
_CONTENT = Kind.CONTENT
_PADDING: Path = ("obfuscation",)
_SAYS_MORE = ("finish_reason", "stop_reason", "logprobs")
_VERDICT = "content_filter_results"
_VERDICTS = frozenset((_VERDICT,))


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an API writes the choices of a chunk.

    `path` leads to the text of a chunk's first choice; `fields` are the members of a choice without other text.
    `choices` reads all of a chunk. `last` is what a choice says that is broken off, given whether the client has
    seen nothing yet.
    """

    object: str
    id_prefix: str
    path: Path
    fields: frozenset[str]
    choices: Callable[[Leaves, dict[str, Any]], None]
    last: Callable[[Refusal, bool], dict[str, Any]]

    def head(self, id_: str, model: str, created: int = 0) -> dict[str, Any]:
        """What every chunk of a stream has in common."""
        return {"id": id_, "object": self.object, "created": created, "model": model}


def chunk(head: dict[str, Any], index: int, said: dict[str, Any], finish: str | None) -> bytes:
    """One event of our own with one choice."""
    choice = {"index": index, **said, "logprobs": None, "finish_reason": finish}
    return sse.event("", editing.dumps({**head, "choices": [choice]}))


def _last(refusal: Refusal, first: bool) -> dict[str, Any]:
    delta = {"refusal": refusal.message} if refusal.message else {}
    return {"delta": {"role": "assistant", **delta} if first else delta}


def of_azure(dialect: Dialect) -> Dialect:
    """The same with the verdict of a filter where a choice is broken off."""
    return replace(dialect, last=partial(_judged_last, dialect.last))


def _judged_last(last: Callable[[Refusal, bool], dict[str, Any]], refusal: Refusal, first: bool) -> dict[str, Any]:
    return {**last(refusal, first), _VERDICT: verdict(refusal)}


CHAT = Dialect(
    "chat.completion.chunk",
    "chatcmpl-",
    ("choices", 0, "delta", "content"),
    openai_read.CHOICE_FIELDS,
    openai_read.choices,
    _last,
)
AZURE_CHAT = of_azure(CHAT)


def goes_on(body: dict[str, Any], path: Path) -> tuple[int, str, dict[str, Any]] | None:
    """The index and the text of a chunk's only choice, which only goes on, and the choice, of which the members beside
    are to be looked at; None for anything else. `path` is `Dialect.path`."""
    choices = body.get("choices")
    if type(choices) is not list or len(choices) != 1 or not body.keys() <= _CHUNK_KEYS:
        return None
    choice = choices[0]
    if type(choice) is not dict or any(map(choice.get, _SAYS_MORE)):
        return None
    index = choice.get("index")
    said: Any = choice
    if len(path) > 3:
        said = choice.get(path[2])
        if type(said) is not dict or len(said) != 1:
            return None
    text = said.get(path[-1])
    return (index, text, choice) if type(text) is str and type(index) is int else None


def edit_choices(body: bytes, edits: Sequence[Edit]) -> bytes:
    """`body` edited; where a choice's text changes, the members that repeat its tokens become null."""
    erase = {
        ("choices", edit.path[1], name)
        for edit in edits
        if len(edit.path) > 2 and edit.path[0] == "choices"
        for name in openai_read.REPLICAS
    }
    return editing.apply(body, [edit for edit in edits if edit.path[:3] not in erase], erase=erase)


class ChatStream:
    """A `core.text.StreamReader`."""

    __slots__ = ("_alike", "_begun", "_channels", "_dialect", "_done", "_finished", "_head", "_open", "_verdict")

    def __init__(self, dialect: Dialect = CHAT) -> None:
        self._dialect = dialect
        self._alike = Alike()  # by the index of its choice
        self._verdict: object = None  # the last of Azure's that held no text: most are the same
        self._head: dict[str, Any] | None = None
        self._open: dict[str, dict[Channel, None]] = {}  # by choice, in the order of their first text
        self._channels: dict[int, Channel] = {}  # of the content of choices that are open
        self._begun: set[int] = set()  # choices of which the client has seen something
        self._finished: set[int] = set()
        self._done = False

    def read(self, frame: bytes) -> Reading:
        said = self._alike.text(frame)
        if said and (channel := self._channels.get(self._alike.of)) is not None:
            return Reading((Segment(channel, said, self._dialect.path),))
        _, data = sse.fields(frame)
        if not data:
            return Reading()
        try:
            body = loads(data)
        except MalformedBody as error:
            if data.strip() == DONE:
                closed = [channel for opened in self._open.values() for channel in opened]
                self._open.clear()
                self._channels.clear()
                return Reading(closed=closed, finished=True)
            return Reading(unread=error.reason)
        if type(body) is not dict:
            return Reading(unread="shape")
        if self._head is None:
            self._head = self._said(body)
        segments = self._plain(body)
        reading = self._whole(body) if segments is None else Reading(segments)
        if body.get("usage"):
            reading.usage = used.told(body)
        elif segments:
            self._alike.learn(frame, data, (self._dialect.path, _PADDING), int(segments[0].channel[1]))
        return reading

    def _plain(self, body: dict[str, Any]) -> Sequence[Segment] | None:
        """The one segment of the common case, a choice that goes on with its content; None for anything else."""
        found = goes_on(body, self._dialect.path)
        if found is None:
            return None
        index, text, choice = found
        if not choice.keys() <= self._dialect.fields and not self._is_plain_but_for_its_verdict(choice):
            return None
        if not text:
            return ()
        channel = self._channels.get(index)
        if channel is None:
            channel = self._channels[index] = (_CONTENT, str(index))
            self._open.setdefault(channel[1], {})[channel] = None
        return (Segment(channel, text, self._dialect.path),)

    def _is_plain_but_for_its_verdict(self, choice: dict[str, Any]) -> bool:
        """Whether a choice has one member more, in which Azure's filter says nothing that is text."""
        if choice.keys() - self._dialect.fields != _VERDICTS:
            return False
        verdict = choice[_VERDICT]
        if verdict != self._verdict:
            leaves = Leaves()
            azure_read.verdicts(leaves, choice, (), _VERDICTS)
            if leaves.segments or leaves.unread:
                return False
            self._verdict = verdict
        return True

    def _whole(self, body: dict[str, Any]) -> Reading:
        leaves = Leaves()
        self._dialect.choices(leaves, body)
        aside(leaves.segments, lambda channel: channel in self._open.get(channel[1].partition(".")[0], ()))
        closed: list[Channel] = []
        for segment in leaves.segments:
            channel = segment.channel
            self._open.setdefault(channel[1].partition(".")[0], {})[channel] = None
        choices = body.get("choices")
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict) and choice.get("finish_reason"):
                name = openai_read.choice_name(choice, position)
                closed += self._open.pop(name, {})
                self._channels = {index: channel for index, channel in self._channels.items() if channel[1] != name}
        return Reading(leaves.segments, closed, unread=",".join(sorted(leaves.unread)))

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        return sse.with_data(frame, edit_choices(sse.fields(frame)[1], edits))

    def released(self, frame: bytes) -> None:
        if 0 in self._begun and _goes_on(frame):
            return
        _, data = sse.fields(frame)
        if not data:
            return
        if data.strip() == DONE:
            self._done = True
            return
        try:
            body = loads(data)
        except MalformedBody:
            return
        if not isinstance(body, dict):
            return
        if self._head is None:
            self._head = self._said(body)
        choices = body.get("choices")
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            index = choice.get("index", position) if isinstance(choice, dict) else position
            if isinstance(index, int):
                self._begun.add(index)
                if isinstance(choice, dict) and choice.get("finish_reason"):
                    self._finished.add(index)

    def ending(self, refusal: Refusal) -> bytes:
        if self._done:
            return b""
        start = self._head or self._dialect.head(self._dialect.id_prefix + refusal.id, "")
        said = self._dialect.last(refusal, not self._begun)
        events = [
            chunk(start, index, said, "content_filter") for index in sorted((self._begun or {0}) - self._finished)
        ]
        return b"".join([*events, sse.event("", DONE)])

    def _said(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """What the stream says of itself in this chunk, for chunks of ours; None where it says nothing: an error, or
        Azure's first chunk, whose id is empty."""
        match body:
            case {"id": str(id_), "choices": _} if id_:
                model, created = body.get("model"), body.get("created")
                model = model if isinstance(model, str) else ""
                return self._dialect.head(id_, model, created if isinstance(created, int) else 0)
        return None


def _goes_on(frame: bytes) -> bool:
    """Whether a frame plainly is choice 0, not finished: True spares parsing it; False says nothing."""
    return (
        frame.count(b'"index"') == 1
        and (b'"index":0' in frame or b'"index": 0' in frame)
        and (b'"finish_reason":null' in frame or b'"finish_reason": null' in frame)
    )
