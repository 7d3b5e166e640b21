"""Windows are cut from decoded text, never from chunk borders; text is cleared in the order in which it was cut.

Where a window ends depends on the text before that point alone, so the same text gives the same windows however it
arrived, streamed or whole. A flush only adds windows; it moves no border.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from safeguards_extproc.core.decision import Findings, Windowing
from safeguards_extproc.core.known import Known
from safeguards_extproc.core.text import HELD_WHOLE, Channel


@dataclass(slots=True)
class Window:
    """Text of one channel: characters [start, end) of it, led by `lead` characters of what came before.

    `tail` characters at the end may be the beginning of something to redact: they wait for the next window. `last` is
    True where the channel is closed and nothing follows. `mark` is by what it may be `known` (core/known.py).
    """

    channel: Channel
    start: int
    end: int
    lead: int
    text: str
    tail: int = 0
    last: bool = False
    mark: bytes = b""
    known: Findings | None = None

    def __repr__(self) -> str:
        return f"Window({self.channel[0].value}/{self.channel[1]}, {self.start}:{self.end}, lead {self.lead})"


class _Text:
    """One channel: `buffer` holds its text from `base` on; windows are cut up to `cut`; `cleared` may go.

    `open` is where the tail of the last window begins: the next window's lead reaches back to it.
    """

    __slots__ = ("base", "buffer", "cleared", "closed", "cut", "flushed", "open", "pieces", "size", "total", "whole")

    def __init__(self, size: int, whole: bool) -> None:
        self.buffer = ""
        self.pieces: list[str] = []
        self.base = self.cut = self.open = self.flushed = self.total = self.cleared = 0
        self.size, self.whole, self.closed = size, whole, False

    def join(self) -> str:
        if self.pieces:
            self.buffer += "".join(self.pieces)
            self.pieces.clear()
        return self.buffer


class Windows:
    """The windows of one direction. `tail` says how much of a text's end must wait (Policy.tail).

    `whole` counts the characters of texts that are held whole and have not ended; `len` is the number of channels.
    """

    __slots__ = ("_channels", "_first", "_known", "_tail", "_windowing", "whole")

    def __init__(
        self, windowing: Windowing, tail: Callable[[str], int], first: int = 0, known: Known | None = None
    ) -> None:
        """`first` is the size of each text's first window, `windowing.first` if it is 0. `known` are windows that need
        not be looked at."""
        self._windowing, self._tail, self._first, self._known = windowing, tail, first or windowing.first, known
        self._channels: dict[Channel, _Text] = {}
        self.whole = 0

    def __len__(self) -> int:
        return len(self._channels)

    def push(self, channel: Channel, text: str) -> list[Window]:
        """More text of a channel; the windows that it completes. Text after `close` opens the channel anew."""
        known = self._channels.get(channel)
        if known is None:
            known = self._channels[channel] = _Text(self._first, channel[0] in HELD_WHOLE)
        known.closed = False
        known.pieces.append(text)
        known.total += len(text)
        if known.whole:
            self.whole += len(text)
            return []
        if known.total - known.cut < known.size:
            return []
        return self._cut(channel, known, closing=False)

    def close(self, channel: Channel) -> list[Window]:
        """No more text comes on this channel: the windows of what is left."""
        known = self._channels.get(channel)
        if known is None or known.closed:
            return []
        known.closed = True
        if known.whole:
            self.whole -= known.total - known.cut
        return self._cut(channel, known, closing=True)

    def channels(self) -> list[Channel]:
        """Every channel, in the order of its first text."""
        return list(self._channels)

    def ripen(self, channel: Channel, chars: int) -> list[Window]:
        """Windows, of so many characters or a few more, of a text that is held whole and of which all has come, before
        `close` gives the last."""
        known = self._channels[channel]
        if not known.whole or known.closed:
            return []
        begin = known.cut
        windows = self._cut(channel, known, closing=False, chars=chars)
        self.whole -= known.cut - begin
        return windows

    def close_all(self) -> list[Window]:
        """No more text comes at all."""
        return [window for channel in self._channels for window in self.close(channel)]

    def flush(self) -> list[Window]:
        """Windows of the text that waits for more, so that a slow stream is not held up; borders stay."""
        windows = []
        for channel, known in self._channels.items():
            if known.closed or known.whole or known.total <= max(known.cut, known.flushed):
                continue
            known.flushed = known.total
            windows.append(self._window(channel, known, known.total))
        return windows

    def clear(self, window: Window) -> None:
        """`window` has its verdict: its text may go, but for its tail. A text held whole goes with its last window."""
        known = self._channels[window.channel]
        if window.last:
            known.cleared = window.end
        elif not known.whole:
            known.cleared = max(known.cleared, window.end - window.tail)

    def cleared(self, channel: Channel) -> int:
        """Characters of the channel that may go."""
        known = self._channels.get(channel)
        return known.cleared if known is not None else 0

    def length(self, channel: Channel) -> int:
        """Characters of the channel so far."""
        known = self._channels.get(channel)
        return known.total if known is not None else 0

    def _cut(self, channel: Channel, known: _Text, *, closing: bool, chars: int = 0) -> list[Window]:
        """Every window that is whole; with `chars` those of so many characters, never the last."""
        text, largest = known.join(), self._windowing.largest
        windows = []
        until = known.cut + chars if chars else known.total
        while known.total - known.cut >= known.size:
            if chars and (known.cut >= until or known.total - known.cut == known.size):
                break
            start = known.cut - known.base
            limit = start + known.size
            # A word is not split where one ends in the second half; text without spaces is cut where it is full.
            border = max(
                text.rfind(" ", start + known.size // 2, limit), text.rfind("\n", start + known.size // 2, limit)
            )
            end = known.base + (border + 1 if border >= 0 else limit)
            windows.append(self._window(channel, known, end))
            known.cut, known.open = end, end - windows[-1].tail
            known.size = min(known.size * 2, largest)
        if closing and known.total > known.cut:
            windows.append(self._window(channel, known, known.total, closing=True))
            known.cut = known.open = known.total
        if closing and windows:
            windows[-1].last = True
        elif windows:
            keep = self._lead(known)
            if 2 * (keep - known.base) >= len(text):  # else what is copied could be as much as all the text, each time
                known.buffer = text[keep - known.base :]
                known.base = keep
        elif closing and known.total > 0:
            # Every character has been cut already: an empty last window says that nothing follows.
            windows.append(Window(channel, known.total, known.total, 0, "", last=True))
        return windows

    def _lead(self, known: _Text) -> int:
        return max(known.base, min(known.cut - self._windowing.overlap, known.open))

    def _window(self, channel: Channel, known: _Text, end: int, *, closing: bool = False) -> Window:
        text, base = known.join(), known.base
        begin = self._lead(known)
        if 0 < begin < known.open:
            # The lead begins at a word, so that no detector meets half a number or half an address.
            space = text.find(" ", begin - base, known.open - base)
            begin = base + space + 1 if space >= 0 else begin
        content = text[begin - base : end - base]
        mark = self._known.mark(channel[0], content, closing) if self._known is not None else b""
        if self._known is not None and mark and (before := self._known.find(mark)) is not None:
            return Window(channel, known.cut, end, known.cut - begin, content, before[0], known=before[1])
        tail = 0 if closing else self._tail(content)
        return Window(channel, known.cut, end, known.cut - begin, content, tail, mark=mark)
