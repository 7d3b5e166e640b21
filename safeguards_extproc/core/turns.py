"""What a user said in the turns before, for models to read together with the turn that goes on: a question that is cut
into turns is harmless in each of them.

Only the beginning of a turn is read so, behind the end of what came before it: one more text a turn, as long as a
window at most.
"""

from __future__ import annotations

from safeguards_extproc.core.text import Channel, Kind

APART = frozenset({"batches", "kserve_v2", "openai_completions", "openai_embeddings", "openai_moderations"})
"""Formats whose requests hold several texts that are no turns of one conversation."""


class Turns:
    """The end of what a user has said so far, `most` characters of it."""

    __slots__ = ("_before", "_most", "_now", "_turn")

    def __init__(self, most: int) -> None:
        self._most = most
        self._turn = self._before = self._now = ""

    def __repr__(self) -> str:
        return f"Turns({len(self._before)} chars)"

    def join(self, channel: Channel, text: str) -> str:
        """The next text of a request, a window of `channel`, behind what the turns before it said; "" unless it begins
        a turn of the user, and something was said before."""
        kind, name = channel
        text = text.strip()
        if kind is not Kind.USER or not text:
            return ""
        turn = name.partition(".")[0]
        if turn == self._turn:
            self._now = self._end(self._now, text)
            return ""
        self._before = self._end(self._before, self._now)
        self._turn, self._now = turn, text[-self._most :]
        if not self._before:
            return ""
        text = text[: max(self._most // 2, self._most - len(self._before) - 1)]
        return f"{self._before[-max(1, self._most - len(text) - 1) :]} {text}"

    def _end(self, before: str, text: str) -> str:
        return f"{before} {text}".strip()[-self._most :]
