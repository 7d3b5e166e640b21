"""Laws 1, 2, 3 and 10 over binary event streams, with a policy compiled from YAML: no frame of them is text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core.redact import placeholder
from safeguards_extproc.core.text import Edit
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import eventstream
from safeguards_extproc.wire.bedrock_stream import ConverseStream
from safeguards_extproc.wire.eventstream import Framer, Message, event, parse
from tests.faults.mutations import ADDRESS, MARKER
from tests.faults.witness import STRICT
from tests.playbook import REQUEST, Conversation, request_headers

pytestmark = pytest.mark.long

PATH = "/model/demo/converse-stream"
ASK = json.dumps({"messages": [{"role": "user", "content": [{"text": "hello"}]}]}).encode()
RUN = "a run of words that says nothing at all and is as long as a window "
WORDS = st.lists(st.sampled_from(["plain ", RUN, "ü字🌊 ", f"{ADDRESS} "]), min_size=1, max_size=8).map("".join)
CALLS = st.lists(st.tuples(st.booleans(), WORDS), min_size=1, max_size=4)


def written(blocks: list[tuple[bool, str]], size: int) -> Iterator[bytes]:
    """A streamed answer of texts and calls, in pieces of `size` characters."""

    def one(name: str, **body: Any) -> bytes:
        return event(name, json.dumps(body, ensure_ascii=False).encode())

    yield one("messageStart", role="assistant")
    for index, (call, text) in enumerate(blocks):
        if call:
            text = json.dumps({"note": text}, ensure_ascii=False)
            yield one(
                "contentBlockStart", start={"toolUse": {"toolUseId": "t", "name": "note"}}, contentBlockIndex=index
            )
        for at in range(0, len(text), size):
            piece = text[at : at + size]
            yield one(
                "contentBlockDelta",
                delta={"toolUse": {"input": piece}} if call else {"text": piece},
                contentBlockIndex=index,
            )
        yield one("contentBlockStop", contentBlockIndex=index)
    yield one("messageStop", stopReason="end_turn")
    yield one("metadata", usage={"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, metrics={"latencyMs": 1})


def played(stream: bytes, size: int = 0) -> Conversation:
    book = Conversation(STRICT, model=lambda _: {"screen.unsafe": 0.1}, wire=wire)
    head = request_headers(PATH)
    head.fields[":authority"] = "held.test"
    book.feed(head)
    book.send(REQUEST, [ASK])
    return book.response(stream, size, content_type=eventstream.MEDIA)


def messages(stream: bytes) -> list[Message]:
    """Every one of its frames is whole and has right sums."""
    framer = Framer()
    found = [parse(frame) for frame in framer.push(stream)]
    assert b"" == framer.finish()
    return found


def spoken(stream: bytes) -> dict[int, str]:
    """The text of each block, or a call's arguments."""
    said: dict[int, str] = {}
    for message in messages(stream):
        body = json.loads(message.payload)
        if message.name == "contentBlockDelta":
            delta, index = body["delta"], body["contentBlockIndex"]
            said[index] = said.get(index, "") + delta.get("text", delta.get("toolUse", {}).get("input", ""))
    return said


@settings(max_examples=25, deadline=None)
@given(blocks=CALLS, piece=st.sampled_from([3, 17, 400]), size=st.sampled_from([1, 7, 1000]))
def test_however_it_is_cut_addresses_are_redacted_and_nothing_else_changes(
    blocks: list[tuple[bool, str]], piece: int, size: int
) -> None:
    """Laws 1 and 10: the same bytes leave; every address in texts and calls is gone, calls still parse."""
    stream = b"".join(written(blocks, piece))
    whole = played(stream)
    assert whole.refused is None
    left = whole.client_saw()
    assert left == played(stream, size).client_saw()
    for index, text in spoken(left).items():
        assert ADDRESS not in text
        call, before = blocks[index]
        after = json.loads(text)["note"] if call else text
        assert before.replace(ADDRESS, placeholder("email")) == after
    if all(ADDRESS not in text for _, text in blocks):
        assert stream == left


@pytest.mark.interpreted
def test_an_edit_without_new_sums_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the payload alone is changed, and no client could read what left."""

    def careless(_: ConverseStream, frame: bytes, edits: Sequence[Edit]) -> bytes:
        return frame.replace(b"keller", b"******")

    monkeypatch.setattr(ConverseStream, "edit", careless)
    book = played(b"".join(written([(False, f"write to {ADDRESS} now")], 400)))
    with pytest.raises(MalformedBody, match="framing"):
        messages(book.client_saw())


@settings(max_examples=25, deadline=None)
@given(blocks=CALLS, bad=CALLS, piece=st.sampled_from([3, 17]), size=st.sampled_from([7, 1000]))
def test_a_forbidden_word_never_leaves_and_the_stream_ends_whole(
    blocks: list[tuple[bool, str]], bad: list[tuple[bool, str]], piece: int, size: int
) -> None:
    """Law 2: the answer up to a cleared place, then the dialect's end; no block of a call is left open or half."""
    stream = b"".join(written([*blocks, (bad[0][0], f"and {MARKER} so"), *bad], piece))
    book = played(stream, size)
    if book.refused is not None:
        assert 400 == book.refused.status
        return
    left = messages(book.client_saw())
    assert MARKER not in json.dumps(list(spoken(book.client_saw()).values()))
    stop = next(json.loads(message.payload) for message in left if message.name == "messageStop")
    assert ("guardrail_intervened", "metadata") == (stop["stopReason"], left[-1].name)
    for index, text in spoken(book.client_saw()).items():
        assert not blocks[index : index + 1] or not blocks[index][0] or json.loads(text)


def test_a_frame_with_a_wrong_sum_ends_the_stream() -> None:
    """Law 6: what no client would read the same is not passed on, where policy says so."""
    frames = list(written([(False, RUN * 8)], 20))
    broken = bytearray(b"".join(frames))
    broken[len(b"".join(frames[:20])) + 30] ^= 1
    book = played(bytes(broken), 50)
    assert "guardrail_intervened" in json.dumps([json.loads(each.payload) for each in messages(book.client_saw())])
