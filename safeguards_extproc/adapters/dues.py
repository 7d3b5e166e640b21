"""What Envoy still waits for on one stream: a direction is due from its headers until its last answer. Pure.

The driver asks this, not the exchange, when Envoy goes away: if nothing was due the client has its answer, and what
the exchange still waits for is only its record's.
"""

from __future__ import annotations

from safeguards_extproc.core.effects import AnswerBody, Refuse, SendBody, SendHeaders, SendTrailers
from safeguards_extproc.core.events import Body, BodyMode, Headers, Opened, Trailers
from safeguards_extproc.core.text import Direction


class Dues:
    """Told every message, both ways, in order. Of a silent stream nothing is ever due."""

    __slots__ = ("_refused", "_request", "_response", "_silent")

    def __init__(self, opened: Opened) -> None:
        self._silent, self._refused = opened.silent, False
        self._request, self._response = _Side(opened.request), _Side(opened.response)

    @property
    def none(self) -> bool:
        """Whether every direction that began has had its last answer."""
        return self._silent or self._refused or not (self._request.due or self._response.due)

    def took(self, event: Headers | Body | Trailers) -> None:
        side = self._response if event.direction is Direction.RESPONSE else self._request
        kind = event.__class__
        if kind is Body:
            side.unanswered += 1
            side.ended = event.end  # type: ignore[union-attr]
        elif kind is Headers:
            side.due = True
            side.headers_last = side.headers_last or event.end  # type: ignore[union-attr]
        else:
            side.due, side.ended = True, False

    def gave(self, effect: SendHeaders | SendBody | AnswerBody | SendTrailers | Refuse) -> None:
        kind = effect.__class__
        if kind is Refuse:
            self._refused = True
            return
        side = self._response if effect.direction is Direction.RESPONSE else self._request  # type: ignore[union-attr]
        if kind is SendBody:
            side.due = not effect.end  # type: ignore[union-attr]
        elif kind is AnswerBody:
            side.unanswered -= 1
            side.due = side.unanswered > 0 or not side.ended
        elif kind is SendHeaders:
            side.due = not side.headers_last
        else:
            side.due = False


class _Side:
    __slots__ = ("due", "ended", "headers_last", "unanswered")

    def __init__(self, mode: BodyMode) -> None:
        self.due = self.ended = False
        self.headers_last = mode is BodyMode.NONE
        self.unanswered = 0
