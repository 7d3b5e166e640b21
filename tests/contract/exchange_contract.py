"""What an exchange in any format does with what a provider may send: errors, and what nobody knew of when this was
written. Each check raises AssertionError where a format loses, hides or changes any of it."""

from __future__ import annotations

import json

from safeguards_extproc import wire
from safeguards_extproc.core.decision import Policy
from safeguards_extproc.core.text import Edit, Format, Kind
from safeguards_extproc.policy import load
from safeguards_extproc.wire import eventstream, sse
from tests.contract import wire_contract as contract
from tests.playbook import Conversation

POLICY: Policy = load.parse(
    "version: 1\nname: p\ndetectors: {lists: {kind: patterns, lists: {words: [never said]}}}\n"
    "rules: [{name: words, when: scores.lists.words > 0, then: block}]\nuninspectable: {unread: flag}\n",
    "p.yaml",
)
"""Looks at every text; what cannot be read passes."""

WORDS = "words of tomorrow"
MEMBER = b'"tomorrow": {"note": "words of tomorrow"}'

_CLAUDE = "/v1/messages"
_OPENAI = (
    b'{"error": {"message": "Invalid value: \xe2\x80\x9cx\xe2\x80\x9d. The words are here.", '
    b'"type": "invalid_request_error", "param": "messages[0].role", "code": "invalid_value"}}'
)
_OPENAI_DOWN = (
    b'{\n  "error": {\n    "message": "The server had an error. The words are here.",\n    "type": "server_error",\n'
    b'    "param": null,\n    "code": null\n  }\n}\n'
)
_ANTHROPIC = b'{"type":"error","error":{"type":"%s","message":"The words are here."},"request_id":"req_011CSHoEeqs5"}'
_AWS = b'{"message":"The words are here."}'
_GOOGLE = (
    b'{\n  "error": {\n    "code": %d,\n    "message": "The words are here.",\n    "status": "%s",\n    "details": '
    b'[{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": "contents"}]}]\n  }\n}\n'
)

PATHS = {
    "openai_chat": "/v1/chat/completions",
    "anthropic_messages": _CLAUDE,
    "openai_completions": "/v1/completions",
    "openai_embeddings": "/v1/embeddings",
    "openai_moderations": "/v1/moderations",
    "openai_responses": "/v1/responses",
    "openai_media": "/v1/images/generations",
    "batches": _CLAUDE + "/batches",
    "bedrock_converse": "/model/amazon.nova-lite-v1%3A0/converse-stream",
    "bedrock_invoke": "/model/meta.llama3-1-70b-instruct-v1%3A0/invoke-with-response-stream",
    "gemini": "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
    "kserve_v2": "/v2/models/demo/generate_stream",
    "tgi": "/generate_stream",
}
"""A path of each format, where its answers may be streamed."""

_OF_OPENAI = [(400, _OPENAI), (429, _OPENAI), (500, _OPENAI_DOWN)]
_OF_ANTHROPIC = [(400, _ANTHROPIC % b"invalid_request_error"), (529, _ANTHROPIC % b"overloaded_error")]
_OF_AWS = [(400, _AWS), (424, b'{"originalStatusCode":500,"message":"The words are here."}'), (503, _AWS)]

ERRORS = {
    "openai_chat": _OF_OPENAI,
    "openai_completions": _OF_OPENAI,
    "openai_embeddings": _OF_OPENAI,
    "openai_moderations": _OF_OPENAI,
    "openai_responses": _OF_OPENAI,
    "openai_media": _OF_OPENAI,
    "anthropic_messages": _OF_ANTHROPIC,
    "batches": _OF_ANTHROPIC,
    "bedrock_converse": _OF_AWS,
    "bedrock_invoke": _OF_AWS,
    "gemini": [(400, _GOOGLE % (400, b"INVALID_ARGUMENT")), (503, _GOOGLE % (503, b"UNAVAILABLE"))],
    "kserve_v2": [(400, b'{"error":"The words are here."}'), (500, b'{"error":"in ensemble: The words are here."}')],
    "tgi": [
        (422, b'{"error":"Input validation error: The words are here.","error_type":"validation"}'),
        (500, b'{"error":"Request failed during generation: The words are here.","error_type":"generation"}'),
    ],
}
"""A provider's errors, each with its status."""

_STOPPED = eventstream.exception("modelStreamErrorException", _AWS)

STREAM_ERRORS = {
    "openai_chat": b'data: {"error": {"message": "The words are here.", "type": "server_error"}}\n\n',
    "openai_completions": b'data: {"error": {"message": "The words are here.", "code": 500}}\n\n',
    "openai_responses": b'event: error\ndata: {"type":"error","code":"server_error","message":"The words are here.",'
    b'"param":null,"sequence_number":9}\n\n',
    "openai_media": b'event: error\ndata: {"type": "error", "error": {"message": "The words are here."}}\n\n',
    "anthropic_messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",'
    b'"message":"The words are here."}}\n\n',
    "bedrock_converse": _STOPPED,
    "bedrock_invoke": _STOPPED,
    "gemini": b'data: {"error": {"code": 503, "message": "The words are here.", "status": "UNAVAILABLE"}}\r\n\r\n',
    "kserve_v2": b'data: {"error":"in ensemble: The words are here."}\n\n',
    "tgi": b'data:{"error":"The words are here.","error_type":"generation"}\n\n',
}
"""How a provider ends a stream in which something went wrong."""


def asked(name: str) -> Conversation:
    """A request of a format that has gone on."""
    talk = Conversation(POLICY, wire=wire)
    talk.request(contract.golden(name, "request.json")[0], path=PATHS[name])
    assert talk.refused is None
    return talk


def an_error_passes(format_: Format, status: int, body: bytes) -> None:
    """It is the provider's message, all of it is read as that, and not a byte of it changes."""
    said = contract.texts(format_.read_response(body, status).segments)
    assert {Kind.ERROR} == {kind for kind, _ in said}
    assert "The words are here." in "".join(said.values())
    talk = asked(format_.name).response(body, status=status)
    assert (body, status) == (talk.client_saw(), talk.record.status)
    _recorded(talk)


def a_streams_error_passes(format_: Format, frame: bytes) -> None:
    """The same of a stream that breaks: what came before it and the error reach the client as they were sent."""
    reader = format_.stream()
    begun = b"".join(contract.frames(format_, contract.streams(format_.name)[0])[:2])
    for before in contract.frames(format_, begun):
        reader.read(before)
    reading = reader.read(frame)
    assert [Kind.ERROR] == list({segment.channel[0] for segment in reading.segments})
    assert "" == reading.unread
    media = contract.MEDIA.get(format_.name, sse.MEDIA)
    talk = asked(format_.name).response(begun + frame, 7, content_type=media)
    assert (begun + frame, 200) == (talk.client_saw(), talk.record.status)
    _recorded(talk)


def _recorded(talk: Conversation) -> None:
    account = talk.record.response.account
    assert "complete" == talk.record.termination
    assert account.channels["error"].chars == account.channels["error"].scanned > 0
    assert "" == account.uninspectable


def members_are_kept(format_: Format, body: bytes, *, request: bool) -> None:
    """A member that nobody knows is read or named as unread, and stays where another text is edited."""
    more = body.replace(b"{", b"{" + MEMBER + b", ", 1)
    document = format_.read_request(more) if request else format_.read_response(more, 200)
    assert WORDS in _said(document.segments) or document.unread
    for segment in document.segments:
        if segment.path and not segment.raw and WORDS not in segment.text:
            assert MEMBER in format_.edit(more, [Edit(segment.path, 0, 1, contract.MARK)])


def events_are_kept(format_: Format, stream: bytes, event: bytes) -> None:
    """An event that nobody knows is read or named as unread, and everything around it is read as without it."""
    whole = contract.frames(format_, stream)
    plain, reader = format_.stream(), format_.stream()
    for at, frame in enumerate(whole):
        if at == len(whole) // 2:
            reading = reader.read(event)
            assert not reading.finished
            assert WORDS in _said(reading.segments) or reading.unread
            assert event == reader.edit(event, [])
        known, again = plain.read(frame), reader.read(frame)
        assert contract.texts(known.segments) == contract.texts(again.segments)
        assert known.finished == again.finished


def unknown_event(name: str) -> bytes:
    """As the format frames it."""
    said = {"type": "tomorrow", "note": WORDS}
    if name == "bedrock_converse":
        return eventstream.event("tomorrow", json.dumps(said).encode())
    if name == "bedrock_invoke":
        return contract.chunked(json.dumps(said).encode())
    return sse.event("tomorrow", json.dumps(said).encode())


def _said(segments: object) -> str:
    return "".join(segment.text for segment in segments)  # type: ignore[attr-defined]
