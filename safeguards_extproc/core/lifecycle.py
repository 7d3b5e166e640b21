"""The law of a direction as a table: which event is legal when, and what comes next. All else is an IllegalEvent.

Both directions run through the same table, each on its own: in full duplex a response may begin before the request
has ended. An event with its end flag set takes the second target.
"""

from __future__ import annotations

import enum

from safeguards_extproc.core.events import Body, Headers, Trailers
from safeguards_extproc.errors import IllegalEvent


class Stage(enum.Enum):
    """What a direction is waiting for."""

    HEADERS = "headers"
    BODY = "body"
    ENDED = "ended"


LEGAL: dict[Stage, dict[type, tuple[Stage, Stage]]] = {
    Stage.HEADERS: {Headers: (Stage.BODY, Stage.ENDED)},
    Stage.BODY: {Body: (Stage.BODY, Stage.ENDED), Trailers: (Stage.ENDED, Stage.ENDED)},
    # Envoy 1.35 to 1.37 repeats the last chunk of large bodies (envoyproxy/envoy#46237), and trailers may follow a
    # buffered body: both are late, and change nothing.
    Stage.ENDED: {Body: (Stage.ENDED, Stage.ENDED), Trailers: (Stage.ENDED, Stage.ENDED)},
}


def step(stage: Stage, event: Headers | Body | Trailers) -> Stage:
    """The stage after `event`; raises IllegalEvent where the table has no row."""
    try:
        more, end = LEGAL[stage][type(event)]
    except KeyError:
        name = f"{event.direction.value} {type(event).__name__.lower()}"
        raise IllegalEvent(f"{name} while waiting for {stage.value}") from None
    return end if getattr(event, "end", False) else more
