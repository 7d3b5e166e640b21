"""Files, audio and images: what is said in their requests, and in their answers in every form that they have."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.text import Edit, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import FORMATS
from safeguards_extproc.wire.openai_media import OpenAIMedia
from tests.contract import wire_contract as contract

MEDIA = FORMATS["openai_media"]
FORM = {":method": "POST", "content-type": "multipart/form-data; boundary=boundary-of-a-form"}
CONTENT, USER = Kind.CONTENT, Kind.USER


def asked(path: str) -> OpenAIMedia:
    format_ = wire.resolve("auto", {**FORM, ":path": path})[0]
    assert isinstance(format_, OpenAIMedia)
    return format_


@pytest.mark.parametrize("body", contract.golden("openai_media", "request.form"))
@pytest.mark.parametrize("path", ["/v1/files", "/rewritten"])
def test_a_form_is_read_wherever_it_goes(body: bytes, path: str) -> None:
    """Also on a path that nobody claims: the media type says what it is."""
    document = asked(path).read_request(body)
    assert document.segments or document.unread
    contract.reading_is_total(asked(path), body)


@pytest.mark.parametrize("body", contract.golden("openai_media", "request.json"))
def test_json_requests_are_edited_in_place(body: bytes) -> None:
    """Law 10."""
    contract.edits_touch_only_what_they_say(MEDIA, body, MEDIA.read_request(body).segments)
    contract.escapes_hide_nothing(MEDIA, body)


def test_json_requests_say_this() -> None:
    """What is to be spoken or drawn is the user's; a picture beside it is unread."""
    body = {"model": "tts-1", "input": "Hello", "instructions": "Like a pirate", "note": "odd", "stream_format": "sse"}
    document = MEDIA.read_request(json.dumps(body).encode())
    expected = {(USER, "input"): "Hello", (USER, "instructions"): "Like a pirate", (Kind.OTHER, "fields"): "odd\n"}
    assert expected == contract.texts(document.segments)
    assert ("tts-1", True) == (document.model, document.streamed)
    edit = MEDIA.read_request(b'{"prompt": "A hat", "images": [{"image_url": "https://x.example/a b.png"}]}')
    assert {"image"} == edit.unread
    assert "https://x.example/a b.png\n" == contract.texts(edit.segments)[Kind.OTHER, "fields"]
    assert "" == MEDIA.read_request(b'{"model": 3, "prompt": ["in a list"]}').model
    with pytest.raises(MalformedBody, match="shape"):
        MEDIA.read_request(b"[]")


def test_what_the_header_says_is_what_is_read() -> None:
    """Law 6: a body of the other kind, or a header that names no one boundary, is malformed."""
    form = contract.golden("openai_media", "request.form")[0]
    for format_, body in [
        (asked("/v1/files"), b'{"prompt": "x"}'),
        (MEDIA, form),
        (OpenAIMedia(content_type="multipart/form-data; boundary=a; boundary=boundary-of-a-form"), form),
        (OpenAIMedia(content_type="multipart/form-data; boundary=other"), form),
    ]:
        with pytest.raises(MalformedBody):
            format_.read_request(body)


def test_answers_say_this() -> None:
    """A transcript with times, a picture's revised prompt, and what cannot be read."""
    read = {
        path.name.partition(".")[0]: MEDIA.read_response(path.read_bytes(), 200)
        for path in (contract.GOLDEN / "openai_media").glob("*.response.json")
    }
    assert "Hello Zoë, hello Bjørn." == contract.texts(read["transcription"].segments)[CONTENT, "0"]
    verbose = contract.texts(read["verbose"].segments)
    assert ("Hello there. Good bye.", " Hello there.  Good bye. ", "Hello ") == tuple(
        verbose[CONTENT, name] for name in ("0", "0.segments", "0.words")
    )
    assert {"image"} == read["image"].unread
    assert "A red fox in deep snow\n" == contract.texts(read["image"].segments)[CONTENT, "0.0"]
    assert "mydata of the year.jsonl\n" == contract.texts(read["file"].segments)[Kind.OTHER, "fields"]
    odd = MEDIA.read_response(b'{"data": ["odd"], "segments": ["odd"], "text": {"x": "odd"}, "delta": 3}', 200)
    assert ["odd"] * 3 == [segment.text for segment in odd.segments if segment.path]


@pytest.mark.parametrize("body", contract.golden("openai_media", "response.json"))
def test_answers_are_edited_in_place(body: bytes) -> None:
    """Law 10."""
    contract.edits_touch_only_what_they_say(MEDIA, body, MEDIA.read_response(body, 200).segments)


def test_an_answer_may_be_plain_text() -> None:
    """Subtitles and transcripts without JSON are read and edited as they are; media is not."""
    subtitles = "1\n00:00:00,000 --> 00:00:03,300\nHello Zoë\n".encode()
    (segment,) = MEDIA.read_response(subtitles, 200).segments
    assert ((CONTENT, "0"), subtitles.decode()) == (segment.channel, segment.text)
    start = segment.text.index("Zoë")
    edited = MEDIA.edit(subtitles, [Edit(segment.path, start, start + 3, "[name]")])
    assert subtitles.replace("Zoë".encode(), b"[name]") == edited
    assert "[Music]" == MEDIA.read_response(b"[Music]", 200).segments[0].text
    for heard in (b"\xff\xfb\x90\x00", b"RIFF\x00\x00"):
        assert {"media"} == MEDIA.read_response(heard, 200).unread
        with pytest.raises(MalformedBody, match="shape"):
            MEDIA.edit(heard, [Edit(segment.path, 0, 1, "")])
    with pytest.raises(MalformedBody, match="shape"):
        MEDIA.edit(b"words", [Edit(("text",), 0, 1, "")])
    assert "no" == MEDIA.read_response(b'{"error": {"message": "no"}}', 400).segments[0].text


STREAMS = contract.golden("openai_media", "response.sse")


@pytest.mark.parametrize("stream", STREAMS)
def test_streams_keep_the_promises(stream: bytes) -> None:
    """Cut anywhere, edited anywhere, ended anywhere."""
    contract.frames_do_not_depend_on_chunks(MEDIA, stream)
    contract.edited_frames_say_what_was_left(MEDIA, stream)
    contract.any_prefix_can_be_ended(MEDIA, stream)


def test_a_stream_says_its_text_twice() -> None:
    """In deltas and whole at the end: both are read, because both reach the client."""
    stream = contract.recorded("openai_media", "transcription.response.sse")
    read = contract.texts(contract.streamed(MEDIA, stream))
    assert ("Hello Zoë", "Hello Zoë") == (read[CONTENT, "0"], read[CONTENT, "0.whole"])
    reader = MEDIA.stream()
    assert reader.read(b": ping\n\n").segments == ()
    assert reader.read(b"data: [DONE]\n\n").finished
    assert "syntax" == reader.read(b"data: {\n\n").unread
    assert "audio" == reader.read(b'data: {"type": "speech.audio.delta", "audio": "//u"}\n\n').unread
    error = reader.read(b'data: {"type": "error", "error": {"message": "no more"}}\n\n')
    assert (Kind.ERROR, "no more", True) == (error.segments[0].channel[0], error.segments[0].text, error.finished)
    reader.released(b"data: {\n\n")
    assert b'"error"' in reader.ending(Refusal("policy", "no"))
    reader.released(b"data: [DONE]\n\n")
    assert b"" == reader.ending(Refusal("policy", "no"))


def test_only_a_transcript_can_say_no() -> None:
    """Where the answer is a picture, a voice or a file, a no is an error; nothing can be steered."""
    no = Refusal("policy", "Not that.", id="e1")
    speaks, draws = asked("/v1/audio/transcriptions"), asked("/v1/images/edits")
    assert {"text": "Not that."} == json.loads(speaks.answer(no, model="m", streamed=False).body)
    said = contract.texts(contract.streamed(speaks, speaks.answer(no, model="m", streamed=True).body))
    assert {(CONTENT, "0"): "Not that.", (CONTENT, "0.whole"): "Not that."} == said
    assert draws.refuse(no) == draws.answer(no, model="m", streamed=False)
    with pytest.raises(MalformedBody, match="shape"):
        draws.steer(b"{}", "Be kind.")
