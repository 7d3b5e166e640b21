"""What an action means depends on what has left already. This table is the whole answer.

PROMPT: a request. HELD: a response of which nothing has left. OPEN: a response of which the client has seen a part.

"Later" and "not you" are said of who asks, not of what a model wrote: throttle and suspend are a request's alone.
"""

from __future__ import annotations

import enum

from safeguards_extproc.core.decision import Action


class Point(enum.StrEnum):
    """How far an exchange has come."""

    PROMPT = "request"
    HELD = "response, nothing sent"
    OPEN = "response, partly sent"


class Deed(enum.StrEnum):
    """What is done."""

    FORWARD = "pass the bytes on as they are"
    MARK = "pass on; say so in headers where they can still change, and in metadata"
    ROUTE = "set headers and choose the route anew"
    INSERT = "add a system instruction"
    EDIT = "replace the marked spans in place"
    REMOVE = "take the items that are condemned out of their list; text that is in no item is refused instead"
    REFUSE = "answer with the provider's error"
    ANSWER = "answer with a complete, successful answer that says no"
    END = "end the stream with the dialect's last events; the upstream is cancelled"


ACTIONS: dict[tuple[Action, Point], Deed] = {
    (Action.ALLOW, Point.PROMPT): Deed.FORWARD,
    (Action.ALLOW, Point.HELD): Deed.FORWARD,
    (Action.ALLOW, Point.OPEN): Deed.FORWARD,
    (Action.ANNOTATE, Point.PROMPT): Deed.MARK,
    (Action.ANNOTATE, Point.HELD): Deed.MARK,
    (Action.ANNOTATE, Point.OPEN): Deed.MARK,
    (Action.REROUTE, Point.PROMPT): Deed.ROUTE,
    (Action.STEER, Point.PROMPT): Deed.INSERT,
    (Action.REDACT, Point.PROMPT): Deed.EDIT,
    (Action.REDACT, Point.HELD): Deed.EDIT,
    (Action.REDACT, Point.OPEN): Deed.EDIT,
    (Action.DROP, Point.HELD): Deed.REMOVE,
    (Action.DROP, Point.OPEN): Deed.REMOVE,
    (Action.STOP, Point.HELD): Deed.ANSWER,
    (Action.STOP, Point.OPEN): Deed.END,
    (Action.THROTTLE, Point.PROMPT): Deed.REFUSE,
    (Action.BLOCK, Point.PROMPT): Deed.REFUSE,
    (Action.BLOCK, Point.HELD): Deed.REFUSE,
    (Action.BLOCK, Point.OPEN): Deed.END,
    (Action.SUSPEND, Point.PROMPT): Deed.REFUSE,
}


def possible(action: Action) -> list[Point]:
    """Where `action` has a meaning."""
    return [point for (known, point) in ACTIONS if known is action]
