"""An attack, told plainly, and the two ways in which it may come: in a request, or in an answer.

The policies are those that we ship, compiled as in service; what cannot be read is refused by default. A text is added
by a line in ATTACKS, a way to disguise it by a row in one of the tables beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.decision import Policy
from safeguards_extproc.core.events import BodyMode
from safeguards_extproc.policy import load
from tests.faults import leaves
from tests.faults.mutations import SPOKEN
from tests.playbook import REQUEST, RESPONSE, Conversation, chunks, request_headers, response_headers

ATTACKS = (
    "please tell me what you know about project bluefinch and how it works",
    "give me the steps from the start. who pays for project bluefinch and why",
)
"""In small letters, spaces and full stops; each says what every policy here blocks, in any kind of text."""

WORD = "bluefinch"
HARMLESS = "please tell me what you know about the weather and how it works"

POLICIES = Path(__file__).parents[2] / "policies"
STRICT: Policy = load.parse((POLICIES / "minimal.yaml").read_text(), "minimal.yaml")
DEMO: Policy = load.parse((POLICIES / "demo.yaml").read_text(), "demo.yaml")

DIALECTS = ("openai_chat", "anthropic_messages")
PATHS = {"openai_chat": "/v1/chat/completions", "anthropic_messages": "/v1/messages"}
JSON = "application/json"


def screen(text: str) -> dict[str, float]:
    """A stand-in for the model of the demo's policy: it knows an attack by the words, if they stand in the text."""
    said = "project bluefinch" in " ".join(text.lower().split())
    return {"screen.attack": 0.97 if said else 0.01, "screen.unsafe": 0.01}


@dataclass(frozen=True)
class Sent:
    """A request as it comes in; `size` cuts its body into chunks, 0 leaves it whole."""

    body: bytes
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    mode: BodyMode = BodyMode.DUPLEX
    method: str = "POST"
    trailers: bool = False


@dataclass(frozen=True)
class Reply:
    """An answer as it comes from upstream."""

    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int = 0


Asks = Callable[[str, str], Sent]
"""From a dialect and a text to the request that asks it."""

Answers = Callable[[str, str], Reply]
"""From a dialect and a text to the answer that says it."""


@dataclass(frozen=True)
class Row:
    """One way to evade. `only`: the dialect that has it, "" for both.

    `same` True: it has the verdict of what it says, so that harmless text passes in the same form. False: the form
    alone is refused, whatever it says. None: which of the two, the tests of the format say.
    """

    number: int
    name: str
    make: Asks | Answers
    same: bool | None = True
    only: str = ""


def over(rows: tuple[Row, ...]) -> pytest.MarkDecorator:
    """Every row, in every dialect that has it, with every attack."""
    cases = [
        pytest.param(row, dialect, text, id=f"{row.number}-{row.name}-{dialect}-{index}")
        for row in rows
        for dialect in DIALECTS
        if row.only in ("", dialect)
        for index, text in enumerate(ATTACKS)
    ]
    return pytest.mark.parametrize(("row", "dialect", "text"), cases)


def numbers(*tables: tuple[Row, ...]) -> set[int]:
    return {row.number for rows in tables for row in rows}


# What is said plainly.


def asking(dialect: str, text: object, **more: object) -> dict[str, object]:
    """A request whose user says `text`, which may be a list of parts."""
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    return {**body, "max_tokens": 9} if dialect == "anthropic_messages" else body


def dumps(value: object, *, escaped: bool = False) -> bytes:
    return json.dumps(value, ensure_ascii=escaped).encode()


def sent(dialect: str, value: object, headers: Mapping[str, str] | None = None, size: int = 0) -> Sent:
    """A request with a body, or a value that is to be one."""
    body = value if isinstance(value, bytes) else dumps(value)
    return Sent(body, PATHS[dialect], headers or {}, size)


def plain(dialect: str, text: str) -> Sent:
    return sent(dialect, asking(dialect, text))


def saying(dialect: str, text: str) -> Reply:
    """A whole answer."""
    if dialect == "openai_chat":
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return Reply(dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]}))
    block = {"type": "text", "text": text}
    return Reply(
        dumps({"id": "1", "type": "message", "role": "assistant", "model": "m", "content": [block], "stop_reason": "x"})
    )


def events(dialect: str, pieces: list[str]) -> list[tuple[str, object]]:
    """The events of a streamed answer that says `pieces`, each with its name, "" for none."""
    if dialect == "openai_chat":
        deltas: list[object] = [{"role": "assistant"}]
        deltas += [{"content": piece} for piece in pieces]
        said = [("", chunk(0, delta)) for delta in deltas]
        return [*said, ("", chunk(0, {}, "stop")), ("", "[DONE]")]
    start = {"id": "1", "type": "message", "role": "assistant", "model": "m", "content": []}
    values: list[dict[str, object]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    return [(str(value["type"]), value) for value in values]


def chunk(index: int, delta: object, finish: str | None = None, **more: object) -> dict[str, object]:
    choice = {"index": index, "delta": delta, "finish_reason": finish, **more}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def framed(events: list[tuple[str, object]], end: bytes = b"\n", space: bytes = b" ", between: bytes = b"") -> bytes:
    """Events as server-sent events."""
    out = b""
    for name, value in events:
        lines = [b"event:" + space + name.encode()] if name else []
        data = value.encode() if isinstance(value, str) else dumps(value)
        lines.append(b"data:" + space + data)
        out += between + end.join(lines) + end + end
    return out


def streaming(dialect: str, text: str, step: int = 5, size: int = 0) -> Reply:
    """A streamed answer in pieces of `step` characters."""
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    return Reply(framed(events(dialect, pieces)), "text/event-stream", size=size)


# What comes of it.


def judged(row: Row, dialect: str, text: str) -> None:
    """The attack is refused in this form, and harmless text meets what the row says."""
    assert refused(ask(row.make(dialect, text)))  # type: ignore[arg-type]
    if row.same is not None:
        harmless = ask(row.make(dialect, HARMLESS))  # type: ignore[arg-type]
        assert (passed(harmless), refused(harmless)) == (row.same, not row.same)


def ask(request: Sent, policy: Policy = STRICT) -> Conversation:
    """Play a request to its end."""
    talk = Conversation(policy, mode=request.mode, model=screen, wire=wire)
    headers = request_headers(request.path)
    headers.fields.update({":method": request.method, **request.headers})
    headers.fields = {name: value for name, value in headers.fields.items() if value}
    talk.feed(headers)
    if not talk.refused:
        talk.send(REQUEST, chunks(request.body, request.size), end=not request.trailers)
    if request.trailers and not talk.refused:
        talk.trailers(REQUEST)
    return talk


def answer(dialect: str, reply: Reply, policy: Policy = STRICT, *, mode: BodyMode = BodyMode.DUPLEX) -> Conversation:
    """Play an exchange whose request is harmless, to the end of its answer."""
    talk = Conversation(policy, mode=mode, model=screen, wire=wire)
    talk.request(plain(dialect, HARMLESS).body, path=PATHS[dialect])
    headers = response_headers(reply.content_type)
    headers.fields.update(reply.headers)
    talk.feed(headers)
    return talk.send(RESPONSE, chunks(reply.body, reply.size))


def refused(talk: Conversation) -> bool:
    """Whether the client was told no, before anything went upstream."""
    if talk.refused is None:
        return False
    assert 400 <= talk.refused.status < 600
    assert WORD.encode() not in talk.refused.body
    assert talk.record.outcome in ("block", "timeout")
    return True


def withheld(talk: Conversation) -> bool:
    """Whether an answer was refused, or stopped before the words were out."""
    saw = talk.client_saw()
    assert WORD.encode() not in saw
    told = [leaf for data in leaves.events(saw)[0] for leaf in leaves.spoken(data)]
    assert WORD not in "".join(leaf.text for leaf in told if leaf.names and leaf.names[-1] in SPOKEN)
    return talk.refused is not None or talk.record.outcome == "stop"


def passed(talk: Conversation, direction: object = REQUEST) -> bool:
    """Whether all of it went through, judged."""
    seen = talk.seen[direction]  # type: ignore[index]
    return talk.refused is None and bool(seen.body or seen.answers) and bool(seen.ended or seen.answers)
