"""A streamed Gemini answer: what each chunk says, in events and in an array, and how it ends early."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc.core.text import Edit, Kind, Refusal
from safeguards_extproc.wire import json_array, sse
from safeguards_extproc.wire.gemini_stream import GeminiStream, edit_candidates, event_data
from tests.contract.wire_contract import texts

NO = Refusal("policy", "Not that.", "harm", "e1")


def body(*parts: Any, index: int | None = None, finish: str = "", **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, **more}
    if index is not None:
        candidate["index"] = index
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "demo", "responseId": "r1"}


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\r\n\r\n"


def said_no(ending: bytes) -> dict[int, str]:
    """The reasons of an ending's only event."""
    (frame,) = sse.Framer().push(ending)
    return {known["index"]: known["finishReason"] for known in json.loads(sse.fields(frame)[1])["candidates"]}


def test_a_piece_of_text_is_read_on_its_candidates_channel() -> None:
    """The common case, and the same with more beside it."""
    reader = GeminiStream()
    for value in (body({"text": "a"}), body({"text": "b"}, index=0), body({"text": "c"}, {"text": "d"}, tokenCount=1)):
        assert set(texts(reader.read(event(value)).segments)) == {(Kind.CONTENT, "0")}
    assert texts(reader.read(event(body({"text": "e"}, index=2))).segments) == {(Kind.CONTENT, "2"): "e"}
    assert reader.read(event(body({"text": ""}))).segments == ()


@pytest.mark.parametrize(
    "value",
    [
        {**body({"text": "a"}), "invented": "x y"},
        body({"text": "a"}, invented="x y"),
        body({"text": "a", "invented": "x y"}),
        {"candidates": [{"content": {"parts": [{"text": "a"}], "role": "x y"}}]},
        {"candidates": [{"content": {"parts": [{"text": "a"}], "invented": "x y"}}]},
        {
            "candidates": [
                {"content": {"parts": [{"text": "a"}]}},
                {"content": {"parts": [{"text": "x y"}]}, "index": 1},
            ]
        },
    ],
)
def test_nothing_hides_beside_a_piece_of_text(value: dict[str, Any]) -> None:
    """Evasion 33: the short way is taken only where there is nothing else."""
    said = texts(GeminiStream().read(event(value)).segments)
    assert said.pop((Kind.CONTENT, "0")) == "a"
    assert [text.strip() for text in said.values()] == ["x y"]


def test_a_candidate_that_ends_with_every_chunk_goes_on() -> None:
    """Some servers give finishReason each time: the text is one, and a stop still says so."""
    reader = GeminiStream()
    frames = [event(body({"text": text}, finish="STOP")) for text in "ab"]
    assert [reader.read(frame).closed for frame in frames] == [[], []]
    reader.released(frames[0])
    assert said_no(reader.ending(NO)) == {0: "SAFETY"}
    reader.released(frames[1])
    assert reader.ending(NO) == b""


def test_each_candidate_that_was_begun_ends() -> None:
    """Evasion 32: those that ended by themselves stay as they are; unless withheld, nobody else appears."""
    reader = GeminiStream()
    for value in (
        body({"text": "a"}, index=0),
        body({"text": "b"}, index=1),
        body({"text": "c"}, index=1, finish="STOP"),
    ):
        reader.read(event(value))
        reader.released(event(value))
    reader.read(event(body({"text": "d"}, index=2)))
    ending = reader.ending(NO)
    assert said_no(ending) == {0: "SAFETY"}
    assert ending.startswith(b"data: {")
    assert json.loads(ending[6:])["responseId"] == "r1"
    assert json.loads(ending[6:])["candidates"][0]["finishMessage"] == "Not that."


def test_nothing_was_sent_yet() -> None:
    """A client that has only headers gets a whole answer that says no."""
    assert said_no(GeminiStream().ending(NO)) == {0: "SAFETY"}
    assert [item["candidates"][0]["finishReason"] for item in json.loads(GeminiStream(array=True).ending(NO))] == [
        "SAFETY"
    ]


@pytest.mark.parametrize("last", [{"promptFeedback": {"blockReason": "SAFETY"}}, {"error": {"code": 503}}])
def test_an_answer_that_is_over_needs_no_end(last: dict[str, Any]) -> None:
    """A block or an error of the provider's own ends it in either form; an array is closed."""
    events, array = GeminiStream(), GeminiStream(array=True)
    item = b"[" + json.dumps(last).encode()
    for reader, frame in ((events, event(last)), (array, item)):
        reading = reader.read(frame)
        assert reading.finished is (reader is events)
        reader.released(frame)
    assert events.ending(NO) == b""
    assert array.ending(NO) == b"]"
    array.released(b"]")
    assert array.ending(NO) == b""


def test_an_error_in_the_stream_is_read() -> None:
    """It passes as it is, and its words are judged."""
    reading = GeminiStream().read(event({"error": {"code": 503, "message": "over loaded", "status": "UNAVAILABLE"}}))
    assert texts(reading.segments) == {(Kind.ERROR, "error"): "over loaded\n"}


def test_an_array_is_read_item_by_item() -> None:
    """The same chunks, punctuation and all; it ends with its bracket."""
    items = [body({"text": "a"}), body({"text": "b"}, finish="STOP")]
    stream = b"[" + b"\n,\r\n".join(json.dumps(item, indent=2).encode() for item in items) + b"\n]\n"
    framer, reader = json_array.Framer(), GeminiStream(array=True)
    frames = [*framer.push(stream), framer.finish()]
    readings = [reader.read(frame) for frame in frames]
    assert texts([segment for reading in readings for segment in reading.segments]) == {(Kind.CONTENT, "0"): "ab"}
    assert [reading.finished for reading in readings] == [False, False, True]
    edited = reader.edit(frames[1], [Edit(("candidates", 0, "content", "parts", 0, "text"), 0, 1, "×")])
    assert edited == frames[1].replace(b'"b"', b'"\\u00d7"')
    for count in range(3):
        reader = GeminiStream(array=True)
        for frame in frames:
            reader.read(frame)
        for frame in frames[:count]:
            reader.released(frame)
        whole = json.loads(b"".join(frames[:count]) + reader.ending(NO))
        assert [item["candidates"][0].get("finishReason") for item in whole] == {
            0: ["SAFETY"],
            1: [None, "SAFETY"],
            2: [None, "STOP"],
        }[count]


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([b"[{}", b"{}"], "framing"),
        ([b"[{}", b"]", b",{}"], "framing"),
        ([b"]"], "framing"),
        ([b"[{}", b"[]"], "framing"),
        ([b'{"error":{}}', b",{}"], "framing"),
        ([b"[,{}"], "syntax"),
        ([b"[1,{}"], "trailing-data"),
        ([b"[{}", b",]"], "syntax"),
        ([b"[[]"], "shape"),
        ([b": text"], "syntax"),
        ([b"text"], "syntax"),
        ([b"data: {}\n\ndata: {}\n\n"], "trailing-data"),
    ],
)
def test_an_array_that_two_parsers_could_read_differently_is_unread(frames: list[bytes], reason: str) -> None:
    """Law 6 for what stands between the items."""
    reader = GeminiStream(array=True)
    assert [*[""] * (len(frames) - 1), reason] == [reader.read(frame).unread for frame in frames]


def test_a_body_that_is_no_array_is_read_as_one_answer() -> None:
    """A server may answer a stream with one object."""
    reader = GeminiStream(array=True)
    frame = json.dumps(body({"text": "a"})).encode()
    reading = reader.read(frame)
    assert (texts(reading.segments), reading.finished) == ({(Kind.CONTENT, "0"): "a"}, True)
    reader.released(frame)
    assert reader.ending(NO) == b""


def test_events_where_an_array_was_asked_for_are_events() -> None:
    """A query that only the upstream understands: the answer shows what it is, and ends as such."""
    reader = GeminiStream(array=True)
    frame = event(body({"text": "a"}))
    assert texts(reader.read(frame).segments) == {(Kind.CONTENT, "0"): "a"}
    reader.released(frame)
    assert said_no(reader.ending(NO)) == {0: "SAFETY"}


def test_json_without_its_field_name_is_read_too() -> None:
    """The official SDK takes a line that is no "data: " for JSON, so it is no way round; both at once is refused."""
    value = body({"text": "a"})
    frame = json.dumps(value, indent=1).encode() + b"\n\n"
    reader = GeminiStream()
    assert texts(reader.read(frame).segments) == {(Kind.CONTENT, "0"): "a"}
    path = ("candidates", 0, "content", "parts", 0, "text")
    assert reader.edit(frame, [Edit(path, 0, 1, "b")]) == frame.replace(b'"a"', b'"b"')
    assert GeminiStream().read(event(value)[:-2] + frame).unread == "framing"
    assert GeminiStream().read(b"{\n\n").unread == "syntax"


@pytest.mark.parametrize(
    ("frame", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data: {}\r\n\r\n", b"{}"),
        (b"data:{}\n\n", b"{}"),
        (b"event: x\ndata: {\ndata: }\nid: 1\n\n", b"{\n}"),
        (b": keepalive\n\n", b""),
        (b"\n", b""),
    ],
)
def test_an_events_data_is_found(frame: bytes, data: bytes) -> None:
    """However its lines end, and whatever other fields it has."""
    assert data == event_data(frame)


def test_an_edit_takes_the_tokens_that_repeat_the_text_with_it() -> None:
    """Whole, in a stream and in an array that is read whole; other candidates keep theirs."""
    tokens = {"chosenCandidates": [{"token": "a"}]}
    one = body({"text": "a"}, logprobsResult=tokens)
    one["candidates"].append(body({"text": "a"}, index=1, logprobs_result=tokens)["candidates"][0])
    for value, path in ((one, ()), ([one], (0,))):
        where = (*path, "candidates", 1, "content", "parts", 0, "text")
        edited = json.loads(edit_candidates(json.dumps(value).encode(), [Edit(where, 0, 1, "b")]))
        first, second = (edited[0] if path else edited)["candidates"]
        assert (first["logprobsResult"], second["logprobs_result"]) == (tokens, None)
        assert second["content"]["parts"] == [{"text": "b"}]


def test_a_frame_that_cannot_be_read_says_why() -> None:
    """No bad byte raises."""
    for frame, reason in (
        (b"data: {\n\n", "syntax"),
        (b"data: []\n\n", "shape"),
        (b'data: {"a":1,"a":2}\n\n', "duplicate-key"),
    ):
        reader = GeminiStream()
        assert reader.read(frame).unread == reason
        reader.released(frame)
        assert said_no(reader.ending(NO)) == {0: "SAFETY"}
    both = {"candidates": [], "promptFeedback": {"blockReason": "", "block_reason": ""}}
    assert GeminiStream().read(event({"modelStatus": {}, "model_status": {}, **both})).unread == "duplicate-key"
