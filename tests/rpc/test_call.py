"""One call: messages whole and in order, room on both sides, and how it ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.rpc.call import BACKLOG, Call
from safeguards_extproc.rpc.connection import Limits
from safeguards_extproc.rpc.frames import ErrorCode
from safeguards_extproc.rpc.status import Status
from tests.rpc.talk import Echo, Silent, Talk, framed

SMALL = Limits(window=1000, connection_window=70_000, message=5000)


@given(
    messages=st.lists(st.binary(max_size=3000), max_size=8),
    pieces=st.lists(st.integers(1, 3000), min_size=1, max_size=6),
    window=st.integers(1, 5000),
)
@settings(max_examples=150, deadline=None)
def test_messages_arrive_whole_however_they_are_cut(messages: list[bytes], pieces: list[int], window: int) -> None:
    """Whatever cuts the bytes (the socket, our window, the client's): the same messages there and back, then OK."""
    talk = Talk(limits=SMALL, pieces=pieces, window=window)
    number = talk.open()
    talk.say(number, framed(*messages), end=True)
    owner, heard = talk.owners[0], talk.heard[number]
    assert isinstance(owner, Echo)
    assert messages == owner.heard
    assert (framed(*messages), "0", True, None) == (heard.data, heard.status, heard.ended, heard.reset)
    assert owner.events == ["half-closed"]
    assert talk.server.calls == 0


@given(cut=st.integers(1, 30))
def test_the_check_of_the_messages_bites(cut: int) -> None:
    """Bytes that were lost on the way are seen: another message, or a call that was cut short."""
    talk, messages = Talk(), [b"first message", b"second message"]
    number = talk.open()
    whole = framed(*messages)
    talk.say(number, whole[: cut - 1] + whole[cut:], end=True)
    owner = talk.owners[0]
    assert isinstance(owner, Echo)
    assert messages != owner.heard


def test_a_message_that_is_cut_short_is_no_message() -> None:
    """The client closes in the middle of one: the owner never sees it, and the call does not end well."""
    talk = Talk()
    number = talk.open()
    talk.say(number, framed(b"whole") + framed(b"broken")[:-1], end=True)
    owner = talk.owners[0]
    assert isinstance(owner, Echo)
    assert ([b"whole"], ["gone"]) == (owner.heard, owner.events)
    assert str(int(Status.INTERNAL)) == talk.heard[number].status


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"\1\0\0\0\1x", Status.UNIMPLEMENTED), (b"\0\0\0\x13\x89", Status.RESOURCE_EXHAUSTED)],
    ids=["compressed", "too large"],
)
def test_a_message_that_we_cannot_take_ends_the_call(data: bytes, status: Status) -> None:
    """Compressed though we said that we take none, or larger than the limit: before it is held."""
    talk = Talk(limits=SMALL)
    number = talk.open()
    talk.say(number, data)
    owner = talk.owners[0]
    assert isinstance(owner, Echo)
    assert (["gone"], str(int(status))) == (owner.events, talk.heard[number].status)
    assert int(ErrorCode.NO_ERROR) == talk.heard[number].reset, "the client need not send the rest"


def test_a_paused_call_holds_the_client_back() -> None:
    """No message is given, and no more than the window is taken; afterwards everything comes in order."""
    talk = Talk(Silent, SMALL)
    number = talk.open()
    owner = talk.owners[0]
    assert isinstance(owner, Silent)
    talk.say(number, framed(b"0"))
    owner.call.pause()
    sent = 1
    while talk.client.local_flow_control_window(number) >= 105:
        talk.say(number, framed(b"%d" % sent * 10)[:105])
        sent += 1
    assert owner.heard == [b"0"]
    assert talk.client.local_flow_control_window(number) < 105
    owner.call.resume()
    talk.pump()
    assert [b"0", *(b"%d" % each * 10 for each in range(1, sent))] == owner.heard
    assert talk.client.local_flow_control_window(number) > 500


def test_a_client_that_reads_nothing_is_not_listened_to() -> None:
    """Once more of our answers wait than BACKLOG, its messages are kept back; they come when it reads."""

    class Loud(Silent):
        def message(self, data: bytes) -> None:
            super().message(data)
            self.call.send(b"x" * (BACKLOG // 2))

    talk = Talk(Loud, pieces=[200])
    talk.reads = False
    number = talk.open()
    for _ in range(8):
        talk.say(number, framed(b"more"))
    owner = talk.owners[0]
    assert isinstance(owner, Loud)
    assert 3 <= len(owner.heard) < 8
    assert owner.call.unsent <= 2 * BACKLOG
    talk.reads = True
    talk.client.acknowledge_received_data(len(talk.heard[number].data), number)
    talk.pump()
    assert len(owner.heard) == 8
    assert len(talk.heard[number].data) == 8 * (BACKLOG // 2 + 5)


def test_an_error_overtakes_what_waits() -> None:
    """Answers that were not begun are dropped; the status says what happened."""
    talk = Talk(Silent, window=0)
    number = talk.open()
    owner = talk.owners[0]
    assert isinstance(owner, Silent)
    owner.call.send(b"x" * 100)
    owner.call.end(Status.UNAVAILABLE, "going 100 %")
    talk.pump()
    heard = talk.heard[number]
    assert (heard.data, heard.status, heard.trailers["grpc-message"]) == (b"", "14", "going 100 %25")
    assert heard.reset == ErrorCode.NO_ERROR


def test_ok_waits_for_what_was_sent() -> None:
    """However late the client reads."""
    talk = Talk(window=0)
    number = talk.open()
    talk.say(number, framed(b"hello"), end=True)
    assert (talk.heard[number].data, talk.heard[number].ended) == (b"", False)
    talk.client.increment_flow_control_window(100, number)
    talk.pump()
    assert (framed(b"hello"), "0") == (talk.heard[number].data, talk.heard[number].status)


def test_within_a_message_only_a_reset_can_be_said() -> None:
    """Trailers after half a message would make it look whole to a careless client."""
    talk = Talk(Silent, window=10)
    number = talk.open()
    owner = talk.owners[0]
    assert isinstance(owner, Silent)
    owner.call.send(b"x" * 100)
    owner.call.end(Status.UNAVAILABLE)
    talk.pump()
    heard = talk.heard[number]
    assert (len(heard.data), heard.ended, heard.reset) == (10, False, int(ErrorCode.INTERNAL_ERROR))


def test_nothing_is_said_after_the_end() -> None:
    """An owner that goes on does no harm, and one whose client left neither."""
    talk = Talk(Silent)
    first, second = talk.open(), talk.open()
    ended, left = talk.owners
    assert isinstance(ended, Silent)
    assert isinstance(left, Silent)
    ended.call.end(Status.OK)
    ended.call.send(b"late")
    ended.call.end(Status.INTERNAL, "later still")
    talk.client.reset_stream(second)
    talk.pump()
    left.call.send(b"late")
    left.call.end(Status.OK)
    talk.pump()
    assert (talk.heard[first].data, talk.heard[first].status) == (b"", "0")
    assert left.events == ["gone"]
    assert talk.heard[second].headers == {}
    assert [call.over for call in (ended.call, left.call)] == [True, True]


def test_an_ended_call_hears_nothing_more() -> None:
    """What was under way when it ended is read past, and costs the connection's window nothing."""
    talk = Talk(Silent, Limits(window=1 << 20, connection_window=80_000))
    number = talk.open()
    owner = talk.owners[0]
    assert isinstance(owner, Silent)
    owner.call.end(Status.OK)
    for _ in range(20):  # the client has not heard yet
        talk.server.receive(b"\0\x40\0\0\0\0\0\0" + bytes((number,)) + b"\0" * 16_384)
        assert not talk.server.closed
        talk.server.take()
    assert (owner.heard, owner.events) == ([], [])


def test_a_window_that_is_overrun_is_an_error_of_the_client() -> None:
    """More bytes than we said we take end the call."""
    talk = Talk(Silent, SMALL)
    number = talk.open()
    owner = talk.owners[0]
    assert isinstance(owner, Silent)
    owner.call.pause()
    talk.raw(b"\0\x03\xe9\0\0\0\0\0" + bytes((number,)) + b"\0" * 1001)
    assert (talk.heard[number].reset, owner.events) == (int(ErrorCode.FLOW_CONTROL_ERROR), ["gone"])


def test_a_call_has_a_path() -> None:
    """As the client wrote it."""
    paths: list[str] = []

    def owner(call: Call) -> Echo:
        paths.append(call.path)
        return Echo(call)

    Talk(owner).open()
    assert paths == ["/test/Echo"]


def test_a_client_that_has_said_all_is_not_reset() -> None:
    """Only one that might still be sending is told that it need not."""
    talk = Talk(Silent)
    for end, reset in [(True, None), (False, int(ErrorCode.NO_ERROR))]:
        number = talk.open(end=end)
        owner = talk.owners[-1]
        assert isinstance(owner, Silent)
        owner.call.end(Status.OK)
        written = talk.server.take()
        assert (b"\x03\0\0\0\0" + bytes((number,)) in written) is (reset is not None)


def test_an_owner_that_has_ended_its_call_hears_of_it_no_more() -> None:
    """Also where its last words still waited for room when the client left."""
    talk = Talk(window=0)
    number = talk.open()
    talk.say(number, framed(b"hello"), end=True)
    talk.client.reset_stream(number)
    talk.pump()
    owner = talk.owners[0]
    assert isinstance(owner, Echo)
    assert (owner.events, owner.call.over) == (["half-closed"], True)


def test_what_waited_counts_for_the_connection_too() -> None:
    """All calls share its room, whether they sent at once or later."""
    talk = Talk(window=0)
    numbers = [talk.open(), talk.open()]
    for number in numbers:
        talk.say(number, framed(b"x" * 95))
    before = talk.server.room
    for number in numbers:
        talk.client.increment_flow_control_window(1000, number)
    talk.pump()
    assert talk.server.room == before - 200


def test_trailers_of_a_call_that_is_over_begin_no_other() -> None:
    """They were on their way when it ended."""
    talk = Talk(Silent)
    number = talk.open()
    owner = talk.owners[0]
    assert isinstance(owner, Silent)
    owner.call.end(Status.OK)
    talk.server.take()
    talk.client.send_headers(number, [("late", "yes")], end_stream=True)
    talk.server.receive(talk.client.data_to_send())
    assert (talk.server.take(), talk.server.calls, talk.server.closed) == (b"", 0, False)
