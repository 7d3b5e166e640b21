"""The traffic file: one exchange a line, strict JSON, plain or gzip. What cannot be used is said with its line.

    {"id": "…", "format": "openai_chat", "stream": true, "messages": [{"role": "user", "content": "…"}],
     "answer": {"text": "…"}, "expect": {"request": "allow", "response": "stop", "note": "why"}}

A file says what a client asks, what the model would answer, and (optionally) what the filter should make of it.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, cast

import msgspec

from safeguards_extproc.errors import ConfigError

_HINT = "one exchange a line; conversation files go through `convert` first"

FormatName = Literal["openai_chat", "anthropic_messages"]
RequestVerdict = Literal["", "allow", "annotate", "redact", "steer", "reroute", "throttle", "block", "suspend"]
ResponseVerdict = Literal["", "allow", "annotate", "redact", "stop", "block"]


class ToolCall(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A call of a tool; `id` ties it to a tool message's `call`."""

    name: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    id: str = ""

    def __repr__(self) -> str:
        return f"ToolCall({len(self.arguments)} arguments)"


class Message(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One turn. `document` is a text handed over with the turn, `call` the id of the call that a tool answers."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str = ""
    document: str = ""
    tool_calls: list[ToolCall] = msgspec.field(default_factory=list)
    call: str = ""

    def __repr__(self) -> str:
        return f"Message({self.role}, {len(self.content)} chars)"


class Tool(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A tool that the client offers; `parameters` is its JSON schema."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})

    def __repr__(self) -> str:
        return f"Tool({len(self.description)} chars)"


class Answer(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What the model says, and how it is cut.

    `choices` are the texts of further choices (n = 1 + their number). `piece` is characters per event (0: a word),
    `chunk` bytes per write whatever the events (0: one event a write), `delay_ms` the pause after each write.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = msgspec.field(default_factory=list)
    choices: list[str] = msgspec.field(default_factory=list)
    piece: int = 0
    chunk: int = 0
    delay_ms: float = 0.0

    def __repr__(self) -> str:
        return f"Answer({len(self.text)} chars, {len(self.tool_calls)} calls)"


class Transport(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a client may do to the HTTP request. `body`, if not empty, is sent as it stands."""

    path: str = ""
    encoding: Literal["", "gzip"] = ""
    content_type: str = "application/json"
    body: str = ""

    def __repr__(self) -> str:
        return f"Transport({self.encoding or 'identity'}, {len(self.body)} chars)"


class Expect(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What should come of it. Empty fields expect nothing.

    `hidden` are strings that must not arrive at the far side: the model where they stand in the prompt, the client
    where they stand in the answer. `status` is the HTTP status that the client gets.
    """

    request: RequestVerdict = ""
    response: ResponseVerdict = ""
    status: int = 0
    hidden: list[str] = msgspec.field(default_factory=list)
    note: str = ""

    def __repr__(self) -> str:
        return f"Expect({self.request or '-'}, {self.response or '-'})"


class Exchange(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A request as a client means it, and the answer that a model would give."""

    id: str
    format: FormatName
    messages: list[Message] = msgspec.field(default_factory=list)
    stream: bool = False
    system: str = ""
    tools: list[Tool] = msgspec.field(default_factory=list)
    model: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    transport: Transport = msgspec.field(default_factory=Transport)
    answer: Answer = msgspec.field(default_factory=Answer)
    expect: Expect | None = None

    def __repr__(self) -> str:
        return f"Exchange({self.id}, {self.format}, {len(self.messages)} messages)"


def opened(path: Path) -> IO[bytes]:
    """A text file's bytes, unpacked where the name ends in .gz."""
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers from 1; ConfigError where the file cannot be read."""
    try:
        with opened(path) as file:
            for number, line in enumerate(file, 1):
                if stripped := line.strip():
                    yield number, stripped
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError("cannot be read", where=str(path), hint=type(error).__name__) from error


def parsed(where: str, rows: Iterable[tuple[int, bytes]]) -> Iterator[Exchange]:
    """Exchanges of numbered lines, each as it is read; `where` names their source in errors."""
    decoder = msgspec.json.Decoder(Exchange)
    seen: dict[str, int] = {}
    for number, row in rows:
        place = f"{where}:{number}"
        try:
            exchange = decoder.decode(row)
        except msgspec.DecodeError as error:
            raise ConfigError(str(error), where=place, hint=_HINT) from error
        _check(exchange, place)
        if exchange.id in seen:
            raise ConfigError(f"id {exchange.id!r} stands on line {seen[exchange.id]} too", where=place)
        seen[exchange.id] = number
        yield exchange
    if not seen:
        raise ConfigError("no exchange in it", where=where)


def parse(where: str, rows: Iterable[tuple[int, bytes]]) -> list[Exchange]:
    """Exchanges of numbered lines, all at once."""
    return list(parsed(where, rows))


def read(path: Path) -> list[Exchange]:
    """Exchanges of a file; ConfigError with file, line and place of the first that cannot be used."""
    return parse(str(path), lines(path))


def write(path: Path, exchanges: Iterable[Exchange]) -> int:
    """Write exchanges as `read` reads them (gzip where the name ends in .gz); how many there were."""
    encoder = msgspec.json.Encoder()
    count = 0
    with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as file:
        for exchange in exchanges:
            file.write(encoder.encode(exchange) + b"\n")
            count += 1
    return count


def _check(exchange: Exchange, place: str) -> None:
    """What types cannot say."""
    if not exchange.id.isascii() or not exchange.id or not exchange.id.isprintable():
        raise ConfigError("id travels in a header: printable ASCII, not empty", where=place)
    if not exchange.messages and not exchange.transport.body:
        raise ConfigError("neither messages nor transport.body", where=place)
    if exchange.format == "anthropic_messages" and exchange.answer.choices:
        raise ConfigError("answer.choices: the Messages API has one answer", where=place, hint="use openai_chat")
    if min(exchange.answer.piece, exchange.answer.chunk, exchange.answer.delay_ms) < 0:
        raise ConfigError("answer: piece, chunk and delay_ms are not negative", where=place)
