"""One connection: what it takes for granted of no client, and how it goes down."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from h2.settings import SettingCodes
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.rpc import frames
from safeguards_extproc.rpc.call import Call
from safeguards_extproc.rpc.connection import AT_ONCE, DRAINING, UNREAD_ANSWERS, WAITING, Connection, Limits
from safeguards_extproc.rpc.frames import ACK, END_HEADERS, END_STREAM, ErrorCode, frame
from safeguards_extproc.rpc.status import Status
from tests.rpc.talk import GRPC, HEADERS, Echo, Silent, Talk, framed

SETTINGS = frames.settings({})
HEADS = b"".join(
    b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
    for name, value in HEADERS + GRPC
)
BLOCK, OPEN_BLOCK = (frame(frames.HEADERS, flags, 1, HEADS) for flags in (END_HEADERS, 0))


def answered(*parts: bytes, limits: Limits | None = None) -> tuple[Connection, bytes]:
    """A connection that got the preface and these, and all that it said."""
    connection = Connection(Echo, lambda: None, limits)
    said = connection.take()
    for part in (frames.PREFACE, *parts):
        connection.receive(part)
    return connection, said + connection.take()


def goaway(said: bytes) -> ErrorCode | None:
    """The code of the GOAWAY that it ends with."""
    if said[-17:-8] != b"\0\0\x08\x07\0\0\0\0\0":
        return None
    return ErrorCode(struct.unpack(">L", said[-4:])[0])


@given(
    calls=st.lists(st.lists(st.binary(max_size=400), max_size=4), min_size=1, max_size=6),
    order=st.randoms(use_true_random=False),
    pieces=st.lists(st.integers(1, 500), min_size=1, max_size=5),
)
@settings(max_examples=80, deadline=None)
def test_calls_do_not_mix(calls: list[list[bytes]], order: object, pieces: list[int]) -> None:
    """Many at once, their frames in any order: each hears its own messages."""
    talk = Talk(pieces=pieces, window=2000)
    numbers = [talk.open() for _ in calls]
    todo = [(number, message) for number, messages in zip(numbers, calls, strict=True) for message in messages]
    order.shuffle(todo)  # type: ignore[attr-defined]
    for number, message in todo:
        talk.say(number, framed(message))
    for number in numbers:
        talk.say(number, b"", end=True)
        mine = [message for whose, message in todo if whose == number]
        assert (framed(*mine), "0") == (talk.heard[number].data, talk.heard[number].status)
    assert talk.server.calls == 0


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([BLOCK], ErrorCode.PROTOCOL_ERROR),
        ([frames.SETTINGS_ACK], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.DATA, 0, 1, b"x")], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, BLOCK, frame(frames.DATA, 0, 3, b"x")], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.DATA, 0, 0, b"x")], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.HEADERS, END_HEADERS, 2, HEADS)], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.HEADERS, END_HEADERS, 0, HEADS)], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, BLOCK, BLOCK], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, OPEN_BLOCK, frames.ping(b"8" * 8, ack=False)], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, OPEN_BLOCK, frame(frames.CONTINUATION, 4, 3, b"")], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.CONTINUATION, END_HEADERS, 1, HEADS)], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff")], ErrorCode.COMPRESSION_ERROR),
        ([SETTINGS, frame(frames.HEADERS, END_HEADERS, 1, b"\xc8")], ErrorCode.COMPRESSION_ERROR),
        ([SETTINGS, frame(frames.HEADERS, END_HEADERS | frames.PADDED, 1, b"\xff")], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.HEADERS, END_HEADERS | frames.WITH_PRIORITY, 1, b"")], ErrorCode.FRAME_SIZE_ERROR),
        ([SETTINGS, BLOCK, frame(frames.DATA, frames.PADDED, 1, b"\x05xxx")], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.PING, 0, 0, b"7")], ErrorCode.FRAME_SIZE_ERROR),
        ([SETTINGS, frame(frames.PING, 0, 1, b"8" * 8)], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.SETTINGS, 0, 0, b"12345")], ErrorCode.FRAME_SIZE_ERROR),
        ([SETTINGS, frame(frames.SETTINGS, ACK, 0, b"123456")], ErrorCode.FRAME_SIZE_ERROR),
        ([SETTINGS, frame(frames.SETTINGS, 0, 1, b"")], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31})], ErrorCode.FLOW_CONTROL_ERROR),
        ([SETTINGS, frames.settings({frames.MAX_FRAME_SIZE: 16_383})], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frames.window_update(0, 0)], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frames.window_update(0, 2**31 - 1)], ErrorCode.FLOW_CONTROL_ERROR),
        ([SETTINGS, frames.window_update(7, 1)], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.WINDOW_UPDATE, 0, 0, b"1")], ErrorCode.FRAME_SIZE_ERROR),
        ([SETTINGS, frame(frames.RST_STREAM, 0, 7, b"1234")], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, BLOCK, frame(frames.RST_STREAM, 0, 1, b"1")], ErrorCode.FRAME_SIZE_ERROR),
        ([SETTINGS, frame(frames.GOAWAY, 0, 1, b"8" * 8)], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.GOAWAY, 0, 0, b"")], ErrorCode.FRAME_SIZE_ERROR),
        ([SETTINGS, frame(frames.PUSH_PROMISE, 0, 1, b"")], ErrorCode.PROTOCOL_ERROR),
        ([SETTINGS, frame(frames.DATA, 0, 1, b"x" * 16_385)], ErrorCode.FRAME_SIZE_ERROR),
        ([SETTINGS, *[frame(frames.HEADERS, 0, 1, b"x" * 16_384), *[frame(9, 0, 1, b"x" * 16_384)] * 4]],
         ErrorCode.ENHANCE_YOUR_CALM),
        ([SETTINGS, OPEN_BLOCK, frame(frames.CONTINUATION, 0, 1, b"")], ErrorCode.PROTOCOL_ERROR),
    ],
)  # fmt: skip
def test_a_client_that_breaks_the_rules_is_told_and_cut_off(parts: list[bytes], code: ErrorCode) -> None:
    """The error codes are those of RFC 9113. What comes afterwards is not looked at."""
    connection, said = answered(*parts)
    assert (code, True) == (goaway(said), connection.closed)
    connection.receive(BLOCK)
    assert (connection.calls, connection.take()) == (0, b"")


def test_whoever_does_not_speak_http_2_is_cut_off_at_the_first_bytes() -> None:
    """An HTTP/1.1 request, or anything else, without waiting for more."""
    connection = Connection(Echo, lambda: None)
    connection.receive(b"GET ")
    assert (connection.closed, goaway(connection.take())) == (True, ErrorCode.PROTOCOL_ERROR)


@given(cut=st.integers(0, 200), change=st.binary(min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_nothing_that_arrives_raises(cut: int, change: bytes) -> None:
    """A valid conversation with some of its bytes exchanged: an answer, an end, never an exception."""
    talk = frames.PREFACE + SETTINGS + BLOCK + frame(frames.DATA, END_STREAM, 1, framed(b"hello", b"there"))
    spoiled = talk[:cut] + change + talk[cut + len(change) :]
    connection = Connection(Echo, lambda: None)
    for start in range(0, len(spoiled), 50):
        connection.receive(spoiled[start : start + 50])
    connection.lost()
    assert connection.calls == 0


@pytest.mark.parametrize(
    "frames_of_no_matter",
    [
        frame(frames.PRIORITY, 0, 1, b"12345"),
        frame(0xFA, 0, 0, b"an extension's"),
        frame(frames.GOAWAY, 0, 0, b"8" * 8),
        frames.settings({0xF000: 1}),
    ],
)
def test_what_we_do_not_need_is_read_past(frames_of_no_matter: bytes) -> None:
    """Priorities, extensions, unknown settings, and a client that will open no more calls."""
    talk = Talk()
    number = talk.open()
    talk.raw(frames_of_no_matter)
    talk.say(number, framed(b"hello"), end=True)
    assert talk.heard[number].status == "0"


def test_headers_may_come_in_pieces_with_padding_and_priority() -> None:
    """Each part of a block, whatever surrounds it."""
    first = b"\x02" + b"12345" + HEADS[:9] + b"\0\0"
    connection, said = answered(
        SETTINGS,
        frame(frames.HEADERS, frames.PADDED | frames.WITH_PRIORITY, 1, first),
        frame(frames.CONTINUATION, 0, 1, HEADS[9:20]),
        frame(frames.CONTINUATION, END_HEADERS, 1, HEADS[20:]),
        frame(frames.DATA, frames.PADDED | END_STREAM, 1, b"\x03" + framed(b"hello") + b"\0\0\0"),
    )
    assert framed(b"hello") in said
    assert not connection.closed


@given(paths=st.lists(st.sampled_from(["/a", "/b", "/c", "/d"]), max_size=40))
def test_a_client_whose_headers_repeat_is_understood(paths: list[str]) -> None:
    """It sends references to a table; when the table changes, so does what they mean."""
    heard: list[str] = []

    def owner(call: Call) -> None:
        heard.append(call.path)

    connection, encoder = Connection(owner, lambda: None), Encoder()
    connection.receive(frames.PREFACE + SETTINGS)
    for number, path in enumerate(paths):
        block = encoder.encode([HEADERS[0], (":path", path), *GRPC])
        connection.receive(frame(frames.HEADERS, END_HEADERS, 2 * number + 1, block))
    assert paths == heard


def test_a_block_that_adds_to_the_table_adds_each_time() -> None:
    """The same bytes twice are two entries: what is referred to afterwards lies one further back."""
    heard: list[str] = []

    def owner(call: Call) -> None:
        heard.append(call.path)

    def literal(name: int, value: bytes) -> bytes:
        return bytes((0x40 | name, len(value))) + value  # with an index (RFC 7541, 6.2.1)

    rest = b"\x83" + literal(31, b"application/grpc")
    added, again = literal(4, b"/first") + rest, literal(4, b"/second") + rest
    newest, older = b"\xbf\x83\xbe", b"\xc1\x83\xc0"
    connection = Connection(owner, lambda: None)
    connection.receive(frames.PREFACE + SETTINGS)
    for number, block in enumerate([added, newest, again, newest, added, older, newest]):
        connection.receive(frame(frames.HEADERS, END_HEADERS, 2 * number + 1, block))
    assert ["/first", "/first", "/second", "/second", "/first", "/second", "/first"] == heard


@pytest.mark.parametrize(
    ("headers", "status", "grpc"),
    [
        ([*HEADERS[:2], (":path", "/test/Nothing"), HEADERS[3], *GRPC], "200", "12"),
        ([*HEADERS, ("content-type", "text/html")], "415", ""),
        ([(":method", "GET"), *HEADERS[1:], *GRPC], "415", ""),
    ],
    ids=["no such method", "no gRPC", "GET"],
)
def test_who_asks_for_something_else_is_told(headers: list[tuple[str, str]], status: str, grpc: str) -> None:
    """With the status of gRPC where the client speaks it, with that of HTTP otherwise."""
    talk = Talk()
    number = talk.open(headers)
    heard = talk.heard[number]
    assert (status, grpc, True) == (heard.headers[":status"], heard.status, heard.ended)
    assert talk.server.calls == 0


def test_only_so_many_calls_at_once() -> None:
    """One more is refused in a way that tells the client to try it elsewhere; the others go on."""
    connection = Connection(Silent, lambda: None, Limits(calls=2))
    connection.receive(frames.PREFACE + SETTINGS)
    connection.take()
    for number in (1, 3, 5):
        connection.receive(frame(frames.HEADERS, END_HEADERS, number, HEADS))
    assert (frames.rst_stream(5, ErrorCode.REFUSED_STREAM), 2) == (connection.take(), connection.calls)
    connection.receive(frame(frames.RST_STREAM, 0, 1, b"\0\0\0\x08"))
    connection.receive(frame(frames.HEADERS, END_HEADERS, 7, HEADS))
    assert (b"", 2) == (connection.take(), connection.calls)


@pytest.mark.parametrize("flood", [frames.ping(b"8" * 8, ack=False), SETTINGS], ids=["pings", "settings"])
def test_a_client_that_reads_no_answer_is_cut_off(flood: bytes) -> None:
    """Answers to its control frames would fill our memory; as long as they are written, it may go on."""
    connection, _ = answered(SETTINGS)
    for _ in range(3):
        connection.receive(flood * (UNREAD_ANSWERS - 1))
        assert connection.take()
        assert not connection.closed
    connection.receive(flood * (UNREAD_ANSWERS + 1))
    assert (True, ErrorCode.ENHANCE_YOUR_CALM) == (connection.closed, goaway(connection.take()))


def test_the_connections_window_is_given_back() -> None:
    """Many bytes in many calls, some of them over: the client is never stuck, and an overrun is an error."""
    limits = Limits(window=100_000, connection_window=100_000)
    talk = Talk(limits=limits)
    for number in [talk.open() for _ in range(4)] * 3:
        talk.say(number, framed(b"x" * 30_000))
    assert talk.client.inbound_flow_control_window > 0
    over = Connection(Silent, lambda: None, limits)
    over.receive(frames.PREFACE + SETTINGS)
    for number in (1, 3):
        over.receive(frame(frames.HEADERS, END_HEADERS, number, HEADS))
    over._window = 16_000
    over.receive(frame(frames.DATA, 0, 1, b"\0" * 16_384))
    assert (True, ErrorCode.FLOW_CONTROL_ERROR) == (over.closed, goaway(over.take()))


def test_a_full_socket_holds_messages_and_lets_acknowledgements_through() -> None:
    """While the socket takes nothing, answers wait in their calls, which then hear nothing more; a ping is answered."""
    connection = Connection(Echo, lambda: None)
    connection.receive(frames.PREFACE + SETTINGS + BLOCK)
    connection.take()
    connection.hold()
    connection.receive(frame(frames.DATA, 0, 1, framed(b"hello")) + frames.ping(b"12345678", ack=False))
    connection.receive(frames.window_update(0, 5))
    assert frames.ping(b"12345678", ack=True) in (waiting := connection.take())
    assert framed(b"hello") not in waiting
    connection.go_on()
    assert framed(b"hello") in connection.take()
    assert connection.room == frames.DEFAULT_WINDOW - len(framed(b"hello")) + 5


def test_a_word_does_not_wait_for_documents() -> None:
    """When a socket takes more again, the shortest answer leaves first, and documents a few at a time."""
    later: list[Callable[[], None]] = []
    calls: list[Call] = []

    def route(call: Call) -> Silent:
        calls.append(call)
        return Silent(call)

    connection = Connection(route, lambda: None, later=later.append)
    room = frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 20}) + frames.window_update(0, 1 << 24)
    connection.receive(frames.PREFACE + room)
    for number in (1, 3, 5):
        connection.receive(frame(frames.HEADERS, END_HEADERS, number, HEADS))
    connection.take()
    connection.hold()
    for call, size in zip(calls, (AT_ONCE, AT_ONCE + 1, 10), strict=True):
        call.send(b"x" * size)
    connection.go_on()
    assert [0, len(framed(b"")) + AT_ONCE + 1, 0] == [call.unsent for call in calls]
    later.pop()()
    assert ([], 0) == (later, calls[1].unsent)


def test_a_window_opens_again_when_nothing_is_more_urgent() -> None:
    """Who sends a document is let on after what else there is to do; it is asked for once, and not for what is over."""
    later: list[Callable[[], None]] = []
    connection = Connection(Silent, lambda: None, Limits(window=1000), later=later.append)
    connection.receive(frames.PREFACE + SETTINGS + BLOCK)
    connection.receive(frame(frames.DATA, 0, 1, framed(b"x" * 2000)[:600]))
    connection.receive(frame(frames.DATA, 0, 1, b"x" * 100))
    connection.take()
    assert 1 == len(later)
    later.pop()()
    assert frames.window_update(1, 700) == connection.take()
    connection.receive(frame(frames.DATA, 0, 1, b"x" * 600) + frames.rst_stream(1, ErrorCode.NO_ERROR))
    connection.take()
    later.pop()()
    assert b"" == connection.take()


def test_windows_that_the_client_changes_count_at_once() -> None:
    """A new initial window opens the calls that wait, and may make what they have negative."""
    talk = Talk(window=0)
    number = talk.open()
    talk.say(number, framed(b"hello"))
    heard = []
    for window in (0, 4, 2, 3, 10):
        talk.client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        talk.reads = False
        talk.pump()
        heard.append(talk.heard[number].data)
    assert [framed(b"hello")[:size] for size in (0, 4, 4, 4, 10)] == heard


def test_what_is_said_between_receiving_wakes_the_writer_once() -> None:
    """A timer's answer is written though nothing arrived."""
    talk = Talk(Silent)
    talk.open()
    owner = talk.owners[0]
    assert isinstance(owner, Silent)
    before = talk.woken
    owner.call.send(b"one")
    owner.call.send(b"two")
    assert talk.woken == before + 1
    talk.pump()
    owner.call.send(b"three")
    assert talk.woken == before + 2


def test_going_away_loses_no_call() -> None:
    """Calls under way end by themselves, those that the client sent before it knew are taken, later ones are not."""
    owners: list[Silent] = []

    def owner(call: Call) -> Silent:
        owners.append(Silent(call))
        return owners[-1]

    connection = Connection(owner, lambda: None)
    connection.receive(frames.PREFACE + SETTINGS + BLOCK)
    connection.take()
    connection.go_away()
    warning = frames.goaway(frames.LAST_STREAM, ErrorCode.NO_ERROR) + frames.ping(DRAINING, ack=False)
    assert warning == connection.take()
    connection.receive(frame(frames.HEADERS, END_HEADERS, 3, HEADS))  # the client has not read it yet
    connection.receive(frames.ping(DRAINING, ack=True))
    assert frames.goaway(3, ErrorCode.NO_ERROR) == connection.take()
    connection.receive(frame(frames.HEADERS, END_HEADERS, 5, HEADS))
    assert (connection.calls, len(owners)) == (2, 2)
    for each in owners:
        assert not connection.closed
        each.call.end(Status.OK)
    assert connection.closed


def test_going_away_without_calls_closes_at_the_answer() -> None:
    """Not before: a call might be under way."""
    talk = Talk()
    talk.server.go_away()
    assert not talk.server.closed
    talk.server.take()
    talk.server.receive(frames.ping(DRAINING, ack=True))
    assert talk.server.closed


def test_a_lost_connection_ends_every_call_once() -> None:
    """Each owner hears it, and nothing is left."""
    talk = Talk(Silent)
    for _ in range(3):
        talk.open()
    talk.server.lost()
    talk.server.lost()
    assert [owner.events for owner in talk.owners if isinstance(owner, Silent)] == [["gone"]] * 3
    assert (talk.server.calls, talk.server.take()) == (0, b"")


def test_a_ping_of_ours_is_answered_behind_what_was_said_before() -> None:
    """So the time until then is what a message waits; an answer to a PING that nobody sent is none."""
    heard: list[bytes] = []
    answers: list[int] = []

    class Hearing(Silent):
        def message(self, data: bytes) -> None:
            heard.append(data)

    server = Connection(Hearing, lambda: None, answered=lambda: answers.append(len(heard)))
    server.receive(frames.PREFACE + SETTINGS)
    server.ping()
    assert frames.ping(WAITING, ack=False) in server.take()
    server.receive(BLOCK + frame(frames.DATA, 0, 1, framed(b"a", b"b")) + frames.ping(WAITING, ack=True))
    server.receive(frames.ping(b"12345678", ack=True))
    assert [2] == answers
