"""Laws 1, 2, 3 and 10 over streams that repeat themselves: every text of an OpenAI response is told four times."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core.redact import placeholder
from safeguards_extproc.wire import sse
from safeguards_extproc.wire.responses_stream import ResponseStream
from tests.contract.wire_contract import frames
from tests.faults.mutations import ADDRESS, MARKER
from tests.faults.witness import STRICT
from tests.playbook import REQUEST, Conversation, request_headers
from tests.wire.sdk_shapes import strings

pytestmark = pytest.mark.long

ASK = b'{"model":"demo","input":"hello","stream":true}'
RUN = "a run of words that says nothing at all and is as long as a window "
WORDS = st.lists(st.sampled_from(["plain ", RUN, "ü字🌊 ", f"{ADDRESS} "]), min_size=1, max_size=8).map("".join)
ITEMS = st.lists(st.tuples(st.sampled_from(["message", "reasoning", "call"]), WORDS), min_size=1, max_size=4)
FORMAT = wire.FORMATS["openai_responses"]


def item(index: int, kind: str, text: str) -> dict[str, Any]:
    if kind == "call":
        arguments = json.dumps({"note": text}, ensure_ascii=False)
        return {"id": f"i{index}", "type": "function_call", "call_id": "c", "name": "note", "arguments": arguments}
    part: dict[str, Any] = {"type": "reasoning_text", "text": text}
    if kind == "message":
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        return {"id": f"i{index}", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {"id": f"i{index}", "type": "reasoning", "summary": [], "content": [part]}


def whole(items: list[tuple[str, str]]) -> dict[str, Any]:
    output = [item(index, kind, text) for index, (kind, text) in enumerate(items)]
    return {"id": "resp_1", "object": "response", "status": "completed", "model": "demo", "output": output}


def written(items: list[tuple[str, str]], size: int) -> bytes:
    """A streamed answer, in pieces of `size` characters."""
    return b"".join(
        sse.event(body["type"], json.dumps({**body, "sequence_number": number}, ensure_ascii=False).encode())
        for number, body in enumerate(events(items, size))
    )


def events(items: list[tuple[str, str]], size: int) -> Iterator[dict[str, Any]]:
    answer = whole(items)
    yield {"type": "response.created", "response": {**answer, "status": "in_progress", "output": []}}
    for index, done in enumerate(answer["output"]):
        at = {"output_index": index}
        empty: dict[str, Any] = {"arguments": ""} if "arguments" in done else {"content": []}
        yield {"type": "response.output_item.added", **at, "item": {**done, **empty}}
        if "arguments" in done:
            stem, member, text = "response.function_call_arguments", "arguments", done["arguments"]
        else:
            (part,) = done["content"]
            stem, member, text = "response." + part["type"], "text", part["text"]
            at["content_index"] = 0
            yield {"type": "response.content_part.added", **at, "part": {**part, "text": ""}}
        for start in range(0, len(text), size):
            yield {"type": stem + ".delta", **at, "delta": text[start : start + size]}
        yield {"type": stem + ".done", **at, member: text}
        if "content" in done:
            yield {"type": "response.content_part.done", **at, "part": done["content"][0]}
        yield {"type": "response.output_item.done", "output_index": index, "item": done}
    yield {"type": "response.completed", "response": answer}


def played(body: bytes, size: int = 0, media: str = sse.MEDIA) -> Conversation:
    book = Conversation(STRICT, model=lambda _: {"screen.unsafe": 0.1}, wire=wire)
    head = request_headers("/v1/responses")
    head.fields[":authority"] = "held.test"
    book.feed(head)
    book.send(REQUEST, [ASK])
    return book.response(body, size, content_type=media)


def bodies(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(sse.fields(frame)[1]) for frame in frames(FORMAT, stream)]


def tellings(stream: bytes) -> list[list[str]]:
    """Of each item, its text as deltas, done event, done item and last event tell it."""
    told: list[list[str]] = []
    seen = bodies(stream)
    for index, last in enumerate(seen[-1]["response"]["output"]):
        own = [body for body in seen if body.get("output_index") == index]
        deltas = "".join(body["delta"] for body in own if body["type"].endswith(".delta"))
        done = [str(body[key]) for body in own for key in ("text", "arguments") if key in body]
        items = [body["item"] for body in own if body["type"].endswith("item.done")]
        told.append([deltas, *done, *(text_of(found) for found in (*items, last))])
    return told


def text_of(found: dict[str, Any]) -> str:
    text: str = found["arguments"] if "arguments" in found else found["content"][0]["text"]
    return text


@settings(max_examples=25, deadline=None)
@given(items=ITEMS, piece=st.sampled_from([3, 17, 400]), size=st.sampled_from([1, 7, 1000]))
def test_every_telling_is_redacted_alike(items: list[tuple[str, str]], piece: int, size: int) -> None:
    """Laws 1, 3 and 10: the same bytes leave however they are cut; four tellings agree, and with the whole answer."""
    stream = written(items, piece)
    book = played(stream)
    assert book.refused is None
    left = book.client_saw()
    assert left == played(stream, size).client_saw()
    for (kind, before), told in zip(items, tellings(left), strict=True):
        assert len(told) == 4
        assert len(set(told)) == 1
        after = json.loads(told[0])["note"] if kind == "call" else told[0]
        assert before.replace(ADDRESS, placeholder("email")) == after
    plain = played(json.dumps(whole(items)).encode(), media="application/json")
    assert json.loads(plain.client_saw())["output"] == bodies(left)[-1]["response"]["output"]
    assert plain.record.response.redactions == book.record.response.redactions
    if all(ADDRESS not in text for _, text in items):
        assert stream == left


@pytest.mark.interpreted
def test_a_replica_that_is_forgotten_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: deltas are edited, and what repeats them goes as it came."""
    edit = ResponseStream.edit
    monkeypatch.setattr(ResponseStream, "edit", lambda self, raw, edits: edit(self, raw, edits) if edits else raw)
    left = played(written([("message", f"write to {ADDRESS} now")], 5)).client_saw()
    assert len(set(tellings(left)[0])) == 2


@settings(max_examples=25, deadline=None)
@given(before=ITEMS, bad=ITEMS, piece=st.sampled_from([3, 17]), size=st.sampled_from([7, 1000]))
def test_a_forbidden_word_never_leaves_and_the_stream_ends_whole(
    before: list[tuple[str, str]], bad: list[tuple[str, str]], piece: int, size: int
) -> None:
    """Law 2: the answer up to a cleared place, then the dialect's end; no call is left that is not as it was."""
    items = [*before, (bad[0][0], f"and {MARKER} so"), *bad]
    book = played(written(items, piece), size)
    if book.refused is not None:
        assert book.refused.status == 400
        return
    left = bodies(book.client_saw())
    assert MARKER not in "\n".join(strings(left))
    last = left[-1]
    assert last["type"] == "response.incomplete"
    assert [body["sequence_number"] for body in left] == list(range(len(left)))
    for found in last["response"]["output"]:
        if found["type"] == "function_call":
            assert "note" in json.loads(found["arguments"])
