"""Text as the core sees it, and what the core asks of a wire format.

A format turns bytes into `Segment`s and back. Segments with the same `channel` are one text, in order: the deltas of
a streamed answer, the parts of one message. Everything here that holds user text has a repr of lengths only.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from safeguards_extproc.core.account import Usage

Path = tuple[str | int, ...]
"""Where a value stands in a JSON document: ("choices", 0, "delta", "content")."""


class Direction(enum.StrEnum):
    """Which way the bytes go. Each direction has its own lifecycle, outbox and windows."""

    REQUEST = "request"
    RESPONSE = "response"


class Kind(enum.StrEnum):
    """Who speaks, or what a text is for. Policy selects by it (`in: [user, tool]`), records count by it."""

    SYSTEM = "system"  # system and developer instructions
    USER = "user"
    ASSISTANT = "assistant"  # earlier turns and prefill in a request
    TOOL = "tool"  # results of tools, retrieved documents, search results
    TOOLS = "tools"  # definitions of tools: names, descriptions, schemas
    CONTENT = "content"  # the answer
    REASONING = "reasoning"  # thinking, in either direction
    REFUSAL = "refusal"  # the model's own refusal
    TOOL_CALL = "tool_call"  # name and arguments of a call, in either direction
    OTHER = "other"  # any other text that its writer chooses: names, stop words, metadata, schemas
    ERROR = "error"  # the provider's error message


Channel = tuple[Kind, str]
"""One continuous text: its kind, and a name that is unique in the body ("0" for choice 0, "3.1" for message 3)."""

MAX_TOKENS = "max_tokens"
"""What `Wire.pick` is asked for beside paths, and the feature that says it: the most tokens that a request's answers
may have together, absent where it does not say."""

HELD_WHOLE = frozenset({Kind.TOOL_CALL})
"""Kinds of which nothing may leave before the whole has a verdict: half a call already runs in some SDKs."""


@dataclass(slots=True)
class Segment:
    """A piece of text at a place in a JSON document.

    `raw` is False where the place is a string and `text` its decoded value, True where it is any other value and
    `text` is the value's JSON exactly as written. A segment without text marks a copy of text that is scanned
    elsewhere: its frame waits for the text of its channel, and its reader edits it with that.
    """

    channel: Channel
    text: str
    path: Path
    raw: bool = False

    def __repr__(self) -> str:
        return f"Segment({self.channel[0].value}/{self.channel[1]}, {len(self.text)} chars)"


@dataclass(slots=True)
class Edit:
    """Replace characters [start, end) of the text at `path` (as `Segment.text` gives it) by `replacement`."""

    path: Path
    start: int
    end: int
    replacement: str

    def __repr__(self) -> str:
        return f"Edit({self.start}:{self.end}, {len(self.replacement)} chars)"


@dataclass(slots=True)
class Item:
    """An item of a list: its own channels, which hold no other item's text. `id` is "" where it has none."""

    id: str
    channels: frozenset[Channel]

    def __repr__(self) -> str:
        return f"Item(id of {len(self.id)} chars, {len(self.channels)} channels)"


@dataclass(slots=True)
class Listed:
    """A list whose items can be left out, in order. `drop` takes a body, in which texts may have been edited, and the
    positions of items: it gives the body without these, or raises MalformedBody("shape")."""

    items: Sequence[Item]
    drop: Callable[[bytes, Collection[int]], bytes]


@dataclass(slots=True)
class Document:
    """What a whole body says.

    `model` is what the body names, "" if nothing; `streamed` is whether the client asked for an event stream.
    `features` are small facts for policy: numbers, booleans, short strings from closed sets; never user text.
    `unread` names what the format knows to be text or media but cannot read ("image", "token-ids", "history", …).
    `listed` is the list of an answer that can go on without some of its items, None if there is none. `usage` is what
    an answer says that it used, None if it does not.
    """

    segments: list[Segment]
    model: str = ""
    streamed: bool = False
    features: dict[str, int | float | bool | str] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()
    listed: Listed | None = None
    usage: Usage | None = None


@dataclass(slots=True)
class Reading:
    """What one frame of a stream says.

    `closed` names channels that get no more text. `finished` is True for the dialect's last event.
    `unread` is "" or why the frame cannot be read (a slug of errors.MALFORMED), or the names of what it holds that no
    format can read, as in `Document.unread`, joined by commas. `usage` is what the answer has used until then, if the
    frame says so.
    """

    segments: Sequence[Segment] = ()
    closed: Sequence[Channel] = ()
    finished: bool = False
    unread: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the answer is no, for the client to read. Same words whichever stage decided.

    `reason` chooses status and error type: "policy" 400, "suspended" 403, "throttled" 429, "too-large" 413,
    "unsupported-encoding" 415, "malformed" 400, "unavailable" 503, "timeout" 408. `category` is a slug from policy.
    `id` is the exchange's id, so that a user can quote it.
    """

    reason: str
    message: str
    category: str = ""
    id: str = ""
    retry_after_s: int = 0


@dataclass(slots=True)
class Answer:
    """A complete HTTP answer of our own."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} bytes)"


class StreamReader(Protocol):
    """Reads one streamed answer, frame by frame, and knows how to end it."""

    def read(self, frame: bytes) -> Reading:
        """Read one whole frame (for SSE: one event with its blank line). Never raises on bad input."""
        ...

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        """The frame with `edits` applied; bytes that no edit touches stay as they were."""
        ...

    def ending(self, refusal: Refusal) -> bytes:
        """The dialect's terminal events for what has been `released` so far, then the end marker."""
        ...

    def released(self, frame: bytes) -> None:
        """Told, in order, which frames went to the client: `ending` closes only what the client has seen opened."""
        ...


class Framer(Protocol):
    """Cuts a byte stream into frames. How the bytes were chunked never changes the frames."""

    held: int
    """Bytes of the unfinished frame."""

    def push(self, data: bytes) -> list[bytes]:
        """Whole frames that `data` completes, byte for byte."""
        ...

    def finish(self) -> bytes:
        """What is left at the end of the stream: an unfinished frame, or b""."""
        ...


class Decoder(Protocol):
    """Undoes a content-encoding, bounded. Raises MalformedBody("content-encoding") or LimitExceeded."""

    def push(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """The rest; raises if the compressed data is cut short."""
        ...


class Wire(Protocol):
    """The wire formats as an exchange needs them."""

    def resolve(self, name: str, fields: Mapping[str, str]) -> tuple[Format, str]:
        """The format of a request, by its headers, and the model that its path names ("" if none).

        `name` "auto": the format that claims the path, "opaque" if none does. Any other: the format of that name, in
        the variant that claims the path, or else in its first.
        """
        ...

    def promises(self, beginning: bytes) -> bool:
        """Whether a body that begins so may be one that `recognise` knows; no other is waited for."""
        ...

    def recognise(self, body: bytes) -> Format | None:
        """The format whose shape a whole body has, where no header says; None if it has none's.

        Raises MalformedBody if two parsers could read it differently.
        """
        ...

    def decoder(self, encoding: str, limit: int) -> Decoder:
        """For a content-encoding header's value; at most `limit` bytes come out."""
        ...

    def pick(self, body: bytes, paths: Sequence[str], format: str) -> dict[str, str]:
        """The string, number or boolean at each path ("$.metadata.user_id") of a request, as text; MAX_TOKENS asks for
        the bound that `format` knows. What the body does not say is absent. A text of more than 512 characters stands
        as "sha256:" and its digest, as does one that begins so. Never raises."""
        ...


class Format(Protocol):
    """One provider API. Stateless; `MalformedBody` is the only error that reading may raise. It can be pickled: large
    bodies are read in another process."""

    @property
    def name(self) -> str: ...

    def read_request(self, body: bytes) -> Document: ...

    def read_response(self, body: bytes, status: int) -> Document:
        """`status` is the HTTP status: from 400 on the body is the provider's error object."""
        ...

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        """The JSON body with `edits` applied; every other byte stays as it was."""
        ...

    def steer(self, body: bytes, instruction: str) -> bytes:
        """The request with a system instruction added; every other byte stays as it was."""
        ...

    def framer(self, media: str) -> Framer | None:
        """For a response of this media type ("text/event-stream"); None where such a body is read whole."""
        ...

    def stream(self) -> StreamReader: ...

    def refuse(self, refusal: Refusal) -> Answer:
        """The provider's error object with the status that `refusal.reason` asks for."""
        ...

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """A complete, successful (200) answer that says no in the dialect, as JSON or as an event stream."""
        ...
