"""When an answer may go, and as what. No other module knows Envoy's conventions.

Duplex (FULL_DUPLEX_STREAMED): headers, then body, then the end, each when we like; the end once.
Paired (all other modes): exactly one answer to each message, in order; headers cannot wait for the body.
Silent (observability mode): nothing is ever said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from safeguards_extproc.core.effects import AnswerBody, Effect, Metadata, SendBody, SendHeaders, SendTrailers
from safeguards_extproc.core.events import BodyMode, Opened
from safeguards_extproc.core.text import Direction

CHUNK = 62_000
"""Most bytes of one answer in full duplex: Envoy asks for at most 64 KiB a message."""


@dataclass(frozen=True, slots=True)
class Last:
    """What goes with the last answer; headers and route only where a body answer can change them (buffered)."""

    metadata: Metadata | None = None
    set: Sequence[tuple[str, str]] = ()
    remove: Sequence[str] = ()
    clear_route_cache: bool = False


NOTHING_MORE = Last()


class Outbox(Protocol):
    """Answers of one direction.

    `holds`: whether headers may wait until the body has a verdict. `revocable`: whether a Refuse gives the client a
    clean answer even after `headers`. `ended`: nothing more is due but answers to what Envoy still sends.
    """

    holds: bool
    revocable: bool
    ended: bool

    def took_headers(self, end: bool) -> None: ...

    def took_body(self, data: bytes, end: bool, *, exact: bool = True) -> None:
        """A chunk came in. `exact` False: what goes out is never these bytes (they were compressed)."""
        ...

    def took_trailers(self) -> None: ...

    def headers(self, answer: SendHeaders) -> None: ...

    def body(self, data: bytes, consumed: int) -> None:
        """Bytes go on that stand for `consumed` bytes that came in."""
        ...

    def finish(self, last: Last = NOTHING_MORE) -> None:
        """Everything that came in has been answered for."""
        ...

    def cut(self, data: bytes, metadata: Metadata | None = None) -> None:
        """These are the last bytes, whatever else comes in."""
        ...


class Duplex:
    """N in, M out. The end goes with the last bytes, or as the answer to trailers."""

    __slots__ = ("_direction", "_headers_only", "_out", "_trailers", "ended", "holds", "revocable")

    def __init__(self, direction: Direction, out: list[Effect]) -> None:
        self._direction, self._out = direction, out
        self._trailers = self._headers_only = self.ended = False
        self.holds, self.revocable = True, False

    def took_headers(self, end: bool) -> None:
        self._headers_only = end

    def took_body(self, data: bytes, end: bool, *, exact: bool = True) -> None:
        pass

    def took_trailers(self) -> None:
        self._trailers = True

    def headers(self, answer: SendHeaders) -> None:
        self._out.append(answer)

    def body(self, data: bytes, consumed: int) -> None:
        if data and not self.ended:
            self._send(data, end=False)

    def finish(self, last: Last = NOTHING_MORE) -> None:
        if self.ended:
            return
        self.ended = True
        if self._headers_only:
            return
        if self._trailers:
            self._out.append(SendTrailers(self._direction, last.metadata))
            return
        sent = self._out[-1] if self._out else None
        if isinstance(sent, SendBody) and sent.direction is self._direction and not sent.end:
            sent.end, sent.metadata = True, last.metadata
        else:
            self._out.append(SendBody(self._direction, b"", True, last.metadata))

    def cut(self, data: bytes, metadata: Metadata | None = None) -> None:
        if not self.ended:
            self.ended = True
            self._send(data, end=True, metadata=metadata)

    def _send(self, data: bytes, *, end: bool, metadata: Metadata | None = None) -> None:
        out, direction = self._out, self._direction
        if len(data) <= CHUNK:
            out.append(SendBody(direction, data, end, metadata))
            return
        last = (len(data) - 1) // CHUNK * CHUNK
        for start in range(0, last, CHUNK):
            out.append(SendBody(direction, data[start : start + CHUNK], False))
        out.append(SendBody(direction, data[last:], end, metadata))


class Paired:
    """One answer to each message: to a chunk, once every byte of it is accounted for; to the last, with the rest."""

    __slots__ = (
        "_buffered",
        "_consumed",
        "_cut",
        "_direction",
        "_ended_in",
        "_out",
        "_owed",
        "_ready",
        "_taken",
        "_trailers",
        "ended",
        "holds",
        "revocable",
    )

    def __init__(self, direction: Direction, out: list[Effect], *, buffered: bool) -> None:
        self._direction, self._out, self._buffered = direction, out, buffered
        self._owed: deque[tuple[int, bytes | None]] = (
            deque()
        )  # where the chunk ends, and its bytes if they may go as is
        self._ready = bytearray()
        self._consumed = self._taken = 0
        self._trailers = self._cut = self._ended_in = self.ended = False
        self.holds, self.revocable = False, buffered

    def took_headers(self, end: bool) -> None:
        self._ended_in = end

    def took_body(self, data: bytes, end: bool, *, exact: bool = True) -> None:
        if self._cut or self.ended:
            self._out.append(AnswerBody(self._direction, b""))  # nobody has read it
            return
        self._taken += len(data)
        self._owed.append((self._taken, data if exact else None))
        self._ended_in = end or self._buffered

    def took_trailers(self) -> None:
        self._ended_in = True
        if self._cut or self.ended:
            self._out.append(SendTrailers(self._direction))
        else:
            self._trailers = True

    def headers(self, answer: SendHeaders) -> None:
        self._out.append(answer)

    def body(self, data: bytes, consumed: int) -> None:
        if self._cut or self.ended:
            return
        self._ready += data
        self._consumed += consumed
        keep = 1 if self._ended_in and not self._trailers else 0  # the last answer is `finish`'s to give
        while len(self._owed) > keep and self._owed[0][0] <= self._consumed:
            self._answer(self._owed.popleft()[1])

    def finish(self, last: Last = NOTHING_MORE) -> None:
        if self._cut or self.ended:
            return
        self.ended = True
        while self._owed:
            chunk = self._owed.popleft()[1]
            if self._owed:
                self._answer(chunk)
            else:
                self._answer(chunk, last)
        if self._trailers:
            self._out.append(SendTrailers(self._direction, last.metadata))

    def cut(self, data: bytes, metadata: Metadata | None = None) -> None:
        if self._cut or self.ended:
            return
        self._cut = True
        self._ready += data
        if self._owed:
            self._owed.popleft()
            self._out.append(AnswerBody(self._direction, bytes(self._ready), metadata=metadata))
            self._ready.clear()
        while self._owed:
            self._owed.popleft()
            self._out.append(AnswerBody(self._direction, b""))
        if self._trailers:
            self._out.append(SendTrailers(self._direction))
        self.ended = True

    def _answer(self, chunk: bytes | None, last: Last | None = None) -> None:
        ready, said = self._ready, last or NOTHING_MORE
        if chunk is not None and ready.startswith(chunk) and (last is None or len(ready) == len(chunk)):
            del ready[: len(chunk)]
            self._give(None, said.set, said)
            return
        data = bytes(ready)
        ready.clear()
        changed = said.set
        if last is not None and self._buffered:
            changed = [*changed, ("content-length", str(len(data)))]
        self._give(data, changed, said)

    def _give(self, data: bytes | None, changed: Sequence[tuple[str, str]], said: Last) -> None:
        answer = AnswerBody(self._direction, data, changed, said.remove, said.metadata, said.clear_route_cache)
        self._out.append(answer)


class Silent:
    """Observability mode: Envoy reads no answer."""

    __slots__ = ("ended", "holds", "revocable")

    def __init__(self) -> None:
        self.ended = self.holds = self.revocable = False

    def took_headers(self, end: bool) -> None:
        pass

    def took_body(self, data: bytes, end: bool, *, exact: bool = True) -> None:
        pass

    def took_trailers(self) -> None:
        pass

    def headers(self, answer: SendHeaders) -> None:
        pass

    def body(self, data: bytes, consumed: int) -> None:
        pass

    def finish(self, last: Last = NOTHING_MORE) -> None:
        self.ended = True

    def cut(self, data: bytes, metadata: Metadata | None = None) -> None:
        self.ended = True


def outbox(opened: Opened, direction: Direction, out: list[Effect]) -> Outbox:
    """The outbox that the first message of the stream asks for."""
    if opened.silent:
        return Silent()
    mode = opened.request if direction is Direction.REQUEST else opened.response
    if mode is BodyMode.DUPLEX:
        return Duplex(direction, out)
    return Paired(direction, out, buffered=mode in (BodyMode.BUFFERED, BodyMode.PARTIAL))
