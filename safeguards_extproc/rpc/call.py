"""One gRPC call, server side: messages in and out, within the windows of both sides.

Messages are given to the owner as they become whole. While the owner has paused the call, or more than `BACKLOG` bytes
of its answers wait for room, none is given and the peer's window is not opened again: an owner that is full and a peer
that does not read hold the sender back.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from safeguards_extproc.rpc import frames, status
from safeguards_extproc.rpc.frames import DATA, END_HEADERS, END_STREAM, ErrorCode
from safeguards_extproc.rpc.status import Status

BACKLOG = 256 << 10
"""Bytes of answers that may wait for room before messages are kept back."""

PREFIX = 5
"""Bytes before each message: whether it is compressed, and its length (gRPC over HTTP/2, Length-Prefixed-Message)."""


class Owner(Protocol):
    """Who answers a call. None of these may raise. After `gone` nothing more is called."""

    def message(self, data: bytes) -> None:
        """The peer said this."""
        ...

    def half_closed(self) -> None:
        """The peer will say nothing more, and still listens."""
        ...

    def gone(self) -> None:
        """The call is over, though `end` was not called: reset, broken, or its connection lost."""
        ...


class Line(Protocol):
    """What a call needs of its connection: `room` and `largest` are the bytes that it and a frame may carry now."""

    room: int
    largest: int

    def emit(self, data: bytes) -> None:
        """Bytes for the peer."""
        ...

    def block(self, call: Call) -> None:
        """Call its `more_room` once there is room again."""
        ...

    def forget(self, call: Call) -> None:
        """The call is over."""
        ...

    def later(self, call: Call) -> None:
        """Call its `reopen` when nothing is more urgent."""
        ...


class Call:
    """`path` names the method. `room` is what the peer takes of this call now, `unsent` what waits for room, in bytes.
    `over` once nothing can be said or heard any more."""

    __slots__ = (
        "_at",
        "_begun",
        "_data",
        "_ending",
        "_half_closed",
        "_halved",
        "_have",
        "_limit",
        "_line",
        "_need",
        "_opened",
        "_owed",
        "_owes",
        "_parts",
        "_paused",
        "_queue",
        "_told",
        "_window",
        "number",
        "over",
        "owner",
        "path",
        "room",
        "unsent",
    )

    def __init__(self, line: Line, number: int, path: str, *, window: int, room: int, limit: int) -> None:
        """`window` bytes are taken before we open it again, `room` the peer takes; a message has at most `limit`."""
        self._line, self.number, self.path, self._limit = line, number, path, limit
        self.owner: Owner | None = None
        self.over = self._begun = self._paused = self._half_closed = self._halved = self._told = False
        self._owes = False
        self._opened = self._window = window
        self._owed = 0
        self._data, self._at = b"", 0
        self._parts: list[bytes] = []
        self._have, self._need = 0, PREFIX
        self.room = room
        self._queue: deque[bytes | memoryview] = deque()
        self.unsent = 0
        self._ending: bytes | None = None

    def send(self, message: bytes) -> None:
        """One message. It leaves at once, or as soon as the peer has room for it."""
        if self.over or self._ending is not None:
            return
        line, data = self._line, b"\0" + len(message).to_bytes(4, "big") + message
        if not self._begun:
            self._begun = True
            line.emit(frames.frame(frames.HEADERS, END_HEADERS, self.number, status.BEGIN))
        size = len(data)
        if not self.unsent and size <= self.room and size <= line.room and size <= line.largest:
            self.room -= size
            line.room -= size
            line.emit(frames.frame(DATA, 0, self.number, data))
        else:
            self._queue.append(memoryview(data))
            self.unsent += size
            self._pump()

    def end(self, code: Status, text: str = "") -> None:
        """Say how it went. OK follows everything that was sent; an error leaves at once, and what waits for room is
        dropped. `text` is seen by people on the other side, unless half a message has left: nothing can follow that but
        a reset."""
        if self.over or self._ending is not None:
            return
        if self._halved and code is not Status.OK:
            self._line.emit(frames.rst_stream(self.number, ErrorCode.INTERNAL_ERROR))
            self._over()
            return
        said = status.trailers(code, text)
        self._ending = said if self._begun else status.BEGIN + said
        if code is not Status.OK:
            self._queue.clear()
            self.unsent = 0
        self._pump()

    def reject(self, block: bytes) -> None:
        """Answer with this header block alone: to somebody who does not speak gRPC."""
        self._ending = block
        self._pump()

    def pause(self) -> None:
        """Give no more messages, not even those that are here."""
        self._paused = True

    def resume(self) -> None:
        """Give messages again, at once those that are here."""
        if self._paused:
            self._paused = False
            self._deliver()

    def received(self, data: bytes, size: int, end: bool) -> None:
        """A DATA frame: `data` of the `size` bytes that count for the window; `end` if it is the last."""
        if self._half_closed:
            self._broken(ErrorCode.STREAM_CLOSED)
            return
        self._window -= size
        if self._window < 0:
            self._broken(ErrorCode.FLOW_CONTROL_ERROR)
            return
        self._owed += size
        self._half_closed = end
        if self._have:
            self._parts.append(data)
        else:
            self._data, self._at = data, 0
        self._have += len(data)
        self._deliver()

    def more_room(self, added: int = 0) -> None:
        """The peer takes `added` bytes more of this call, or the connection takes more."""
        self.room += added
        self._pump()
        self._deliver()

    def reopen(self) -> None:
        """Let the peer send as much as has been taken from it."""
        self._owes = False
        if not (self.over or self._half_closed or self._kept_back):
            self._window += self._owed
            self._line.emit(frames.window_update(self.number, self._owed))
            self._owed = 0

    def lost(self) -> None:
        """Reset by the peer, or gone with its connection."""
        owner, ended = self.owner, self._ending is not None
        self._over()
        if owner is not None and not ended:
            owner.gone()

    def _deliver(self) -> None:
        owner = self.owner
        while not (self.over or self._kept_back):
            message = self._next()
            if message is not None:
                owner.message(message)  # type: ignore[union-attr]  # a call without an owner was ended
                continue
            if self._half_closed and not self._told and not self.over and self._ending is None:
                self._told = True
                if self._have:
                    self._fail(Status.INTERNAL, "a message was cut short")
                else:
                    owner.half_closed()  # type: ignore[union-attr]
            elif self._owed * 2 >= self._opened and not self._half_closed and not self._owes:
                self._owes = True
                self._line.later(self)
            return

    @property
    def _kept_back(self) -> bool:
        """Whether the owner takes nothing now."""
        return self._paused or self._ending is not None or self.unsent > BACKLOG

    def _next(self) -> bytes | None:
        """The next message, None if it is not whole yet or ended the call."""
        if self._have < self._need:
            return None
        if self._parts:
            self._data, self._at = b"".join((self._data[self._at :], *self._parts)), 0
            self._parts.clear()
        data, at = self._data, self._at
        size = int.from_bytes(data[at + 1 : at + PREFIX], "big")
        if data[at]:
            self._fail(Status.UNIMPLEMENTED, "messages must not be compressed")
            return None
        if size > self._limit:
            self._fail(Status.RESOURCE_EXHAUSTED, f"a message has {size} bytes, and at most {self._limit} are taken")
            return None
        end = at + PREFIX + size
        if end > len(data):
            self._need = end - at
            return None
        self._at, self._need = end, PREFIX
        self._have -= end - at
        if not self._have:
            self._data = b""  # a large message is not kept twice
        return data[at + PREFIX : end]

    def _pump(self) -> None:
        """As much of what waits as there is room for, and the end after it."""
        queue, line = self._queue, self._line
        while queue:
            data = queue[0]
            size = min(len(data), self.room, line.room, line.largest)
            if size <= 0:
                if line.room <= 0:
                    line.block(self)
                return
            self._halved = size < len(data)
            if self._halved:
                queue[0], data = data[size:], data[:size]
            else:
                queue.popleft()
            self.room -= size
            line.room -= size
            self.unsent -= size
            line.emit(frames.frame(DATA, 0, self.number, bytes(data)))
        if self._ending is not None and not self.over:
            line.emit(frames.frame(frames.HEADERS, END_HEADERS | END_STREAM, self.number, self._ending))
            if not self._half_closed:  # the peer need not go on (RFC 9113, 8.1)
                line.emit(frames.rst_stream(self.number, ErrorCode.NO_ERROR))
            self._over()

    def _fail(self, code: Status, text: str) -> None:
        """The peer said something that we cannot take."""
        owner = self.owner
        self.end(code, text)
        if owner is not None:
            owner.gone()

    def _broken(self, code: ErrorCode) -> None:
        """The peer broke the rules of HTTP/2."""
        self._line.emit(frames.rst_stream(self.number, code))
        self.lost()

    def _over(self) -> None:
        self.over, self.owner = True, None
        self._queue.clear()
        self._parts.clear()
        self._data = b""
        self.unsent = self._have = 0
        self._line.forget(self)
