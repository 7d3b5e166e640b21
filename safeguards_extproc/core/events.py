"""What happened: what Envoy said, what models answered, what a timer said, how it ended.

`at` is seconds on a monotonic clock, stamped by the driver; the core has no clock of its own. Events are mutable
dataclasses because a frozen one costs four times as much to make, and one is made per message.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from safeguards_extproc.core import account
from safeguards_extproc.core.aside import Outcome
from safeguards_extproc.core.decision import Result
from safeguards_extproc.core.text import Direction


class BodyMode(enum.StrEnum):
    """How Envoy sends a body: `ProcessingMode.BodySendMode`, as `protocol_config` of the first message gives it."""

    NONE = "none"
    BUFFERED = "buffered"
    PARTIAL = "buffered_partial"
    STREAMED = "streamed"
    DUPLEX = "full_duplex_streamed"


@dataclass(slots=True)
class Opened:
    """The conventions of this stream, from its first message, and whether it finds us `overloaded`.

    `attributes` are Envoy's own words on the request by their CEL names ("xds.route_name"), where it sends them;
    `metadata` is what its filters have found out, by namespace, as plain data.
    """

    request: BodyMode
    response: BodyMode
    silent: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)
    overloaded: bool = False

    def __repr__(self) -> str:
        return f"Opened({self.request.value}, {self.response.value}, {len(self.attributes)} attributes)"


@dataclass(slots=True)
class Headers:
    """Names in lower case, pseudo-headers included; a repeated name's values are joined with ", " (RFC 9110 5.3)."""

    direction: Direction
    fields: dict[str, str]
    end: bool
    at: float = 0.0

    def __repr__(self) -> str:
        return f"Headers({self.direction.value}, {len(self.fields)} fields, end={self.end})"


@dataclass(slots=True)
class Body:
    """A chunk, cut anywhere; may be empty."""

    direction: Direction
    data: bytes
    end: bool
    at: float = 0.0

    def __repr__(self) -> str:
        return f"Body({self.direction.value}, {len(self.data)} bytes, end={self.end})"


@dataclass(slots=True)
class Trailers:
    """The other way for a direction to end."""

    direction: Direction
    at: float = 0.0


@dataclass(slots=True)
class Scored:
    """The answer to `effects.Classify` with the same ticket: one result per model asked."""

    ticket: int
    results: Sequence[Result]
    at: float = 0.0


@dataclass(slots=True)
class Offloaded:
    """The answer to `effects.Offload` in the same direction."""

    direction: Direction
    outcome: Outcome
    at: float = 0.0


@dataclass(slots=True)
class Admitted:
    """The answer to `effects.Admit`."""

    answer: account.Admitted
    at: float = 0.0


@dataclass(slots=True)
class Woke:
    """The answer to `effects.Wake` with the same timer."""

    timer: str
    at: float = 0.0


@dataclass(slots=True)
class Aborted:
    """The stream is over before the exchange was; `cause` is "closed" (a peer went away), "shutdown" or "error"."""

    cause: str
    at: float = 0.0


Event = Headers | Body | Trailers | Scored | Offloaded | Admitted | Woke | Aborted
