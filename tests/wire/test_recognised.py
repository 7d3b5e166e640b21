"""A format that its body has shown: the request's for the request, and for an answer the answer's own."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.core.text import Edit, Format, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import FORMATS, recognise
from tests.contract.wire_contract import GOLDEN, frames, golden, recorded, streamed, streams, texts

CHAT, MESSAGES = FORMATS["openai_chat"], FORMATS["anthropic_messages"]


def found(body: bytes) -> Format:
    known = recognise(body)
    assert known is not None
    return known


def asked(**members: object) -> Format:
    return found(json.dumps({"messages": [{"role": "user", "content": "hi"}], **members}).encode())


@pytest.mark.parametrize("name", ["openai_chat", "anthropic_messages"])
def test_recorded_requests_are_read_as_on_their_own_path(name: str) -> None:
    """Same texts, same edits, same instruction."""
    for body in golden(name, "request.json"):
        known = recognise(body)
        if known is None or known.name != name:
            continue
        document = FORMATS[name].read_request(body)
        assert document == known.read_request(body)
        segment = next(segment for segment in document.segments if segment.path and not segment.raw)
        edits = [Edit(segment.path, 0, 1, "*")]
        assert FORMATS[name].edit(body, edits) == known.edit(body, edits)
        assert FORMATS[name].steer(body, "Be kind.") == known.steer(body, "Be kind.")


@pytest.mark.parametrize("body", [b"", b" \n", b"[]", b"3", b"\x08\x01", b"[" * 200, b" " * 99, b'{"colour": "red"}'])
def test_what_has_no_shape_is_nobodys(body: bytes) -> None:
    """Policy decides, as for anything opaque."""
    assert recognise(body) is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"messages": [], "messages": []}', "duplicate-key"),
        (b'{"messages": []} {}', "trailing-data"),
        (b'{"messages": []', "syntax"),
        ('{"messages": []}'.encode("utf-16"), "encoding"),
        ('{"messages": []}'.encode("utf-8-sig"), "encoding"),
        (b'{"messages": ' + b"[" * 200 + b"]" * 200 + b"}", "depth"),
    ],
)
def test_what_an_upstream_may_take_for_a_request_is_malformed(body: bytes, reason: str) -> None:
    """Not opaque: policies let that pass more easily."""
    with pytest.raises(MalformedBody, match=reason):
        recognise(body)


@pytest.mark.parametrize("members", [{}, {"system": "x"}])
@pytest.mark.parametrize("name", ["openai_chat", "anthropic_messages"])
def test_an_answer_is_read_by_its_own_shape(name: str, members: dict[str, object]) -> None:
    """A client that dresses its request up as another API's hides no word of the answer."""
    known = asked(**members)
    for body, stream in zip(golden(name, "response.json"), golden(name, "response.sse"), strict=False):
        own = FORMATS[name].read_response(body, 200)
        assert own == known.read_response(body, 200)
        assert texts(streamed(FORMATS[name], stream)) == texts(streamed(known, stream))
        assert Kind.CONTENT in {segment.channel[0] for segment in own.segments}


def test_a_stream_is_edited_and_ended_as_it_speaks() -> None:
    """The reader that the first event chose does the rest."""
    stream = golden("anthropic_messages", "response.sse")[0]
    own, known, no = MESSAGES.stream(), asked().stream(), Refusal("policy", "no", id="e1")
    for frame in frames(MESSAGES, stream)[:4]:
        for segment in own.read(frame).segments:
            edits = [Edit(segment.path, 0, 1, "*")]
            if segment.path:
                assert own.edit(frame, edits) == known.edit(frame, edits)
        known.read(frame)
        own.released(frame)
        known.released(frame)
    assert own.ending(no) == known.ending(no)


@pytest.mark.parametrize(
    ("name", "request_", "answers"),
    [
        ("bedrock_invoke", "llama", ["llama", "titan", "mistral", "nova", "nova_tools", "anthropic", "claude"]),
        ("bedrock_converse", "plain", ["plain", "tools"]),
        ("kserve_v2", "plain", ["plain", "unicode", "logs"]),
        ("kserve_v2", "infer", ["infer"]),
        ("tgi", "root", ["root", "plain", "top"]),
    ],
)
def test_an_exchange_on_a_rewritten_path_is_read_as_on_its_own(name: str, request_: str, answers: list[str]) -> None:
    """Whole, as events of text, and in AWS's frames."""
    known = found(recorded(name, request_ + ".request.json"))
    assert name == known.name
    for answer in answers:
        whole = recorded(name, answer + ".response.json")
        assert texts(FORMATS[name].read_response(whole, 200).segments) == texts(
            known.read_response(whole, 200).segments
        )
        assert texts(streamed(FORMATS[name], stream(name, answer))) == texts(streamed(known, stream(name, answer)))


def stream(name: str, file: str) -> bytes:
    """A recorded stream, whatever its framing."""
    kinds = (".sse", ".events", ".chunks")
    files = [path.name.partition(".")[0] for path in sorted((GOLDEN / name).iterdir()) if path.suffix in kinds]
    return streams(name)[files.index(file)]


def test_frames_that_say_whose_they_are_are_read_so() -> None:
    """InvokeModel and Converse take the same JSON of Nova: the answer's frames tell them apart."""
    known, invoked = found(recorded("bedrock_invoke", "nova_tools.request.json")), FORMATS["bedrock_invoke"]
    assert "bedrock_converse" == known.name
    said = stream("bedrock_invoke", "nova_tools")
    reader = known.stream()
    read = [segment for frame in frames(invoked, said) for segment in reader.read(frame).segments]
    assert texts(streamed(invoked, said)) == texts(read)
    assert "framing" == known.stream().read(b"\0\0\0\x01").unread


def test_an_event_of_text_is_never_read_as_a_frame() -> None:
    """A member that only Bedrock's answers have makes nothing else of a stream that is none of Bedrock's."""
    for member in ("stopReason", "generation"):
        event = json.dumps({member: "x", "choices": [{"index": 0, "delta": {"content": "hi"}}]}).encode()
        reading = asked().stream().read(b"data: " + event + b"\n\n")
        assert "hi" == texts(reading.segments)[Kind.CONTENT, "0"]
        assert "" == reading.unread


def test_a_no_has_the_form_of_what_was_asked() -> None:
    """Tensors for tensors, a list for TGI's root."""
    no = Refusal("policy", "no", id="e1")
    for name, file, where in (("kserve_v2", "infer", "outputs"), ("kserve_v2", "plain", "text_output")):
        known = found(recorded(name, file + ".request.json"))
        assert where in json.loads(known.answer(no, model="m", streamed=False).body)
    listed = found(b'{"inputs": "hi"}').answer(no, model="m", streamed=False)
    assert [{"generated_text": "no"}] == json.loads(listed.body)


def test_an_answer_without_a_shape_is_read_by_the_requests_format() -> None:
    """Errors, and events that say nothing of their format."""
    known = asked()
    for body in (b'{"error": {"message": "no such model"}}', b'{"detail": "no"}'):
        assert CHAT.read_response(body, 404) == known.read_response(body, 404)
    with pytest.raises(MalformedBody):
        known.read_response(b"<html>", 200)
    assert "syntax" == known.stream().read(b"data: {\n\n").unread


def test_a_no_is_told_in_the_requests_dialect() -> None:
    """The client asked in it."""
    refusal = Refusal("policy", "no", id="e1")
    for known, own in ((asked(), CHAT), (asked(system="x"), MESSAGES)):
        assert own.name == known.name
        assert own.refuse(refusal) == known.refuse(refusal)
        for with_stream in (False, True):
            said = own.answer(refusal, model="m", streamed=with_stream)
            assert said == known.answer(refusal, model="m", streamed=with_stream)
        assert known.framer("text/event-stream") is not None
