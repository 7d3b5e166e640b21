"""The contract of exchanges, run over every format; then over formats with planted faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.text import Document, Edit, Format, Reading, StreamReader
from safeguards_extproc.wire.openai_chat import OpenAIChat
from safeguards_extproc.wire.openai_stream import ChatStream
from tests.contract import exchange_contract as exchanges
from tests.contract import wire_contract as contract

FORMATS = {name: format_ for name, format_ in wire.FORMATS.items() if name != "opaque"}
every_format = pytest.mark.parametrize("name", FORMATS)
every_streamed = pytest.mark.parametrize("name", exchanges.STREAM_ERRORS)


def test_every_format_is_in_the_tables() -> None:
    """On a path of its own, with errors; and with a stream's, where there are streams."""
    assert FORMATS.keys() == exchanges.PATHS.keys() == exchanges.ERRORS.keys()
    assert FORMATS.keys() - contract.STREAMLESS - {"batches"} == exchanges.STREAM_ERRORS.keys()
    for name, path in exchanges.PATHS.items():
        assert name == wire.resolve("auto", {":method": "POST", ":path": path})[0].name
    for errors in exchanges.ERRORS.values():
        assert {4, 5} == {status // 100 for status, _ in errors}


@every_format
def test_a_providers_error_passes_as_it_is(name: str) -> None:
    """Whatever its status; the record says which, and that all of it was read."""
    for status, body in exchanges.ERRORS[name]:
        exchanges.an_error_passes(FORMATS[name], status, body)


@every_streamed
def test_an_error_in_a_stream_passes_as_it_is(name: str) -> None:
    """After what was said before it."""
    exchanges.a_streams_error_passes(FORMATS[name], exchanges.STREAM_ERRORS[name])


@every_format
def test_an_unknown_member_is_read_and_kept(name: str) -> None:
    """In requests and in answers."""
    for body in contract.golden(name, "request.json"):
        exchanges.members_are_kept(FORMATS[name], body, request=True)
    for body in contract.golden(name, "response.json"):
        exchanges.members_are_kept(FORMATS[name], body, request=False)


@every_streamed
def test_an_unknown_event_is_read_and_kept(name: str) -> None:
    """In the middle of a stream."""
    for stream in contract.streams(name):
        exchanges.events_are_kept(FORMATS[name], stream, exchanges.unknown_event(name))


class Faulty(OpenAIChat):
    """A format in which one promise at a time is broken."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def read_response(self, body: bytes, status: int) -> Document:
        said = super().read_response(body, status)
        return Document([]) if self.fault == "error" and status >= 400 else said

    def read_request(self, body: bytes) -> Document:
        return super().read_request(body.replace(exchanges.MEMBER + b", ", b"") if self.fault == "member" else body)

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        edited = super().edit(body, edits)
        return edited.replace(exchanges.MEMBER, b'"tomorrow": 0') if self.fault == "edit" else edited

    def stream(self) -> StreamReader:  # type: ignore[override]
        return FaultyStream(self.fault)


class FaultyStream(ChatStream):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def read(self, frame: bytes) -> Reading:
        known = b'"choices"' in frame or b"[DONE]" in frame
        return super().read(frame) if known or self.fault != "event" else Reading()


ASKED = contract.recorded("openai_chat", "choices.request.json")
STREAM = contract.recorded("openai_chat", "choices.response.sse")

CHECKS: dict[str, Callable[[Format], None]] = {
    "error": lambda f: exchanges.an_error_passes(f, *exchanges.ERRORS["openai_chat"][0]),
    "event": lambda f: exchanges.a_streams_error_passes(f, exchanges.STREAM_ERRORS["openai_chat"]),
    "member": lambda f: exchanges.members_are_kept(f, ASKED, request=True),
    "edit": lambda f: exchanges.members_are_kept(f, ASKED, request=True),
}


@pytest.mark.parametrize("fault", CHECKS)
@pytest.mark.interpreted
def test_each_promise_bites(fault: str) -> None:
    """A format that breaks one promise fails that check, and passes it without the fault."""
    CHECKS[fault](Faulty("none"))
    with pytest.raises(AssertionError):
        CHECKS[fault](Faulty(fault))


@pytest.mark.interpreted
def test_an_event_that_is_passed_over_is_found() -> None:
    """Planted: a reader that knows its own events only."""
    unknown = exchanges.unknown_event("openai_chat")
    exchanges.events_are_kept(Faulty("none"), STREAM, unknown)
    with pytest.raises(AssertionError):
        exchanges.events_are_kept(Faulty("event"), STREAM, unknown)
