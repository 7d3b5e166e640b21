"""A streamed chat completion: what each chunk says, what closes, and how it ends early."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc.core.text import Edit, Kind, Refusal, Segment
from safeguards_extproc.wire import sse
from safeguards_extproc.wire.openai_stream import ChatStream, edit_choices
from tests.contract.wire_contract import texts

NO = Refusal("policy", "Not that.", "harm", "e1")


def frame(delta: dict[str, Any], index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 5, "model": "demo", "choices": [choice]}
    return b"data: " + json.dumps({**body, **more}).encode() + b"\n\n"


def call(index: int, name: str = "", arguments: str = "") -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"name": name, "arguments": arguments}}]}


def events(stream: bytes) -> list[Any]:
    data = [sse.fields(event)[1] for event in sse.Framer().push(stream)]
    return [item.decode() if item == b"[DONE]" else json.loads(item) for item in data]


def test_a_delta_is_read_on_its_choices_channel() -> None:
    """The common case, and the same with a role, a usage report and an unknown member beside it."""
    reader = ChatStream()
    for delta in ({"content": "a"}, {"role": "assistant", "content": "b"}, {"content": "c", "more": "d"}):
        reading = reader.read(frame(delta, 1, usage=None))
        assert texts(reading.segments)[(Kind.CONTENT, "1")] == delta["content"]
    assert texts(reading.segments)[(Kind.OTHER, "1")] == "d"


def test_a_finished_choice_closes_its_channels_and_no_others() -> None:
    """Evasion 32: two choices end one after the other; text after the end opens the channel anew."""
    reader = ChatStream()
    for index in (0, 1, 10):
        reader.read(frame({"content": "x"}, index))
    reader.read(frame({"reasoning_content": "y"}, 1))
    assert reader.read(frame({}, 1, "stop")).closed == [(Kind.CONTENT, "1"), (Kind.REASONING, "1")]
    assert reader.read(frame({}, 1, "stop")).closed == []
    reader.read(frame({"content": "more"}, 1))
    last = reader.read(b"data: [DONE]\n\n")
    assert last.finished
    assert sorted(last.closed) == [(Kind.CONTENT, "0"), (Kind.CONTENT, "1"), (Kind.CONTENT, "10")]


def test_a_name_that_is_repeated_does_not_part_the_arguments() -> None:
    """Some servers send it with every delta; a client joins the arguments without it."""
    reader = ChatStream()
    said: list[Segment] = []
    for piece in ('{"cmd": "rm', " -rf", ' /"}'):
        said += reader.read(frame(call(0, "shell", piece))).segments
    said += reader.read(frame({}, 0, "tool_calls")).segments
    expected = {(Kind.TOOL_CALL, "0.0"): 'shell\n{"cmd": "rm -rf /"}', (Kind.TOOL_CALL, "0.0.aside"): "shell\nshell\n"}
    assert expected == texts(said)


def test_calls_close_with_their_choice() -> None:
    """An upstream may interleave the pieces of its calls: none is whole before the choice is."""
    reader = ChatStream()
    assert reader.read(frame({"content": "x"})).closed == ()
    assert reader.read(frame(call(0, "f"))).closed == []
    assert reader.read(frame(call(1, "g"))).closed == []
    assert reader.read(frame(call(0, "", "{}"))).closed == []
    assert set(reader.read(frame({}, finish="tool_calls")).closed) == {
        (Kind.CONTENT, "0"),
        (Kind.TOOL_CALL, "0.0"),
        (Kind.TOOL_CALL, "0.1"),
    }


@pytest.mark.parametrize(
    "data",
    [
        b": ping\n\n",
        b"\n",
        b"event: x\n\n",
        b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n',
        frame({}),
        frame({"content": ""}),
    ],
)
def test_chunks_without_text_say_nothing(data: bytes) -> None:
    """Comments, pings, Azure's first chunk and the usage report."""
    reading = ChatStream().read(data)
    assert (list(reading.segments), list(reading.closed), reading.finished, reading.unread) == ([], [], False, "")


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"{", "syntax"), (b"[]", "shape"), (b'{"a":1,"a":1}', "duplicate-key"), (b'"\\ud800"', "surrogate")],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    """A frame is not an exception."""
    assert ChatStream().read(b"data: " + data + b"\n\n").unread == reason


def test_media_is_named_as_in_a_whole_answer() -> None:
    """Law 3: policy is asked of it either way."""
    reading = ChatStream().read(frame({"audio": {"data": "UklGRg==", "transcript": "Hello."}}))
    assert ("audio", {(Kind.CONTENT, "0.audio"): "Hello."}) == (reading.unread, texts(reading.segments))


def test_a_reason_to_finish_is_a_word_of_the_table_or_a_text() -> None:
    """Nothing hides where only an identifier is expected."""
    assert {} == texts(ChatStream().read(frame({}, finish="tool_calls")).segments)
    assert {(Kind.OTHER, "0"): "in other words\n"} == texts(
        ChatStream().read(frame({}, finish="in other words")).segments
    )


def test_an_error_in_the_stream_is_the_providers() -> None:
    """Its message is text like any other."""
    reading = ChatStream().read(b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n')
    assert texts(reading.segments) == {(Kind.ERROR, "error"): "overloaded\n"}


def test_an_edit_takes_the_tokens_with_it() -> None:
    """Log-probabilities and token ids repeat the text; those of other choices stay."""
    body = {
        "choices": [
            {"message": {"content": "a@b.co"}, "logprobs": {"content": [{"token": "a@b.co"}]}, "token_ids": [1, 2]},
            {"message": {"content": "x"}, "logprobs": {"content": [{"token": "x"}]}},
        ]
    }
    paths = [("choices", 0, "message", "content"), ("choices", 0, "logprobs", "content", 0, "token")]
    edited = json.loads(edit_choices(json.dumps(body).encode(), [Edit(path, 0, 6, "[EMAIL]") for path in paths]))
    assert edited["choices"][0] == {"message": {"content": "[EMAIL]"}, "logprobs": None, "token_ids": None}
    assert edited["choices"][1] == body["choices"][1]


def test_an_edited_frame_keeps_its_shape() -> None:
    """Line ends, comments and the space after the colon stay."""
    data = b': note\r\ndata:{"choices":[{"index":0,"delta":{"content":"a@b.co"}}]}\r\n\r\n'
    edited = ChatStream().edit(data, [Edit(("choices", 0, "delta", "content"), 0, 6, "[EMAIL]")])
    assert edited == data.replace(b"a@b.co", b"[EMAIL]")


def released(*frames: bytes) -> ChatStream:
    """A reader of which the client has seen `frames`, while more was read."""
    reader = ChatStream()
    for item in (*frames, frame({"content": "held"}, 5)):
        reader.read(item)
    for item in frames:
        reader.released(item)
    return reader


def test_an_ending_finishes_what_the_client_saw_begun() -> None:
    """Choice 1 was finished, choice 5 was held back: neither is mentioned; id, model and time are the stream's."""
    reader = released(
        frame({"content": "x"}), frame({"content": "y"}, 1), frame({}, 1, "stop"), frame({"content": "z"})
    )
    chunk, done = events(reader.ending(NO))
    assert chunk == {
        "id": "chatcmpl-7",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "demo",
        "choices": [
            {"index": 0, "delta": {"refusal": "Not that."}, "logprobs": None, "finish_reason": "content_filter"}
        ],
    }
    assert done == "[DONE]"


def test_an_ending_before_anything_was_seen_is_a_whole_answer() -> None:
    """One choice, with a role, that is refused."""
    chunk, done = events(ChatStream().ending(NO))
    assert chunk["choices"][0]["delta"] == {"role": "assistant", "refusal": "Not that."}
    assert (chunk["id"], done) == ("chatcmpl-e1", "[DONE]")


def test_an_ending_without_words_has_none() -> None:
    """A refusal may be silent."""
    assert events(released(frame({"content": "x"})).ending(Refusal("policy", "")))[0]["choices"][0]["delta"] == {}


def test_after_the_last_event_nothing_follows() -> None:
    """All choices finished: only the mark is missing; the mark seen: nothing is."""
    finished = [frame({"content": "x"}), frame({}, finish="stop")]
    assert events(released(*finished).ending(NO)) == ["[DONE]"]
    assert released(*finished, b"data: [DONE]\n\n").ending(NO) == b""


def test_text_cannot_pass_for_the_streams_own_words() -> None:
    """An answer about the format does not mislead the account of what was released."""
    said = '"finish_reason":"stop","index":3 [DONE]'
    chunk, _ = events(released(frame({"content": "x"}), frame({"content": said})).ending(NO))
    assert chunk["choices"][0]["index"] == 0
