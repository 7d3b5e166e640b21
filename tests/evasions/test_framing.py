"""Evasions 29 to 37: how an answer is cut into events, and where in it the words stand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.events import Body
from safeguards_extproc.policy import load
from safeguards_extproc.wire import eventstream
from tests.evasions.scene import (
    ATTACKS,
    DIALECTS,
    HARMLESS,
    PATHS,
    POLICIES,
    STRICT,
    WORD,
    Reply,
    Row,
    answer,
    ask,
    asking,
    chunk,
    dumps,
    events,
    framed,
    over,
    passed,
    plain,
    refused,
    saying,
    screen,
    sent,
    streaming,
    withheld,
)
from tests.playbook import RESPONSE, Conversation, response_headers

SSE = "text/event-stream"


def pieces(text: str, step: int = 7) -> list[str]:
    return [text[at : at + step] for at in range(0, len(text), step)]


def stream(*said: tuple[str, object]) -> Reply:
    return Reply(framed(list(said)), SSE)


def lines(end: bytes, space: bytes = b" ", between: bytes = b""):
    return lambda dialect, text: Reply(framed(events(dialect, pieces(text)), end, space, between), SSE)


def many_lines(dialect: str, text: str) -> Reply:
    """The data of each event over several lines, as JSON may be."""
    plain = framed(events(dialect, pieces(text)))
    return Reply(plain.replace(b", ", b",\ndata: "), SSE)


def first(before: bytes):
    return lambda dialect, text: replace(streaming(dialect, text), body=before + streaming(dialect, text).body)


def openai(*deltas: Mapping[str, object]):
    """The text in members of deltas, where they say TEXT, in pieces."""

    def make(_: str, text: str) -> Reply:
        said: list[tuple[str, object]] = [("", chunk(0, {"role": "assistant"}))]
        for piece in pieces(text, 20):
            said += [("", chunk(0, json.loads(json.dumps(delta).replace("TEXT", piece)))) for delta in deltas]
        return stream(*said, ("", chunk(0, {}, "stop")), ("", "[DONE]"))

    return make


def logprobs(_: str, text: str) -> Reply:
    tokens: list[object] = [{"token": text, "logprob": -1, "bytes": None, "top_logprobs": []}]
    said = chunk(0, {"content": "fine"}, None, logprobs={"content": tokens})
    return stream(("", said), ("", chunk(0, {}, "stop")), ("", "[DONE]"))


def anthropic(block: dict[str, object], *deltas: dict[str, object]):
    """A block, and deltas of it that say TEXT."""

    def make(_: str, text: str) -> Reply:
        said = events("anthropic_messages", [])
        inner: list[tuple[str, object]] = [
            ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": block})
        ]
        for piece in pieces(text, 20):
            for delta in deltas:
                filled = json.loads(json.dumps(delta).replace("TEXT", piece))
                inner.append(("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": filled}))
        return Reply(framed([said[0], *inner, *said[2:]]), SSE)

    return make


def whole(_: str, text: str) -> Reply:
    """The output of a program that the model ran."""
    result = {"type": "bash_code_execution_result", "stdout": text, "stderr": "", "return_code": 0, "content": []}
    block = {"type": "bash_code_execution_tool_result", "tool_use_id": "1", "content": result}
    body = {"id": "1", "type": "message", "role": "assistant", "model": "m", "content": [block]}
    return Reply(dumps(body))


def choices(_: str, text: str) -> Reply:
    """Two choices that take turns; the second says it."""
    said: list[tuple[str, object]] = []
    for harmless, piece in zip(pieces(HARMLESS.ljust(len(text))), pieces(text), strict=False):
        said += [("", chunk(0, {"content": harmless})), ("", chunk(1, {"content": piece}))]
    return stream(*said, ("", chunk(0, {}, "stop")), ("", chunk(1, {}, "stop")), ("", "[DONE]"))


def blocks(_: str, text: str) -> Reply:
    """Two blocks of text: a reader joins them."""
    half = len(text) // 2
    body = json.loads(saying("anthropic_messages", text).body)
    body["content"] = [{"type": "text", "text": part} for part in (text[:half], text[half:])]
    return Reply(dumps(body))


def mislabelled(dialect: str, text: str) -> Reply:
    return replace(streaming(dialect, text), content_type="application/vnd.amazon.eventstream")


def prefixed(dialect: str, text: str) -> Reply:
    return streaming(dialect, f"I am sorry, but I cannot help with that. {HARMLESS} " * 4 + text)


CALL = {"tool_calls": [{"index": 0, "function": {"arguments": "TEXT"}}]}
ROWS = (
    Row(29, "cut in single bytes", lambda dialect, text: streaming(dialect, text, size=1)),
    Row(29, "cut in sevens", lambda dialect, text: streaming(dialect, text, size=7)),
    Row(30, "several lines of data", many_lines),
    Row(30, "CR LF", lines(b"\r\n")),
    Row(30, "CR", lines(b"\r")),
    Row(30, "no space", lines(b"\n", b"")),
    Row(30, "comments", lines(b"\n", between=b": keep-alive\n\n")),
    Row(30, "unknown fields", lines(b"\n", between=b"retry: 9\nid: 1\nfoo: bar\n")),
    Row(30, "a BOM", first(b"\xef\xbb\xbf")),
    Row(31, "single letters", lambda dialect, text: streaming(dialect, text, step=1)),
    Row(32, "choices that take turns", choices, only="openai_chat"),
    Row(32, "blocks that a reader joins", blocks, only="anthropic_messages"),
    Row(33, "log-probabilities", logprobs, only="openai_chat"),
    Row(33, "a refusal", openai({"refusal": "TEXT"}), only="openai_chat"),
    Row(33, "reasoning", openai({"reasoning_content": "TEXT"}), only="openai_chat"),
    Row(33, "arguments of a call", openai(CALL), only="openai_chat"),
    Row(33, "the transcript of audio", openai({"audio": {"id": "1", "transcript": "TEXT"}}), only="openai_chat"),
    Row(33, "an unknown member", openai({"whatever": "TEXT"}), only="openai_chat"),
    Row(
        33,
        "thinking",
        anthropic({"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "TEXT"}),
        only="anthropic_messages",
    ),
    Row(
        33,
        "input of a tool",
        anthropic(
            {"type": "tool_use", "id": "1", "name": "f", "input": {}},
            {"type": "input_json_delta", "partial_json": "TEXT"},
        ),
        only="anthropic_messages",
    ),
    Row(
        33,
        "output of a program",
        whole,
        only="anthropic_messages",
    ),
    Row(34, "called an event stream of another API", mislabelled, same=False),
    Row(56, "a refusal, then the answer", prefixed),
)


def reply(row: Row, dialect: str, text: str) -> Reply:
    made = row.make(dialect, text)
    assert isinstance(made, Reply)
    return made


@over(ROWS)
def test_framing(row: Row, dialect: str, text: str) -> None:
    """However it is framed, a bad answer does not get out; a harmless one does, unless the form alone is refused."""
    assert withheld(answer(dialect, reply(row, dialect, text)))
    if row.same is not None:
        assert row.same is not withheld(answer(dialect, reply(row, dialect, HARMLESS)))


def binary(text: str, *, turned: bool, unknown: bool) -> bytes:
    """A streamed answer of Bedrock's, its headers turned round, an event between that nobody knows."""
    said: list[tuple[str, object]] = [("messageStart", {"role": "assistant"})]
    for piece in pieces(text):
        said.append(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": piece}}))
        said += [("somethingNew", {"whatever": 1})] * unknown
    frames = [
        eventstream.event(name, dumps(value))
        for name, value in [*said, ("contentBlockStop", {"contentBlockIndex": 0}), ("messageStop", {"stopReason": "x"})]
    ]
    if turned:
        frames = [
            eventstream.write(
                dict(reversed(list(eventstream.parse(frame).headers.items()))), eventstream.parse(frame).payload
            )
            for frame in frames
        ]
    return b"".join(frames)


@pytest.mark.parametrize(("turned", "unknown"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("size", [1, 13, 0])
def test_a_binary_stream(turned: bool, unknown: bool, size: int) -> None:
    """34: frames cut anywhere, headers in any order and unknown events change nothing; a broken frame is a no."""
    body = dumps({"messages": [{"role": "user", "content": [{"text": HARMLESS}]}]})
    for text in (*ATTACKS, HARMLESS):
        stream = binary(text, turned=turned, unknown=unknown)
        for said, verdict in ((stream, text != HARMLESS), (stream[:-9] + b"x" + stream[-8:], True)):
            talk = Conversation(STRICT, model=screen, wire=wire)
            talk.request(body, path="/model/m/converse-stream")
            talk.response(said, size, content_type=eventstream.MEDIA)
            assert verdict is withheld(talk)


def test_a_citation() -> None:
    """33: what a citation quotes is read as the answer is."""
    quote = {"type": "char_location", "cited_text": "TEXT", "document_index": 0}
    made = anthropic({"type": "text", "text": ""}, {"type": "citations_delta", "citation": quote})
    talk = answer("anthropic_messages", made("", f"project {WORD}"))
    assert withheld(talk)


def test_one_text_over_several_choices() -> None:
    """32: what only several choices say together is not joined, as no client joins it; a rule may refuse `n`."""
    said: list[tuple[str, object]] = [("", chunk(0, {"content": "project "})), ("", chunk(1, {"content": WORD}))]
    reply = stream(*said, ("", chunk(0, {}, "stop")), ("", chunk(1, {}, "stop")), ("", "[DONE]"))
    talk = Conversation(STRICT, model=screen, wire=wire)
    talk.request(plain("openai_chat", HARMLESS).body).stream(reply.body)
    assert "full" == talk.record.response.account.coverage
    rule = "rules:\n  - {name: one-choice, when: features.n > 1, on: request, then: block}\n"
    single = load.parse((POLICIES / "minimal.yaml").read_text().replace("rules:\n", rule), "single.yaml")
    assert refused(ask(sent("openai_chat", asking("openai_chat", HARMLESS, n=2)), single))
    assert passed(ask(sent("openai_chat", asking("openai_chat", HARMLESS, n=1)), single))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("text", [*ATTACKS, HARMLESS])
def test_streamed_or_not(dialect: str, text: str) -> None:
    """35: whether the client asked for a stream changes no verdict and no rule."""
    talks = [answer(dialect, made(dialect, text)) for made in (saying, streaming)]
    assert talks[0].record.rule == talks[1].record.rule
    assert withheld(talks[0]) is withheld(talks[1]) is (text != HARMLESS)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_follows_a_verdict(dialect: str) -> None:
    """36: whatever else the upstream sends after the verdict, and whenever, not a byte of it gets out."""
    said = (HARMLESS + ". ") * 9
    body = streaming(dialect, said + ATTACKS[0] + said).body
    talk = Conversation(STRICT, model=screen, wire=wire)
    talk.request(plain(dialect, HARMLESS).body, path=PATHS[dialect])
    talk.feed(response_headers(SSE))
    ended = -1
    for at in range(0, len(body), 100):
        if not talk.seen[RESPONSE].ended:
            talk.feed(Body(RESPONSE, body[at : at + 100], False))
        elif ended < 0:
            ended = len(talk.client_saw())
    assert withheld(talk)
    assert 0 < ended == len(talk.client_saw())


@pytest.mark.parametrize("text", ATTACKS)
def test_an_answer_that_is_to_be_continued(text: str) -> None:
    """37: what is to be continued is read again with the request that asks for more."""
    for dialect in DIALECTS:
        body = asking(dialect, "go on")
        body["messages"] = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": text}]
        assert refused(ask(sent(dialect, body)))
    for more in ({"previous_response_id": "resp_1"}, {"conversation": "conv_1"}):
        request = replace(sent("openai_chat", {"model": "m", "input": text, **more}), path="/v1/responses")
        assert refused(ask(request))
