"""The Gemini format: who claims its paths, how it steers, refuses and answers, and both ways of streaming."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.decision import Action
from safeguards_extproc.core.text import Format, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import json_array, sse
from safeguards_extproc.wire.gemini import Answers, Gemini
from safeguards_extproc.wire.gemini_stream import GeminiStream
from tests.contract import wire_contract as contract
from tests.contract.wire_contract import texts
from tests.playbook import Conversation
from tests.world import WordPolicy

NO = Refusal("policy", "Not that.", "harm", "e1")
STREAM = "streamGenerateContent"
VERTEX = "/v1/projects/p/locations/europe-west4"


def found(target: str) -> tuple[Format, str]:
    return wire.resolve("auto", {":method": "POST", ":path": target})


@pytest.mark.parametrize(
    ("target", "model", "answers"),
    [
        ("/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", Answers.WHOLE),
        ("/v1beta/models/gemini-2.5-pro:generateContent?key=k", "gemini-2.5-pro", Answers.WHOLE),
        (f"{VERTEX}/publishers/google/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", Answers.WHOLE),
        ("/v1/projects/models/locations/l/publishers/google/models/g:generateContent", "g", Answers.WHOLE),
        (f"{VERTEX}/endpoints/1234:generateContent", "1234", Answers.WHOLE),
        ("/v1beta/tunedModels/my-model:generateContent", "my-model", Answers.WHOLE),
        ("/v1beta/dynamic/d1:generateContent", "d1", Answers.WHOLE),
        ("/v1beta/models/g%3AgenerateContent", "g", Answers.WHOLE),
        (f"/v1beta/models/g:{STREAM}?alt=sse", "g", Answers.EVENTS),
        (f"/v1beta/models/g:{STREAM}?key=k&alt=sse", "g", Answers.EVENTS),
        (f"/v1beta/models/g:{STREAM}?$alt=sse", "g", Answers.EVENTS),
        (f"{VERTEX}/endpoints/1234:{STREAM}?alt=sse", "1234", Answers.EVENTS),
        (f"/v1beta/models/g:{STREAM}", "g", Answers.ARRAY),
        (f"/v1beta/models/g:{STREAM}?alt=json", "g", Answers.ARRAY),
        (f"/v1beta/models/g:{STREAM}?alt=ssee", "g", Answers.ARRAY),
        ("/v1beta/models/g:countTokens", "g", Answers.NUMBERS),
        ("/v1beta/models/g:embedContent", "g", Answers.NUMBERS),
        ("/v1beta/models/g:batchEmbedContents", "g", Answers.NUMBERS),
        (f"{VERTEX}/publishers/google/models/g:computeTokens", "g", Answers.NUMBERS),
    ],
)
def test_paths_lead_to_the_variant_that_answers_so(target: str, model: str, answers: Answers) -> None:
    """Google's API and Vertex, tuned models and endpoints; the query decides how a stream comes."""
    format_, named = found(target)
    assert (format_.name, named) == ("gemini", model)
    streamed = format_.read_request(b'{"contents":[]}').streamed
    assert streamed is (answers in (Answers.EVENTS, Answers.ARRAY))
    assert (format_.framer("application/json") is not None) is (answers is Answers.ARRAY)
    assert (format_.answer(NO, model="g", streamed=False).status == 400) is (answers is Answers.NUMBERS)


@pytest.mark.parametrize(
    "target",
    ["/v1beta/models/g:predict", "/v1beta/models/g", "/v1beta/files:generateContent", "/v1beta/cachedContents"],
)
def test_other_paths_are_not_geminis(target: str) -> None:
    """What has another body is not taken for one of these."""
    assert found(target)[0].name != "gemini"


def test_each_way_of_streaming_has_its_frames() -> None:
    """Events are events whatever was asked for; an array is cut only where one was."""
    for answers in Answers:
        assert isinstance(Gemini(answers).framer("text/event-stream"), sse.Framer)
    assert isinstance(Gemini(Answers.ARRAY).framer("application/json"), json_array.Framer)
    assert Gemini(Answers.ARRAY).framer("text/html") is None


def array(stream: bytes) -> bytes:
    """A recorded stream as the array that the same server sends without alt=sse."""
    items = [json.loads(sse.fields(frame)[1]) for frame in sse.Framer().push(stream)]
    return b"[" + b"\n,\r\n".join(json.dumps(item, indent=2).encode() for item in items) + b"\n]\n"


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """Each recorded answer, whole and as an array."""
    monkeypatch.setitem(contract.MEDIA, "gemini", json_array.MEDIA)
    recorded = zip(contract.golden("gemini", "response.json"), contract.golden("gemini", "response.sse"), strict=True)
    return [(whole, array(stream)) for whole, stream in recorded]


def test_an_array_keeps_every_promise_of_a_stream(streams: list[tuple[bytes, bytes]]) -> None:
    """Laws 1, 3 and 10, and the ending, as in the contract of formats; an array is JSON however early it ends."""
    format_ = Gemini(Answers.ARRAY)
    for whole, stream in streams:
        contract.frames_do_not_depend_on_chunks(format_, stream)
        contract.streamed_or_not_says_the_same(format_, whole, stream)
        contract.edited_frames_say_what_was_left(format_, stream)
        contract.any_prefix_can_be_ended(format_, stream)
        contract.reading_is_total(format_, stream)
        frames = contract.frames(format_, stream)
        for count in range(len(frames) + 1):
            reader = format_.stream()
            for frame in frames[:count]:
                reader.read(frame)
                reader.released(frame)
            assert isinstance(json.loads(b"".join(frames[:count]) + reader.ending(NO)), list)


class Unclosed(Gemini):
    """Ends an array as events end."""

    def stream(self) -> GeminiStream:
        return _Unclosed(array=True)


class _Unclosed(GeminiStream):
    def ending(self, refusal: Refusal) -> bytes:
        return GeminiStream().ending(refusal)


def test_the_promise_bites(streams: list[tuple[bytes, bytes]]) -> None:
    """Planted: an event in an array, and a framer that keeps to chunks, are caught."""
    with pytest.raises(AssertionError):
        contract.any_prefix_can_be_ended(Unclosed(Answers.ARRAY), streams[1][1])
    with pytest.raises(AssertionError):
        contract.frames_do_not_depend_on_chunks(_Chunked(Answers.ARRAY), streams[1][1])


class _Chunked(Gemini):
    def framer(self, media: str) -> Any:
        return _Chunks()


class _Chunks(json_array.Framer):
    def push(self, data: bytes) -> list[bytes]:
        return [data]


SAID = {"parts": [{"text": "New."}]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"contents": []}, {"systemInstruction": SAID, "contents": []}),
        ({}, {"systemInstruction": SAID}),
        ({"systemInstruction": None}, {"systemInstruction": SAID}),
        ({"system_instruction": "Old."}, {"system_instruction": "Old.\n\nNew."}),
        ({"system_instruction": {}}, {"system_instruction": SAID}),
        ({"systemInstruction": {"parts": None}}, {"systemInstruction": SAID}),
        ({"systemInstruction": {"role": "user"}}, {"systemInstruction": {**SAID, "role": "user"}}),
        (
            {"systemInstruction": {"parts": [{"text": "Old."}]}},
            {"systemInstruction": {"parts": [{"text": "Old."}, {"text": "New."}]}},
        ),
        (
            {"systemInstruction": {"parts": {"text": "Old."}}},
            {"systemInstruction": {"parts": [{"text": "Old."}, {"text": "New."}]}},
        ),
    ],
)
def test_an_instruction_is_the_last_the_system_says(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Whatever form the request gives its own instruction, in either spelling."""
    assert after == json.loads(Gemini().steer(json.dumps(before).encode(), "New."))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[]", "shape"),
        (b'{"systemInstruction":[]}', "shape"),
        (b'{"systemInstruction":{"parts":"x"}}', "shape"),
        (b'{"systemInstruction":{},"system_instruction":{}}', "duplicate-key"),
    ],
)
def test_what_has_no_clear_place_is_not_steered(body: bytes, reason: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(MalformedBody, match=reason):
        Gemini().steer(body, "New.")


def test_what_generates_nothing_is_not_steered() -> None:
    """A count of tokens and vectors have no system instruction."""
    assert Gemini(Answers.NUMBERS).steer(b'{"content":{}}', "New.") == b'{"content":{}}'


def test_a_refusal_has_googles_error_and_details() -> None:
    """Status, reason, id and when to come back, where Google's clients look; in an array where one was asked for."""
    throttled = Refusal("throttled", "Slow down.", id="e1", retry_after_s=7)
    body = json.loads(Gemini().refuse(throttled).body)
    kinds = {detail["@type"].rpartition(".")[2]: detail for detail in body["error"]["details"]}
    assert (body["error"]["code"], body["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert kinds["ErrorInfo"]["reason"] == "RATE_LIMIT_EXCEEDED"
    assert kinds["RequestInfo"]["requestId"] == "e1"
    assert kinds["RetryInfo"]["retryDelay"] == "7s"
    assert json.loads(Gemini(Answers.ARRAY).refuse(throttled).body) == [body]


@pytest.mark.parametrize("answers", [Answers.WHOLE, Answers.EVENTS, Answers.ARRAY])
def test_an_answer_that_says_no_blocks_the_prompt(answers: Answers) -> None:
    """Whole or in the form of the stream, with the words."""
    format_ = Gemini(answers)
    whole = json.loads(format_.answer(NO, model="g", streamed=False).body)
    assert whole["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "Not that."}
    streamed = format_.answer(NO, model="g", streamed=True)
    if answers is Answers.ARRAY:
        assert json.loads(streamed.body) == [whole]
        assert ("content-type", "application/json") in streamed.headers
    else:
        assert streamed.body == sse.event("", json.dumps(whole, separators=(",", ":")).encode())


def test_errors_are_read_whole() -> None:
    """As an object and as the array that streams answer with."""
    error = {
        "error": {"code": 400, "message": "no such key", "status": "INVALID_ARGUMENT", "details": [{"@type": "t"}]}
    }
    for value in (error, [error]):
        document = Gemini().read_response(json.dumps(value).encode(), 400)
        assert texts(document.segments) == {(Kind.ERROR, "error"): "no such key\n"}


CLEAN = [f"Nothing but fine words about ducks, piece {number}. " for number in range(40)]
WAYS = {"WHOLE": "generateContent", "EVENTS": "streamGenerateContent?alt=sse", "ARRAY": "streamGenerateContent"}


def told(way: str, texts: list[str]) -> tuple[bytes, str]:
    """An answer that says these texts, a chunk each, and its media type."""

    def body(parts: list[str], finish: str) -> dict[str, Any]:
        candidate = {"content": {"parts": [{"text": text} for text in parts], "role": "model"}, "finishReason": finish}
        return {"candidates": [{name: value for name, value in candidate.items() if value}], "responseId": "r"}

    items = [body([text], "STOP" if text is texts[-1] else "") for text in texts]
    if way == "WHOLE":
        return json.dumps(body(texts, "STOP"), indent=2).encode(), "application/json; charset=UTF-8"
    stream = b"".join(sse.event("", json.dumps(item).encode()) for item in items)
    return (stream, "text/event-stream") if way == "EVENTS" else (array(stream), "application/json; charset=UTF-8")


def exchange(way: str, texts: list[str], words: dict[str, Action], size: int = 0) -> tuple[Conversation, bytes]:
    talk = Conversation(WordPolicy(words), wire=wire)
    talk.request(b'{"contents":[{"parts":[{"text":"Ducks?"}]}]}', path=f"/v1beta/models/g:{WAYS[way]}")
    body, media = told(way, texts)
    return talk.response(body, size, content_type=media), body


def heard(way: str, body: bytes) -> list[dict[str, Any]]:
    """The answers that a client makes of a body."""
    if way == "EVENTS":
        return [json.loads(sse.fields(frame)[1]) for frame in sse.Framer().push(body)]
    value = json.loads(body)
    return value if way == "ARRAY" else [value]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [0, 7, 1000])
def test_the_whole_filter_lets_clean_answers_be(way: str, size: int) -> None:
    """Law 10, from end to end: the client gets the upstream's exact bytes, and all of it was scanned."""
    talk, body = exchange(way, CLEAN, {"FORBIDDEN": Action.BLOCK}, size)
    assert talk.client_saw() == body
    assert (talk.record.response.account.coverage, talk.record.outcome) == ("full", "allow")
    assert talk.record.streamed is (way != "WHOLE")
    assert talk.record.model == "g"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [0, 7, 1000])
def test_the_whole_filter_redacts_across_chunks(way: str, size: int) -> None:
    """Law 3, from end to end: a word that two chunks share is masked alike however the answer comes."""
    talk, _ = exchange(way, [*CLEAN[:3], "Ask jo@exa", "mple.com, or not."], {"jo@example.com": Action.REDACT}, size)
    said = "".join(
        part["text"]
        for item in heard(way, talk.client_saw())
        for candidate in item["candidates"]
        for part in candidate["content"]["parts"]
    )
    assert said.startswith("".join(CLEAN[:3]) + "Ask [")
    assert said.endswith("], or not.")
    assert "exa" not in said


@pytest.mark.parametrize("way", ["EVENTS", "ARRAY"])
@pytest.mark.parametrize("size", [0, 7, 1000])
def test_the_whole_filter_stops_a_stream(way: str, size: int) -> None:
    """Laws 1 and 2, from end to end: what was judged is there, what was not is not, and the last answer says SAFETY."""
    talk, _ = exchange(way, [*CLEAN, "Now FORBIDDEN words.", "And more."], {"FORBIDDEN": Action.BLOCK}, size)
    items = heard(way, talk.client_saw())
    assert b"FORBIDDEN" not in talk.client_saw()
    if talk.refused is None:
        assert items[-1]["candidates"][0]["finishReason"] == "SAFETY"
        assert len(items) > 1
    else:
        assert items[-1]["promptFeedback"]["blockReason"] == "PROHIBITED_CONTENT"
