"""Our bytes are read back with Envoy's own classes, and Envoy's bytes are made with them."""

from __future__ import annotations

import pytest
from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue, HeaderValueOption  # type: ignore[import-untyped]
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode  # type: ignore[import-untyped]
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb  # type: ignore[import-untyped]
from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.adapters import extproc
from safeguards_extproc.core.effects import AnswerBody, Refuse, SendBody, SendHeaders, SendTrailers
from safeguards_extproc.core.events import Body, BodyMode, Headers, Opened, Trailers
from safeguards_extproc.core.text import Direction
from safeguards_extproc.errors import IllegalEvent

directions = st.sampled_from(Direction)
octets = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=300)
names = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
sizes = st.one_of(st.integers(0, 300), st.sampled_from([127, 128, 16_383, 16_384, 62_000, 2_097_152]))
metadata = st.none() | st.dictionaries(
    st.text(min_size=1, max_size=20), st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=200), min_size=1
)


def headers(fields: list[tuple[str, bytes]], *, end: bool = False) -> pb.HttpHeaders:
    return pb.HttpHeaders(
        headers=HeaderMap(headers=[HeaderValue(key=name, raw_value=value) for name, value in fields]), end_of_stream=end
    )


def config(request: int, response: int) -> pb.ProtocolConfiguration:
    return pb.ProtocolConfiguration(request_body_mode=request, response_body_mode=response)


def read_back(effect: extproc.Answer) -> pb.ProcessingResponse:
    return pb.ProcessingResponse.FromString(extproc.encode(effect))


def mutations(mutation: pb.HeaderMutation) -> tuple[list[tuple[str, str]], list[str]]:
    """What a HeaderMutation says, once each option is known to overwrite."""
    for option in mutation.set_headers:
        assert option.append_action == HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    pairs = [(option.header.key, option.header.raw_value.decode("latin-1")) for option in mutation.set_headers]
    return pairs, list(mutation.remove_headers)


def test_the_first_message_tells_the_conventions() -> None:
    """protocol_config names both body modes, and the same message is the first event."""
    raw = pb.ProcessingRequest(
        request_headers=headers([(":method", b"POST")]),
        protocol_config=config(ProcessingMode.FULL_DUPLEX_STREAMED, ProcessingMode.BUFFERED),
        observability_mode=True,
    ).SerializeToString()
    expected = (
        Opened(BodyMode.DUPLEX, BodyMode.BUFFERED, silent=True),
        Headers(Direction.REQUEST, {":method": "POST"}, False),
    )
    assert expected == extproc.opened(raw)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (ProcessingMode.NONE, BodyMode.NONE),
        (ProcessingMode.STREAMED, BodyMode.STREAMED),
        (ProcessingMode.BUFFERED, BodyMode.BUFFERED),
        (ProcessingMode.BUFFERED_PARTIAL, BodyMode.PARTIAL),
        (ProcessingMode.FULL_DUPLEX_STREAMED, BodyMode.DUPLEX),
    ],
)
def test_every_body_mode_has_its_name(mode: int, expected: BodyMode) -> None:
    """Envoy's five body modes are the core's five."""
    raw = pb.ProcessingRequest(request_headers=headers([]), protocol_config=config(mode, mode)).SerializeToString()
    assert Opened(expected, expected) == extproc.opened(raw)[0]


@pytest.mark.parametrize(
    "first",
    [
        pb.ProcessingRequest(request_headers=headers([])),
        pb.ProcessingRequest(request_headers=headers([]), protocol_config=config(ProcessingMode.GRPC, 0)),
        pb.ProcessingRequest(protocol_config=config(0, 0)),
    ],
    ids=["no protocol_config", "GRPC bodies", "no event"],
)
def test_a_stream_of_unknown_conventions_is_refused(first: pb.ProcessingRequest) -> None:
    """Where we cannot know what Envoy expects, the stream fails instead of letting bytes through by mistake."""
    with pytest.raises(IllegalEvent):
        extproc.opened(first.SerializeToString())


def test_headers_are_joined_and_lower_case() -> None:
    """A repeated name's values are joined; octets that are not ASCII survive."""
    raw = pb.ProcessingRequest(
        response_headers=headers([("X-A", b"1"), ("x-a", b"2"), ("x-b", b"caf\xe9")], end=True)
    ).SerializeToString()
    assert Headers(Direction.RESPONSE, {"x-a": "1, 2", "x-b": "caf\xe9"}, True) == extproc.decode(raw)


def test_a_header_in_the_old_value_field_is_read() -> None:
    """A data plane that fills `value` and not `raw_value` is understood."""
    raw = pb.ProcessingRequest(
        request_headers=pb.HttpHeaders(headers=HeaderMap(headers=[HeaderValue(key="host", value="example.com")]))
    ).SerializeToString()
    assert Headers(Direction.REQUEST, {"host": "example.com"}, False) == extproc.decode(raw)


@given(direction=directions, data=st.binary(max_size=400), end=st.booleans())
def test_a_chunk_is_the_bytes_and_the_end(direction: Direction, data: bytes, end: bool) -> None:
    """A body message becomes one Body event, empty ones included."""
    message = pb.ProcessingRequest()
    target = message.request_body if direction is Direction.REQUEST else message.response_body
    target.body, target.end_of_stream = data, end
    target.SetInParent()
    assert Body(direction, data, end) == extproc.decode(message.SerializeToString())


def test_trailers_end_a_direction() -> None:
    """Trailers are an event of their direction; what they hold is not read."""
    for direction in Direction:
        raw = pb.ProcessingRequest(**{f"{direction.value}_trailers": pb.HttpTrailers()}).SerializeToString()
        assert Trailers(direction) == extproc.decode(raw)


@given(raw=st.binary(max_size=60), cut=st.integers(0, 60))
def test_bytes_that_are_no_message_are_an_illegal_event(raw: bytes, cut: int) -> None:
    """Whatever arrives, decoding gives an event or IllegalEvent, which names none of the bytes."""
    valid = pb.ProcessingRequest(request_headers=headers([("a", b"secret words")])).SerializeToString()
    for candidate in (raw, valid[:cut], valid[:cut] + raw):
        said = ""
        try:
            extproc.decode(candidate)
        except IllegalEvent as error:
            said = str(error)
        assert "secret" not in said


@given(direction=directions, size=sizes, end=st.booleans(), meta=metadata)
def test_a_streamed_chunk_reads_back(
    direction: Direction, size: int, end: bool, meta: dict[str, str | int | float | bool] | None
) -> None:
    """The four nested lengths are right at every size, the varint's edges included."""
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    message = read_back(SendBody(direction, data, end, meta))
    assert f"{direction.value}_body" == message.WhichOneof("response")
    body = message.request_body if direction is Direction.REQUEST else message.response_body
    streamed = body.response.body_mutation.streamed_response
    assert body.response.body_mutation.WhichOneof("mutation") == "streamed_response"
    assert (data, end) == (streamed.body, streamed.end_of_stream)
    expected = {"safeguards": meta} if meta else {}
    assert expected == MessageToDict(message.dynamic_metadata)


def test_the_check_sees_a_wrong_length() -> None:
    """A prefix made for another size does not pass the reading back that the test above relies on."""
    broken = extproc.encode(SendBody(Direction.RESPONSE, b"x" * 200, False))[:-200] + b"x" * 199
    with pytest.raises(Exception, match="Error parsing message"):
        pb.ProcessingResponse.FromString(broken)


@pytest.mark.long
@given(direction=directions, put=st.lists(st.tuples(names, octets), max_size=4), remove=st.lists(names, max_size=3))
def test_a_headers_answer_reads_back(direction: Direction, put: list[tuple[str, str]], remove: list[str]) -> None:
    """Set headers overwrite, removed ones are named, and nothing else is said."""
    message = read_back(SendHeaders(direction, put, remove, clear_route_cache=bool(put)))
    assert f"{direction.value}_headers" == message.WhichOneof("response")
    part = message.request_headers if direction is Direction.REQUEST else message.response_headers
    assert (put, remove) == mutations(part.response.header_mutation)
    assert bool(put) == part.response.clear_route_cache
    assert not part.response.HasField("body_mutation")
    assert part.response.status == pb.CommonResponse.CONTINUE


@pytest.mark.long
@given(direction=directions, data=st.none() | st.binary(max_size=20_000), put=st.lists(st.tuples(names, octets)))
def test_a_paired_answer_reads_back(direction: Direction, data: bytes | None, put: list[tuple[str, str]]) -> None:
    """Unchanged, cleared and replaced bodies are three different answers; the route can be chosen anew with each."""
    message = read_back(AnswerBody(direction, data, put, [name for name, _ in put], clear_route_cache=bool(put)))
    assert f"{direction.value}_body" == message.WhichOneof("response")
    body = message.request_body if direction is Direction.REQUEST else message.response_body
    assert bool(put) == body.response.clear_route_cache
    mutation = body.response.body_mutation
    match data:
        case None:
            assert not body.response.HasField("body_mutation")
        case b"":
            assert mutation.WhichOneof("mutation") == "clear_body"
            assert mutation.clear_body
        case _:
            assert ("body", data) == (mutation.WhichOneof("mutation"), mutation.body)
    assert (put, [name for name, _ in put]) == mutations(body.response.header_mutation)


def test_trailers_are_answered_in_kind() -> None:
    """Each direction's trailers have their own answer, with metadata where there is some."""
    for direction in Direction:
        message = read_back(SendTrailers(direction, {"verdict": "allow", "score": 0.25, "shadow": True, "windows": 3}))
        assert f"{direction.value}_trailers" == message.WhichOneof("response")
        expected = {"safeguards": {"verdict": "allow", "score": 0.25, "shadow": True, "windows": 3.0}}
        assert expected == MessageToDict(message.dynamic_metadata)


@pytest.mark.long
@given(
    status=st.integers(200, 511), body=st.binary(max_size=20_000), put=st.lists(st.tuples(names, octets), max_size=4)
)
def test_a_refusal_reads_back(status: int, body: bytes, put: list[tuple[str, str]]) -> None:
    """Status, headers, body and details of our own answer arrive as they are."""
    refusal = read_back(Refuse(status, put, body, "safeguards_policy", {"verdict": "block"}))
    assert refusal.WhichOneof("response") == "immediate_response"
    message = refusal.immediate_response
    assert (status, body, "safeguards_policy") == (message.status.code, message.body, message.details)
    assert (put, []) == mutations(message.headers)
    assert MessageToDict(refusal.dynamic_metadata) == {"safeguards": {"verdict": "block"}}


def test_a_header_value_beyond_octets_is_replaced() -> None:
    """Encoding is total: a character that no octet stands for becomes a question mark."""
    message = read_back(SendHeaders(Direction.REQUEST, [("x-a", "\u4e2d")]))
    assert mutations(message.request_headers.response.header_mutation) == ([("x-a", "?")], [])


def with_attributes(attributes: dict[str, object], filter_name: str = extproc.FILTER) -> Opened:
    message = pb.ProcessingRequest(request_headers=headers([]), protocol_config=config(0, 0))
    message.attributes[filter_name].update(attributes)
    return extproc.opened(message.SerializeToString())[0]


def test_the_first_message_brings_envoys_attributes() -> None:
    """Strings only, under Envoy's own names; other filters' are none of ours."""
    sent = {"request.path": "/v1/chat/completions", "xds.route_name": "chat", "request.size": 12, "a": "", "b": None}
    assert {"request.path": "/v1/chat/completions", "xds.route_name": "chat"} == with_attributes(sent).attributes
    assert {} == with_attributes(sent, "another.filter").attributes


def test_attributes_are_bounded() -> None:
    """A path that is too long is left out: a part of it could be another path."""
    assert {} == with_attributes({"request.path": "/" + "x" * 8192, "n" * 129: "x"}).attributes
    assert 32 == len(with_attributes({f"a{number}": "x" for number in range(99)}).attributes)


@given(st.permutations([f"a{number:02}" for number in range(40)]))
@settings(max_examples=10)
def test_of_too_many_attributes_the_same_are_read(names: list[str]) -> None:
    """In whatever order they come: a route's name must not be there one time and gone the next."""
    assert [f"a{number:02}" for number in range(32)] == sorted(with_attributes(dict.fromkeys(names, "x")).attributes)


def test_the_first_message_brings_what_filters_found_out() -> None:
    """Each namespace as plain data, whole numbers as such; a number that JSON does not know makes it empty."""
    message = pb.ProcessingRequest(request_headers=headers([]), protocol_config=config(0, 0))
    claims = {"sub": "ann", "level": 3, "groups": ["a"], "deep": {"on": True, "none": None}}
    message.metadata_context.filter_metadata["envoy.filters.http.jwt_authn"].update({"jwt": claims})
    message.metadata_context.filter_metadata["odd"].update({"n": float("inf")})
    opened = extproc.opened(message.SerializeToString())[0]
    assert {"jwt": claims} == opened.metadata["envoy.filters.http.jwt_authn"]
    assert {"envoy.filters.http.jwt_authn", "odd"} == set(opened.metadata)
    assert ({}, None) == (opened.metadata["odd"], opened.metadata.get("other"))
    assert "ann" not in repr(opened) + repr(opened.metadata)
