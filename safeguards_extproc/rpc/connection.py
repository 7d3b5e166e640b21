"""One HTTP/2 connection of a gRPC server: bytes in, calls and bytes out. It knows no socket.

What the peer may cost is bounded: header blocks, calls at once, bytes that it may send before we say more, and answers
to its control frames that it does not read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from hpack import Decoder, HPACKError

from safeguards_extproc.rpc import frames, status
from safeguards_extproc.rpc.call import Call, Owner
from safeguards_extproc.rpc.frames import ACK, END_HEADERS, END_STREAM, PADDED, WITH_PRIORITY, ErrorCode
from safeguards_extproc.rpc.status import Status

DRAINING = b"draining"
"""What our PING says between the two GOAWAYs (RFC 9113, 6.8): its answer comes after all calls that were under way."""

WAITING = b"waiting?"
"""What our other PINGs say: their answer comes after all that the peer had said before, so it has waited as long."""

AT_ONCE = 256 << 10
"""Bytes that leave as soon as the socket takes more again, before others than those that waited have their say."""

UNREAD_ANSWERS = 10_000
"""Acknowledgements and resets that may wait for the socket. A peer that causes more does not read them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`window` bytes of a call and `connection_window` of a connection may arrive before we say more; `calls` at once,
    `message` bytes in one message, `headers` bytes in a header block, compressed and not."""

    window: int = 64 << 10
    connection_window: int = 16 << 20
    calls: int = 1000
    message: int = 64 << 20
    headers: int = 64 << 10


class _Broken(Exception):
    """The peer broke the connection's rules."""

    def __init__(self, code: ErrorCode) -> None:
        self.code = code


class Connection:
    """`route` gives the owner of a call, None for a method that is not here; it may end the call. `wake` is called once
    when there is something to `take` that no `receive` will be followed by, `answered` when the peer has answered a
    `ping`, in their order. `later` calls what it is given when nothing is more urgent: what large messages do without
    for a while lets small ones of other calls through.

    `room` and `largest` are the bytes that the peer takes of all calls and in one frame. `closed` once the socket is to
    be closed after what `take` gives.
    """

    def __init__(
        self,
        route: Callable[[Call], Owner | None],
        wake: Callable[[], None],
        limits: Limits | None = None,
        answered: Callable[[], None] = lambda: None,
        later: Callable[[Callable[[], None]], None] = lambda task: task(),
    ) -> None:
        self._route, self._wake, self._answered, self._later = route, wake, answered, later
        self._limits = limits = limits or Limits()
        self._out: list[bytes] = []
        self._awake = True
        self._answers = 0
        self._left = b""
        self._greeted = self._settled = False
        self._fields = _Fields(limits.headers)
        self._block: tuple[int, bool, bytes] | None = None
        self._calls: dict[int, Call] = {}
        self._blocked: dict[Call, None] = {}
        self._last = 0
        self._going: int | None = None
        self._first_room = self.room = frames.DEFAULT_WINDOW
        self._kept_room: int | None = None
        self.largest = frames.SMALLEST_FRAME
        self._window, self._owed = limits.connection_window, 0
        self.closed = False
        ours = {
            frames.MAX_CONCURRENT_STREAMS: limits.calls,
            frames.INITIAL_WINDOW_SIZE: limits.window,
            frames.MAX_HEADER_LIST_SIZE: limits.headers,
        }
        self._out.append(frames.settings(ours))
        self._out.append(frames.window_update(0, limits.connection_window - frames.DEFAULT_WINDOW))

    @property
    def calls(self) -> int:
        """How many are under way."""
        return len(self._calls)

    def receive(self, data: bytes) -> None:
        """What the socket gave; `take` afterwards."""
        if self.closed:
            return
        self._awake = True
        data = self._left + data if self._left else data
        at, size, unpack = 0, len(data), frames.HEAD.unpack_from
        try:
            if not self._greeted:
                if data[: len(frames.PREFACE)] != frames.PREFACE[:size]:
                    raise _Broken(ErrorCode.PROTOCOL_ERROR)
                if size >= len(frames.PREFACE):
                    self._greeted, at = True, len(frames.PREFACE)
            while self._greeted and size - at >= frames.HEAD.size:
                high, low, kind, flags, number = unpack(data, at)
                length = high << 8 | low
                if length > frames.SMALLEST_FRAME:
                    raise _Broken(ErrorCode.FRAME_SIZE_ERROR)
                begin = at + frames.HEAD.size
                if size - begin < length:
                    break
                at = begin + length
                self._frame(kind, flags, number & 0x7FFFFFFF, data[begin:at])
                if self.closed:
                    return
        except _Broken as broken:
            self._break(broken.code)
            return
        self._left = data[at:]

    def take(self) -> bytes:
        """All that is to be written, once."""
        self._awake, self._answers = False, 0
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    def hold(self) -> None:
        """The socket takes no more for now: messages wait, acknowledgements don't."""
        if self._kept_room is None:
            self._kept_room, self.room = self.room, 0

    def go_on(self) -> None:
        """The socket takes more again."""
        if self._kept_room is not None:
            self.room, self._kept_room = self._kept_room, None
            self._unblock()

    def ping(self) -> None:
        """Ask the peer to answer behind all that it has said."""
        if not self.closed:
            self.emit(frames.ping(WAITING, ack=False))

    def go_away(self) -> None:
        """Take no new calls; `closed` once those under way are over."""
        if self._going is None and not self.closed:
            self.emit(frames.goaway(frames.LAST_STREAM, ErrorCode.NO_ERROR) + frames.ping(DRAINING, ack=False))

    def lost(self) -> None:
        """The socket is no more, nor is any call."""
        self.closed = True
        self._out.clear()
        for call in list(self._calls.values()):
            call.lost()

    # What calls need of it (call.Line).

    def emit(self, data: bytes) -> None:
        self._out.append(data)
        if not self._awake:
            self._awake = True
            self._wake()

    def block(self, call: Call) -> None:
        self._blocked[call] = None

    def forget(self, call: Call) -> None:
        self._calls.pop(call.number, None)
        self._blocked.pop(call, None)
        self._rest()

    def later(self, call: Call) -> None:
        self._later(call.reopen)

    def _rest(self) -> None:
        if self._going is not None and not self._calls:
            self.closed = True

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == frames.DATA and self._settled and self._block is None:
            self._data(flags, number, payload)
            return
        if not self._settled and (kind != frames.SETTINGS or flags & ACK):
            raise _Broken(ErrorCode.PROTOCOL_ERROR)  # settings come first (RFC 9113, 3.4)
        if (self._block is not None) != (kind == frames.CONTINUATION):
            raise _Broken(ErrorCode.PROTOCOL_ERROR)
        match kind:
            case frames.HEADERS:
                self._headers(flags, number, payload)
            case frames.CONTINUATION:
                self._continuation(flags, number, payload)
            case frames.WINDOW_UPDATE:
                self._window_update(number, payload)
            case frames.RST_STREAM:
                self._rst_stream(number, payload)
            case frames.SETTINGS:
                self._settings(flags, number, payload)
            case frames.PING:
                self._ping(flags, number, payload)
            case frames.PRIORITY:
                self._stream(number)
                if len(payload) != 5:
                    self._reset(number, ErrorCode.FRAME_SIZE_ERROR)
            case frames.GOAWAY:
                if number or len(payload) < 8:
                    raise _Broken(ErrorCode.PROTOCOL_ERROR if number else ErrorCode.FRAME_SIZE_ERROR)
            case frames.PUSH_PROMISE:
                raise _Broken(ErrorCode.PROTOCOL_ERROR)
            case _:
                pass  # an extension's (RFC 9113, 5.5)

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        self._window -= size
        if self._window < 0:
            raise _Broken(ErrorCode.FLOW_CONTROL_ERROR)
        self._owed += size
        if self._owed * 2 >= self._limits.connection_window:
            self._window += self._owed
            self.emit(frames.window_update(0, self._owed))
            self._owed = 0
        call = self._calls.get(number)
        if call is None:
            self._known(number)  # what was under way when the call ended
            return
        call.received(_unpadded(payload) if flags & PADDED else payload, size, bool(flags & END_STREAM))

    def _headers(self, flags: int, number: int, payload: bytes) -> None:
        self._stream(number)
        if flags & PADDED:
            payload = _unpadded(payload)
        if flags & WITH_PRIORITY:
            if len(payload) < 5:
                raise _Broken(ErrorCode.FRAME_SIZE_ERROR)
            payload = payload[5:]
        self._headed(number, bool(flags & END_STREAM), payload, bool(flags & END_HEADERS))

    def _continuation(self, flags: int, number: int, payload: bytes) -> None:
        assert self._block is not None
        first, end, block = self._block
        if number != first or (not payload and not flags & END_HEADERS):
            raise _Broken(ErrorCode.PROTOCOL_ERROR)
        self._headed(number, end, block + payload, bool(flags & END_HEADERS))

    def _headed(self, number: int, end: bool, block: bytes, whole: bool) -> None:
        if len(block) > self._limits.headers:
            raise _Broken(ErrorCode.ENHANCE_YOUR_CALM)
        self._block = None if whole else (number, end, block)
        if whole:
            self._opened(number, end, self._fields.decode(block))

    def _opened(self, number: int, end: bool, fields: dict[bytes, bytes]) -> None:
        call = self._calls.get(number)
        if call is not None:
            if not end:  # trailers are the end
                raise _Broken(ErrorCode.PROTOCOL_ERROR)
            call.received(b"", 0, True)
            return
        if number <= self._last:
            return  # trailers of a call that is over
        self._last = number
        if self._going is not None:
            return  # the peer asks somebody else (RFC 9113, 6.8)
        if len(self._calls) >= self._limits.calls:
            self._reset(number, ErrorCode.REFUSED_STREAM)
            return
        limits = self._limits
        path = fields.get(b":path", b"").decode("latin-1")
        call = Call(self, number, path, window=limits.window, room=self._first_room, limit=limits.message)
        self._calls[number] = call
        kind = fields.get(b"content-type", b"")
        if fields.get(b":method") != b"POST" or not kind.startswith(b"application/grpc"):
            call.reject(status.UNSUPPORTED_MEDIA_TYPE)
            return
        call.owner = self._route(call)
        if call.owner is None:
            call.end(Status.UNIMPLEMENTED, "no such method")
        elif end:
            call.received(b"", 0, True)

    def _window_update(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise _Broken(ErrorCode.FRAME_SIZE_ERROR)
        added = int.from_bytes(payload, "big") & 0x7FFFFFFF
        if not number:
            room = (self.room if self._kept_room is None else self._kept_room) + added
            if not added or room > frames.LARGEST_WINDOW:
                raise _Broken(ErrorCode.FLOW_CONTROL_ERROR if added else ErrorCode.PROTOCOL_ERROR)
            if self._kept_room is None:
                self.room = room
                self._unblock()
            else:
                self._kept_room = room
            return
        call = self._calls.get(number)
        if call is None:
            self._known(number)
        elif not added or call.room + added > frames.LARGEST_WINDOW:
            self._reset(number, ErrorCode.FLOW_CONTROL_ERROR if added else ErrorCode.PROTOCOL_ERROR)
            call.lost()
        else:
            call.more_room(added)

    def _rst_stream(self, number: int, payload: bytes) -> None:
        self._stream(number)
        if len(payload) != 4:
            raise _Broken(ErrorCode.FRAME_SIZE_ERROR)
        call = self._calls.get(number)
        if call is None:
            self._known(number)
        else:
            call.lost()

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise _Broken(ErrorCode.PROTOCOL_ERROR)
        if len(payload) % 6 or (flags & ACK and payload):
            raise _Broken(ErrorCode.FRAME_SIZE_ERROR)
        if flags & ACK:
            return
        self._settled = True
        self._answer(frames.SETTINGS_ACK)  # first: what follows may use the room that they give
        for name, value in struct.iter_unpack(">HL", payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                if value > frames.LARGEST_WINDOW:
                    raise _Broken(ErrorCode.FLOW_CONTROL_ERROR)
                added, self._first_room = value - self._first_room, value
                for call in list(self._calls.values()):
                    if call.room + added > frames.LARGEST_WINDOW:
                        raise _Broken(ErrorCode.FLOW_CONTROL_ERROR)
                    call.more_room(added)
            elif name == frames.MAX_FRAME_SIZE:
                if not frames.SMALLEST_FRAME <= value <= frames.LARGEST_FRAME:
                    raise _Broken(ErrorCode.PROTOCOL_ERROR)
                self.largest = value

    def _ping(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) != 8:
            raise _Broken(ErrorCode.PROTOCOL_ERROR if number else ErrorCode.FRAME_SIZE_ERROR)
        if not flags & ACK:
            self._answer(frames.ping(payload, ack=True))
        elif payload == WAITING:
            self._answered()
        elif payload == DRAINING and self._going is None:
            self._going = self._last
            self.emit(frames.goaway(self._last, ErrorCode.NO_ERROR))
            self._rest()

    def _stream(self, number: int) -> None:
        """Client's streams are odd; 0 is the connection."""
        if not number & 1:
            raise _Broken(ErrorCode.PROTOCOL_ERROR)

    def _known(self, number: int) -> None:
        """A frame of a call that is over comes too late; of one that never was, it breaks the rules."""
        self._stream(number)
        if number > self._last:
            raise _Broken(ErrorCode.PROTOCOL_ERROR)

    def _unblock(self) -> None:
        """The shortest first: a word does not wait for a document, nor for many."""
        blocked, self._blocked = sorted(self._blocked, key=lambda call: call.unsent), {}
        until = self.room - AT_ONCE
        for index, call in enumerate(blocked):
            if self.room < until:
                self._blocked |= dict.fromkeys(blocked[index:])
                self._later(self._unblock)
                return
            call.more_room()

    def _reset(self, number: int, code: ErrorCode) -> None:
        self._answer(frames.rst_stream(number, code))

    def _answer(self, data: bytes) -> None:
        """To something that costs the peer nothing."""
        self._answers += 1
        if self._answers > UNREAD_ANSWERS:
            raise _Broken(ErrorCode.ENHANCE_YOUR_CALM)
        self.emit(data)

    def _break(self, code: ErrorCode) -> None:
        calls = list(self._calls.values())
        self.emit(frames.goaway(self._last, code))
        self.closed = True
        for call in calls:
            call.lost()


class _Fields:
    """Header blocks, decoded. A block of nothing but references to the tables is the same as long as these are, and
    most calls of an Envoy begin with one."""

    def __init__(self, limit: int) -> None:
        self._decoder = Decoder(limit)
        self._decoder.max_allowed_table_size = 4096
        self._same: dict[bytes, dict[bytes, bytes]] = {}

    def decode(self, block: bytes) -> dict[bytes, bytes]:
        """By name; of several with one name, the last."""
        fields = self._same.get(block)
        if fields is not None:
            return fields
        try:
            fields = {bytes(name): bytes(value) for name, value in self._decoder.decode(block, raw=True)}
        except HPACKError:
            raise _Broken(ErrorCode.COMPRESSION_ERROR) from None
        if block and min(block) >= 0x80 and len(self._same) < 100:  # each byte is an indexed field (RFC 7541, 6.1)
            self._same[block] = fields
        else:
            self._same.clear()
        return fields


def _unpadded(payload: bytes) -> bytes:
    if not payload or payload[0] >= len(payload):
        raise _Broken(ErrorCode.PROTOCOL_ERROR)
    return payload[1 : len(payload) - payload[0]]
