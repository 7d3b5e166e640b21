"""What was taken out of a request comes back in its answer, in every dialect, however it is cut and written.

An answer is written twice: as an upstream would that knows placeholders only, and as one that knew what they stand
for. A client that is behind the filter must read of the first what it would have read of the second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core import masking as masking_module
from safeguards_extproc.core.placeholders import Numbering, Originals, Writing
from safeguards_extproc.core.text import Channel, Kind
from safeguards_extproc.policy import load
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.records.encode import to_json
from safeguards_extproc.wire import eventstream, sse
from safeguards_extproc.wire.responses_stream import ResponseStream
from tests.contract.wire_contract import chunked
from tests.laws import test_laws_on_bedrock as bedrock
from tests.laws import test_laws_on_formats as formats
from tests.laws import test_laws_on_responses as responses
from tests.playbook import REQUEST, Conversation, chunks, request_headers

pytestmark = pytest.mark.long

POLICY = load.parse(
    """
version: 1
name: restoring
detectors:
  pii: {kind: pii, entities: [email]}
  lists: {kind: patterns, lists: {api_key: {regex: ['KEY\\([^)]*\\)']}}}
rules:
  - {name: back, when: scores.pii.email > 0.5 || scores.lists.api_key > 0, on: request, then: redact,
     entities: [email, api_key], placeholder: numbered, restore: true}
routes:
  - {name: all, window: {first: 30, largest: 120, overlap: 40}}
""",
    "restoring.yaml",
)
VALUES = ("tom.keller@example.com", "ann@example.org", 'KEY(a "b"\n\\c)', "KEY(second)")
"""What is taken out; the keys need escapes where they stand in JSON."""

NAMES = {"<EMAIL_1>": VALUES[0], "<API_KEY_1>": VALUES[2], "<EMAIL_2>": VALUES[1], "<API_KEY_2>": VALUES[3]}
ASK = f"{VALUES[0]} has {VALUES[2]}, and {VALUES[1]} has {VALUES[3]}. Again: {VALUES[0]}"
RUN = "a run of words that says nothing at all and is as long as a window "

words = st.lists(
    st.sampled_from([*NAMES, *NAMES, "plain ", RUN, "ü字🌊 ", "<", "<EMAIL_", "<EMAIL_3> ", "\\", '"', "\n"]),
    min_size=1,
    max_size=9,
).map("".join)
answers = st.lists(st.tuples(st.sampled_from(["text", "call"]), words), min_size=1, max_size=3)
Said = list[tuple[str, str]]

CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"

quick = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)
hunting = settings(quick, max_examples=400, phases=[Phase.generate])


def meant(text: str) -> str:
    """The text with what placeholders stand for."""
    return re.sub("|".join(map(re.escape, NAMES)), lambda found: NAMES[found[0]], text)


@dataclass(frozen=True)
class Dialect:
    """How an API asks, answers whole, and streams in pieces of some characters."""

    name: str
    path: str
    streamed_path: str
    ask: Callable[[str], dict[str, Any]]
    whole: Callable[[Said], dict[str, Any]]
    stream: Callable[[Said, int], bytes]
    media: str = sse.MEDIA


def _said(dialect: str, said: Said, size: int = 0) -> formats.Said:
    kinds = {"text": "content" if dialect == "openai_chat" else "text", "call": "call"}
    parts = [formats.Part(number, kinds[kind], text) for number, (kind, text) in enumerate(said)]
    return formats.Said(dialect, "", tuple(parts), formats.Style(size=size))


def _items(said: Said) -> list[tuple[str, str]]:
    return [("message" if kind == "text" else kind, text) for kind, text in said]


def _converse(said: Said) -> dict[str, Any]:
    content = [
        {"text": text} if kind == "text" else {"toolUse": {"toolUseId": "t", "name": "note", "input": {"note": text}}}
        for kind, text in said
    ]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    }


def _gemini(parts: list[dict[str, Any]], **last: Any) -> dict[str, Any]:
    return {"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, **last}], "modelVersion": "m"}


def _gemini_parts(said: Said, size: int) -> Iterator[dict[str, Any]]:
    for kind, text in said:
        if kind == "call":
            yield {"functionCall": {"name": "note", "args": {"note": text}}}
        else:
            yield from ({"text": text[at : at + size]} for at in range(0, len(text), size))


def _gemini_stream(said: Said, size: int) -> bytes:
    bodies = [_gemini([part]) for part in _gemini_parts(said, size)] + [_gemini([], finishReason="STOP")]
    return b"".join(sse.event("", json.dumps(body).encode()) for body in bodies)


def _gemini_array(said: Said, size: int) -> bytes:
    events = _gemini_stream(said, size).split(b"\n\n")[:-1]
    return b"[" + b",\r\n".join(event.removeprefix(b"data: ") for event in events) + b"]"


def _invoke_stream(said: Said, size: int) -> bytes:
    events = _said("anthropic_messages", said, size).stream().split(b"\n\n")[:-1]
    return b"".join(chunked(event[event.index(b"data:") + 5 :].strip()) for event in events)


def _chat_ask(text: str) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}


DIALECTS = [
    Dialect(
        "openai_chat",
        "/v1/chat/completions",
        "/v1/chat/completions",
        _chat_ask,
        lambda said: json.loads(_said("openai_chat", said).whole()),
        lambda said, size: _said("openai_chat", said, size).stream(),
    ),
    Dialect(
        "anthropic_messages",
        "/v1/messages",
        "/v1/messages",
        _chat_ask,
        lambda said: json.loads(_said("anthropic_messages", said).whole()),
        lambda said, size: _said("anthropic_messages", said, size).stream(),
    ),
    Dialect(
        "openai_responses",
        "/v1/responses",
        "/v1/responses",
        lambda text: {"model": "m", "input": text},
        lambda said: responses.whole(_items(said)),
        lambda said, size: responses.written(_items(said), size),
    ),
    Dialect(
        "bedrock_converse",
        "/model/m/converse",
        "/model/m/converse-stream",
        lambda text: {"messages": [{"role": "user", "content": [{"text": text}]}]},
        _converse,
        lambda said, size: b"".join(bedrock.written([(kind == "call", text) for kind, text in said], size)),
        eventstream.MEDIA,
    ),
    Dialect(
        "gemini",
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        lambda text: {"contents": [{"role": "user", "parts": [{"text": text}]}]},
        lambda said: _gemini(list(_gemini_parts(said, 1 << 20)), finishReason="STOP"),
        _gemini_stream,
    ),
    Dialect(
        "gemini_array",
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent",
        lambda text: {"contents": [{"role": "user", "parts": [{"text": text}]}]},
        lambda said: _gemini(list(_gemini_parts(said, 1 << 20)), finishReason="STOP"),
        _gemini_array,
        "application/json",
    ),
    Dialect(
        "bedrock_invoke",
        f"/model/{CLAUDE}/invoke",
        f"/model/{CLAUDE}/invoke-with-response-stream",
        _chat_ask,
        lambda said: json.loads(_said("anthropic_messages", said).whole()),
        _invoke_stream,
        eventstream.MEDIA,
    ),
]
everywhere = pytest.mark.parametrize("dialect", DIALECTS, ids=[dialect.name for dialect in DIALECTS])


def played(dialect: Dialect, answer: bytes, *, streamed: bool, size: int = 0, ask: str = ASK) -> Conversation:
    book = Conversation(POLICY, wire=wire)
    book.feed(request_headers(dialect.streamed_path if streamed else dialect.path))
    book.send(REQUEST, chunks(json.dumps(dialect.ask(ask)).encode(), size))
    return book.response(answer, size, content_type=dialect.media if streamed else "application/json")


def written(dialect: Dialect, said: Said, piece: int) -> bytes:
    """Streamed in pieces, or whole if a piece is nothing."""
    return dialect.stream(said, piece) if piece else json.dumps(dialect.whole(said)).encode()


def reading(dialect: Dialect, answer: bytes, *, streamed: bool) -> dict[Channel, Any]:
    """What a client reads: the text of each channel, of a call what its arguments mean."""
    path = dialect.streamed_path if streamed else dialect.path
    format_, _ = wire.resolve("auto", {":method": "POST", ":path": path})
    said: dict[Channel, str] = {}
    if streamed:
        framer, reader = format_.framer(dialect.media), format_.stream()
        assert framer is not None
        segments = [segment for frame in framer.push(answer) for segment in reader.read(frame).segments]
    else:
        segments = list(format_.read_response(answer, 200).segments)
    for segment in segments:
        said[segment.channel] = said.get(segment.channel, "") + segment.text
    return {channel: _arguments(text) if channel[0] is Kind.TOOL_CALL else text for channel, text in said.items()}


def _arguments(text: str) -> Any:
    name, _, arguments = text.partition("\n")
    return (name, json.loads(arguments)) if arguments.startswith("{") else text


def law_of_return(dialect: Dialect, tries: settings = quick) -> None:
    @tries
    @given(answers, st.sampled_from([0, 1, 3, 17, 400]), st.sampled_from([1, 7, 1000]))
    def law(said: Said, piece: int, size: int) -> None:
        answer = written(dialect, said, piece)
        streamed = bool(piece)
        book = played(dialect, answer, streamed=streamed)
        after = [(kind, meant(text)) for kind, text in said]
        assert all(value not in book.upstream_saw().decode() for value in VALUES[:2])
        saw = book.client_saw()
        expected = reading(dialect, written(dialect, after, piece), streamed=streamed)
        assert expected == reading(dialect, saw, streamed=streamed)
        assert saw == played(dialect, answer, streamed=streamed, size=size).client_saw()
        counted = sum(text.count(name) for _, text in said for name in NAMES)
        assert counted == sum(book.record.response.restored.values())
        if not counted:
            assert answer == saw

    law()


@everywhere
def test_a_client_reads_its_own_words(dialect: Dialect) -> None:
    """Texts and calls, whole and streamed; chunking changes no byte, and an answer without placeholders keeps all."""
    law_of_return(dialect)


@everywhere
@quick
@given(
    st.lists(st.sampled_from([*VALUES, "plain ", RUN, "<EMAIL_1>", "<EMAIL_2> ", "ü字🌊 "]), min_size=1, max_size=9),
    st.sampled_from([0, 1, 3, 17, 400]),
)
def test_an_echo_is_what_was_said(dialect: Dialect, asked: list[str], piece: int) -> None:
    """An upstream that repeats the request gives the client its own text back, with what it wrote that looked like a
    placeholder of ours."""
    ask = " ".join(asked)
    upstream = json.loads(played(dialect, b"{}", streamed=False, ask=ask).upstream_saw())
    (heard,) = [text for text in _strings(upstream) if len(text) > 4] or [ask]
    for kind in ("text", "call"):
        book = played(dialect, written(dialect, [(kind, heard)], piece), streamed=bool(piece), ask=ask)
        expected = reading(dialect, written(dialect, [(kind, ask)], piece), streamed=bool(piece))
        assert expected == reading(dialect, book.client_saw(), streamed=bool(piece))


def test_a_conversation_keeps_its_numbers() -> None:
    """A client that sends its history again, with what it read: the upstream reads again what it read and wrote."""
    dialect = DIALECTS[0]
    first = played(dialect, written(dialect, [("text", "I told <EMAIL_2> of <API_KEY_1>.")], 3), streamed=True)
    (answer,) = reading(dialect, first.client_saw(), streamed=True).values()
    (asked,) = json.loads(first.upstream_saw())["messages"]
    more = {"role": "user", "content": f"And new@example.net? Not {VALUES[0]}."}
    history = [*_chat_ask(ASK)["messages"], {"role": "assistant", "content": answer}, more]
    second = Conversation(POLICY, wire=wire)
    second.feed(request_headers())
    second.send(REQUEST, [json.dumps({"model": "m", "messages": history}).encode()])
    assert [
        asked,
        {"role": "assistant", "content": "I told <EMAIL_2> of <API_KEY_1>."},
        {"role": "user", "content": "And <EMAIL_3>? Not <EMAIL_1>."},
    ] == json.loads(second.upstream_saw())["messages"]


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _strings(item)
        case list():
            for item in value:
                yield from _strings(item)


@quick
@given(said=answers, piece=st.sampled_from([3, 17]))
def test_every_telling_is_restored_alike(said: Said, piece: int) -> None:
    """OpenAI's Responses tell a text four times; all four are what the client said."""
    dialect = DIALECTS[2]
    saw = played(dialect, written(dialect, said, piece), streamed=True).client_saw()
    for (kind, text), told in zip(said, responses.tellings(saw), strict=True):
        assert 4 == len(told)
        assert 1 == len(set(told))
        assert meant(text) == (json.loads(told[0])["note"] if kind == "call" else told[0])


@everywhere
def test_what_else_an_answer_says_stays(dialect: Dialect) -> None:
    """Usage, ids and reasons are not touched."""
    body = {**dialect.whole([("text", "to <EMAIL_1>")]), "usage": {"total_tokens": 7, "of": ["<EMAIL_"]}}
    saw = json.loads(played(dialect, json.dumps(body).encode(), streamed=False).client_saw())
    assert saw == {**dialect.whole([("text", f"to {VALUES[0]}")]), "usage": body["usage"]}


SHOP = """
version: 1
name: shop
detectors:
  pii: {kind: pii, entities: [email]}
  lists: {kind: patterns, lists: {bad: {keywords: [gunpowder]}}}
rules:
  - {name: back, when: scores.pii.email > 0.5, on: request, then: redact, entities: [email], placeholder: numbered,
     restore: true}
  - {name: bad, when: scores.lists.bad > 0, on: response, then: drop}
apis:
  - name: search
    match: {paths: [/search]}
    request: {texts: [$.query]}
    response: {items: {path: $.hits, id: "@.id", texts: ["@.title"], count: [$.total]}}
"""


def test_an_api_of_ones_own_is_restored() -> None:
    """Items that stay get their values back, beside one that is dropped."""
    titles = ["for <EMAIL_1>", "gunpowder for <EMAIL_1>", "<EMAIL_2>, <EMAIL_1>"]
    hits = [{"id": str(at), "title": title} for at, title in enumerate(titles)]
    book = Conversation(load.parse(SHOP, "shop.yaml"), wire=wire)
    book.request(json.dumps({"query": f"mail of {VALUES[0]}"}).encode(), path="/search")
    book.response(json.dumps({"hits": hits, "total": 3}).encode())
    assert {"query": "mail of <EMAIL_1>"} == json.loads(book.upstream_saw())
    kept = [{"id": "0", "title": f"for {VALUES[0]}"}, {"id": "2", "title": f"<EMAIL_2>, {VALUES[0]}"}]
    assert {"hits": kept, "total": 2} == json.loads(book.client_saw())
    assert {"email": 2} == book.record.response.restored


def test_an_error_is_restored() -> None:
    """A provider that repeats in its error what it was sent."""
    body = json.dumps({"error": {"message": "cannot read <EMAIL_1>", "type": "invalid_request_error"}}).encode()
    book = Conversation(POLICY, wire=wire)
    book.feed(request_headers())
    book.send(REQUEST, [json.dumps(_chat_ask(ASK)).encode()])
    book.response(body, status=400)
    assert f"cannot read {VALUES[0]}" == json.loads(book.client_saw())["error"]["message"]


def test_arguments_that_a_model_wrote_for_the_web_are_restored() -> None:
    """Brackets escaped in the arguments, and those in the event."""
    arguments = r'{"note": "\u003cAPI_KEY_1\u003e"}'
    delta = {"tool_calls": [{"index": 0, "function": {"name": "note", "arguments": arguments}}]}
    chunk = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": "tool_calls"}]}
    stream = sse.event("", json.dumps(chunk).encode()) + sse.event("", b"[DONE]")
    saw = played(DIALECTS[0], stream.replace(b"<", rb"\u003c"), streamed=True).client_saw()
    assert {"note": VALUES[2]} == reading(DIALECTS[0], saw, streamed=True)[Kind.TOOL_CALL, "0.0"][1]


def test_what_the_provider_remembers_is_not_mixed_up() -> None:
    """Where earlier turns are kept by the provider, its placeholders may stand for something else: marks it is."""
    book = Conversation(load.parse(FLAGGING, "flagging.yaml"), wire=wire)
    book.feed(request_headers("/v1/responses"))
    ask = {"model": "m", "previous_response_id": "resp_1", "input": f"I am {VALUES[0]}"}
    book.send(REQUEST, [json.dumps(ask).encode()])
    answer = json.dumps(responses.whole([("message", "You said <EMAIL_1>.")])).encode()
    book.response(answer)
    assert "I am [REDACTED:EMAIL]" == json.loads(book.upstream_saw())["input"]
    assert answer == book.client_saw()


FLAGGING = """
version: 1
name: flagging
detectors: {pii: {kind: pii, entities: [email]}}
rules:
  - {name: back, when: scores.pii.email > 0.5, then: redact, entities: [email], placeholder: numbered, restore: true}
uninspectable: {unread: flag}
"""


@everywhere
def test_no_value_is_told_to_anyone_else(dialect: Dialect) -> None:
    """Law 9: a record, and what the exchange and its effects say of themselves, hold no word of it."""
    book = played(dialect, dialect.stream([("text", "<EMAIL_1> <API_KEY_1>")], 3), streamed=True)
    told = [to_json(book.record).decode(), repr(book.exchange), *map(repr, book.log)]
    assert not any(value in text for text in told for value in ("tom.keller", "ann@", "KEY("))


def bites(law: Callable[[], None]) -> None:
    with pytest.raises(AssertionError):
        law()


@pytest.mark.interpreted
def test_a_beginning_waits_whatever_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that holds nothing back itself; and planted: nothing waits for the rest of a placeholder."""
    monkeypatch.setattr(CompiledPolicy, "tail", lambda self, text: 0)
    law_of_return(DIALECTS[1])
    monkeypatch.setattr(Originals, "tail", lambda self, text, least=0: least)
    bites(lambda: law_of_return(DIALECTS[1], hunting))


@pytest.mark.interpreted
def test_arguments_without_escapes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: what is put back into a call is not escaped."""
    monkeypatch.setattr(Writing, "is_json", lambda self, segment: False)
    with pytest.raises((AssertionError, ValueError)):
        law_of_return(DIALECTS[0], hunting)


@pytest.mark.interpreted
def test_a_replica_that_keeps_the_placeholder_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: deltas are restored, and what repeats them goes as it came."""
    edit = ResponseStream.edit
    monkeypatch.setattr(ResponseStream, "edit", lambda self, raw, edits: edit(self, raw, edits) if edits else raw)
    bites(test_every_telling_is_restored_alike)


@pytest.mark.interpreted
def test_a_number_that_the_client_uses_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: numbers are given without a look at what the client wrote."""
    monkeypatch.setattr(masking_module, "Numbering", lambda texts: Numbering(()))
    asked = f"{VALUES[0]} is not <EMAIL_1>"
    dialect = DIALECTS[0]
    heard = json.loads(played(dialect, b"{}", streamed=False, ask=asked).upstream_saw())["messages"][0]["content"]
    book = played(dialect, written(dialect, [("text", heard)], 0), streamed=False, ask=asked)
    assert asked not in book.client_saw().decode()
