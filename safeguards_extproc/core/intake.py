"""A response as it comes in: frame by frame, held whole, or not read at all. What is read is pushed to the scan.

Nothing is released here. What cannot be read is policy's to judge, in its turn among the windows.
"""

from __future__ import annotations

import enum
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from safeguards_extproc.core import media
from safeguards_extproc.core.account import Usage
from safeguards_extproc.core.aside import LARGE, Parse, Parsed, heavy
from safeguards_extproc.core.context import Context
from safeguards_extproc.core.decision import Gate, Release
from safeguards_extproc.core.effects import Offload
from safeguards_extproc.core.events import BodyMode
from safeguards_extproc.core.pour import Pour, Progress
from safeguards_extproc.core.recipes import Parts
from safeguards_extproc.core.scan import Scan, Unread
from safeguards_extproc.core.text import Decoder, Direction, Document, Framer, Segment, StreamReader
from safeguards_extproc.errors import LimitExceeded, MalformedBody

OVERHEAD = 64
"""Bytes of frames that may be held for each byte of text in `Limits.held_bytes`: a token's frame takes so many."""

SLICE, SLICES, PER_TURN = 2048, 32, 256
"""Bytes that are cut into frames at a time, and how many times for one event: until so many frames were read. What is
left has its turns after those of other streams; a frame takes 0.002 ms to 0.04 ms."""

LONG = 1 << 16
"""Bytes of a frame above which its text goes to the scan turn by turn, as that of a whole body does."""

SWITCHING = 101
"""The status with which a connection becomes something else."""


class Reading(enum.Enum):
    """How the body is read."""

    NOT = "not at all"
    LATER = "once the request has told the format"
    WHOLE = "whole"
    STREAM = "frame by frame"


@dataclass(slots=True)
class Frame:
    """A frame that waits: it may go once each of `parts`, a text and where it begins in its channel, is cleared, and
    policy allows what is `unread` of it."""

    raw: bytes
    parts: Sequence[tuple[Segment, int]] = ()
    unread: Unread | None = None


@dataclass(slots=True)
class _Long:
    """A frame whose text is on its way to the scan."""

    raw: bytes
    pour: Pour
    unread: Unread | None


class Intake:
    """`frames` wait for their text, bare if they have none; `chunks` are those of a whole body, one once it has ended,
    `plain` what it is without its encoding and `parts` what it says, if it was read here, `away` while it waits to be
    read or is read elsewhere; `raw` is not inspected, and waits for the request's verdict alone; `fields` are the
    response's headers; `usage` is what the provider has counted so far.
    """

    def __init__(self, ctx: Context, scan: Scan) -> None:
        self.enforcing = not ctx.opened.silent and ctx.route.release is not Release.OBSERVE
        self.reading = Reading.NOT
        self.fields: dict[str, str] = {}
        self.status = 0
        self.frames: deque[Frame | bytes] = deque()
        self.chunks: list[bytes] = []
        self.parts: Parts = ()
        self.plain: bytes | None = None
        self.away = False
        self.raw: list[bytes] = []
        self.decoder: Decoder | None = None
        self.reader: StreamReader | None = None
        self.kept_bytes = 0
        self.usage: Usage | None = None
        self._ctx, self._scan = ctx, scan
        self._framer: Framer | None = None
        self._behind_whole = 0
        self.behind = False  # whether there is something to read without any event: `turn` does it
        self._uncut: deque[bytes] = deque()  # what has come of a stream and waits for a turn
        self._waiting = 0  # bytes of that
        self._unheard: deque[bytes] = deque()  # frames that wait for a long one before them
        self._long: _Long | None = None
        self._ended = False
        self._pour: Pour | None = None
        self._document = Document([])
        self._whole: Parse | None = None  # a body that is to be read when it has its turn

    @property
    def reads(self) -> bool:
        """Whether a whole body has not been read to its end yet."""
        return self.away or self._pour is not None

    @property
    def held(self) -> int:
        """Bytes held back."""
        return self.kept_bytes + self._waiting + (self._framer.held if self._framer is not None else 0)

    @property
    def follows(self) -> bool:
        """Whether frames leave at once, and are judged after."""
        return self.reading is Reading.STREAM and self._ctx.route.release is Release.FOLLOW

    @property
    def decodes(self) -> bool:
        """Whether what goes on is never the bytes that came: frames can be released only as they were read."""
        return self.decoder is not None and self.reading is Reading.STREAM and self.enforcing

    def headers(self, fields: dict[str, str], *, end: bool) -> None:
        """How to read this body, if there is one; where it cannot be read, policy says whether it goes on."""
        ctx, self.fields = self._ctx, fields
        status = fields.get(":status", "")
        self.status = int(status) if status.isdecimal() else 0
        features = self._scan.facts.features
        features.update(status=self.status, model=ctx.model, streamed=ctx.streamed)
        if end or not ctx.route.inspect:
            return
        if ctx.sheds and not ctx.bare and (ctx.route.gate is not Gate.OBSERVE or not self.enforcing):
            self._give_up_reading(media.OVERLOADED)  # as the request, which policy let go on unread
            return
        if self.status == SWITCHING:
            self._give_up_reading(media.WEBSOCKET)
            return
        if ctx.pending:
            self.reading = Reading.LATER
            return
        features["format"] = ctx.format.name if ctx.format else "opaque"
        if ctx.format is None or ctx.format.name == "opaque":
            self._give_up_reading(media.ANSWER if ctx.bare else media.unknown(fields))
        elif ctx.mode(Direction.RESPONSE) in (BodyMode.NONE, BodyMode.PARTIAL):
            self._give_up_reading("not-sent")
        elif (framer := ctx.format.framer(media.media(fields))) is None:
            self.reading = Reading.WHOLE
        else:
            self.reading = Reading.STREAM
            self._framer, self.reader = framer, ctx.format.stream()
            encoding = fields.get("content-encoding", "identity")
            if encoding != "identity":
                try:
                    self.decoder = ctx.wire.decoder(encoding, 1 << 62)
                except MalformedBody:
                    self._give_up_reading("encoding")

    def take(self, data: bytes, *, end: bool) -> None:
        """Bytes as they came."""
        if self.reading is Reading.NOT or not self.enforcing:
            self.raw.append(data)
        self._hear(data, end=end)

    def resume(self, *, end: bool) -> None:
        """The format is known: read what came before that; `end` if that is all."""
        data, self.chunks, self.kept_bytes = b"".join(self.chunks), [], 0
        self.reading = Reading.NOT
        self.headers(self.fields, end=False)
        if self.reading is not Reading.NOT:
            self._hear(data, end=end)
        elif self.enforcing and not self._scan.terminal:
            self.raw.append(data)
        if end:
            self.end()

    def _hear(self, data: bytes, *, end: bool) -> None:
        if self.reading in (Reading.WHOLE, Reading.LATER):
            self.chunks.append(data)
            self.kept_bytes += len(data)
            if self._scan.account.bytes_in > self._ctx.route.limits.response_bytes:
                self._give_up_reading("too-large")
        elif self.reading is Reading.STREAM:
            self.stream(data if self.decoder is None else self.decode(data, end=end))

    def decode(self, data: bytes, *, end: bool) -> bytes:
        """Decompress a stream's bytes."""
        if self.decoder is None or self.reading is not Reading.STREAM:
            return data
        if self._framer is None:
            return b""
        try:
            plain = self.decoder.push(data)
            return plain + self.decoder.finish() if end else plain
        except MalformedBody:
            self._break_off("encoding")
        except LimitExceeded:
            self._break_off("too-large")
        return b""

    def stream(self, data: bytes) -> None:
        """Cut into frames, read each, and have the text scanned; what is too much for one turn waits for the next."""
        if self._framer is None:
            return
        self._scan.account.bytes_decoded += len(data)
        if len(data) <= SLICE and not self.behind:
            self._cut(data)
            return
        self._uncut.extend(data[at : at + SLICE] for at in range(0, len(data), SLICE))
        self._waiting += len(data)
        if not self.behind:
            self.turn()

    def turn(self) -> None:
        """Read more of what waits."""
        if self._whole is not None:
            task, self._whole, self.behind = self._whole, None, False
            self._parse(task)
            return
        account, uncut = self._scan.account, self._uncut
        until = account.frames + PER_TURN
        if self._long is not None:
            self._go_on(self._long)
        for _ in range(min(SLICES, len(uncut))):
            if self._long is not None:
                break
            data = uncut.popleft()
            self._waiting -= len(data)
            self._cut(data)
            if self._framer is None:
                uncut.clear()
                self._waiting = 0
            if account.frames >= until or not uncut:
                break
        self.behind = bool(uncut) or self._long is not None
        if self._ended and not self.behind:
            self._finish()

    def end(self) -> None:
        """Nothing more comes from the upstream."""
        self._ended = True
        if self.reading is Reading.WHOLE:
            self._read_whole()
        elif self.reading is Reading.STREAM and not self.behind:
            self._finish()

    def drop(self) -> None:
        """Nothing of it is needed any more."""
        self.frames.clear()
        self._uncut.clear()
        self._unheard.clear()
        self.behind, self._long = False, None
        self.raw, self.chunks, self._framer, self.kept_bytes, self._waiting = [], [], None, 0, 0
        self.parts, self.plain, self._pour, self._whole, self.away = (), None, None, None, False
        self._scan.pouring = False

    def _cut(self, data: bytes) -> None:
        if self._framer is None:
            return
        self._unheard.extend(self._framer.push(data))
        self._read_frames()
        if self._framer is not None and self._framer.held > self._ctx.route.limits.event_bytes:
            self._break_off("too-large")

    def _read_frames(self) -> None:
        while self._unheard and self._long is None:
            self._frame(self._unheard.popleft())

    def _go_on(self, long: _Long) -> None:
        """Have more of a long frame's text scanned; once that is all, what waits for it is read."""
        if long.pour.turn() is Progress.DONE:
            self._long = None
            self._heard(long.raw, long.pour.parts, long.unread)
            self._read_frames()

    def _finish(self) -> None:
        """The end of a stream."""
        rest = self._framer.finish() if self._framer is not None else b""
        if rest:
            self._frame(rest)
        if self._long is None:
            self._scan.close_all()

    def _frame(self, raw: bytes) -> None:
        if self._framer is None or self.reader is None:
            return
        scan, limits = self._scan, self._ctx.route.limits
        scan.account.frames += 1
        self.kept_bytes += len(raw)
        if len(raw) > limits.event_bytes:
            self.frames.append(Frame(raw, unread=self._break_off("too-large")))
            return
        reading = self.reader.read(raw)
        if reading.usage is not None:
            self.usage = reading.usage if self.usage is None else self.usage.merged(reading.usage)
        unread: Unread | None = None
        if reading.unread:
            scan.account.frames_unread += 1
            unread = scan.unread("unread")
        if len(raw) > LONG:
            pour = Pour(scan, Document(list(reading.segments)), sys.maxsize, closes=reading.closed)
            self._long, self.behind = _Long(raw, pour, unread), True
            return
        parts: list[tuple[Segment, int]] = []
        for segment in reading.segments:
            parts.append((segment, scan.push(segment)))  # noqa: PERF401 (in the common case of one it takes half the time)
        for channel in reading.closed:
            scan.close(channel)
        self._heard(raw, parts, unread)

    def _heard(self, raw: bytes, parts: list[tuple[Segment, int]], unread: Unread | None) -> None:
        """All that a frame says is with the scan."""
        scan, limits = self._scan, self._ctx.route.limits
        # Nothing but its own end lets a text go that is held whole, nor the frames behind it.
        whole = scan.whole
        self._behind_whole = self._behind_whole + len(raw) if whole else 0
        if (
            whole > limits.held_bytes
            or self._behind_whole > OVERHEAD * limits.held_bytes
            or scan.texts > limits.windows
        ):
            unread = self._break_off("too-large")
        self.frames.append(Frame(raw, parts, unread) if parts or unread is not None else raw)

    def _read_whole(self) -> None:
        ctx = self._ctx
        body = b"".join(self.chunks)
        self.chunks = [body]
        if ctx.format is None:
            raise AssertionError("a body is read by its format")
        encoding, limit = self.fields.get("content-encoding", ""), ctx.route.limits.response_bytes
        task = Parse(Direction.RESPONSE, ctx.format, body, encoding, limit, self.status)
        self.away = True
        if len(body) > LARGE and not heavy(body):
            self._whole, self.behind = task, True
        else:
            self._parse(task)

    def _parse(self, task: Parse) -> None:
        """Read it here, or have it read elsewhere."""
        parsed = task.at_once(self._ctx.wire)
        if parsed is None:
            self._ctx.out.append(Offload(Direction.RESPONSE, task))
        else:
            self.understand(parsed)

    def understand(self, parsed: Parsed) -> None:
        """What a whole body says."""
        scan, document, windows = self._scan, parsed.document, self._ctx.route.limits.windows
        self.away = False
        scan.account.bytes_decoded = parsed.size
        self.usage = document.usage
        reason = parsed.reason
        if document.listed is not None and len(document.listed.items) > windows:
            reason = "too-large"
        if reason:
            self._give_up_reading(reason)
            return
        features = scan.facts.features
        features.update(document.features)
        features["bytes"] = parsed.size
        if document.unread:
            features["unread"] = ",".join(sorted(document.unread))
        self.plain, self._document = parsed.plain, document
        self._pour = Pour(scan, document, windows, keeps=self.plain is not None)
        self.pour()

    def pour(self) -> None:
        """Have more of a whole body's text scanned."""
        pour, document, scan = self._pour, self._document, self._scan
        if pour is None or (progress := pour.turn()) is Progress.MORE:
            return
        self._pour = None
        if progress is Progress.OVER:
            self._give_up_reading("too-large")
            return
        self.parts = pour.parts
        if document.listed is not None:
            scan.list_items(document.listed)
        if document.unread:
            scan.uninspectable("unread")

    def _give_up_reading(self, reason: str) -> None:
        """The text cannot be judged. Policy says whether it goes on; if so it goes on as it is."""
        self._scan.uninspectable(reason)
        if self._scan.terminal and self.enforcing:
            return
        self.reading = Reading.NOT
        if self.enforcing:
            self.raw += self.chunks
        self.chunks, self.kept_bytes = [], 0

    def _break_off(self, reason: str) -> Unread:
        """The stream cannot be read any further, and what was decoded cannot be undone: it ends here."""
        self._scan.account.frames_unread += 1
        self._framer = None
        return self._scan.unread(reason, final=True)
