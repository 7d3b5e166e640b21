"""What to do: answer Envoy, ask models, set a timer, keep the record. The driver carries effects out in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safeguards_extproc.core.account import Admission
from safeguards_extproc.core.aside import Task
from safeguards_extproc.core.decision import Model
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.text import Direction, Kind

Metadata = Mapping[str, str | int | float | bool]


@dataclass(slots=True)
class SendHeaders:
    """Answer a headers message: let the headers go on, changed. In duplex this is what releases them."""

    direction: Direction
    set: Sequence[tuple[str, str]] = ()
    remove: Sequence[str] = ()
    clear_route_cache: bool = False
    metadata: Metadata | None = None


@dataclass(slots=True)
class SendBody:
    """Full duplex: bytes that go on (`StreamedBodyResponse`). At most 62,000 bytes; `end` exactly once."""

    direction: Direction
    data: bytes
    end: bool
    metadata: Metadata | None = None

    def __repr__(self) -> str:
        return f"SendBody({self.direction.value}, {len(self.data)} bytes, end={self.end})"


@dataclass(slots=True)
class AnswerBody:
    """Paired modes: the one answer to one body message. `data` None leaves it as it was; b"" clears it."""

    direction: Direction
    data: bytes | None = None
    set: Sequence[tuple[str, str]] = ()
    remove: Sequence[str] = ()
    metadata: Metadata | None = None
    clear_route_cache: bool = False

    def __repr__(self) -> str:
        size = "unchanged" if self.data is None else f"{len(self.data)} bytes"
        return f"AnswerBody({self.direction.value}, {size})"


@dataclass(slots=True)
class SendTrailers:
    """Answer a trailers message; in duplex this ends the direction."""

    direction: Direction
    metadata: Metadata | None = None


@dataclass(slots=True)
class Refuse:
    """Answer the client ourselves (`ImmediateResponse`). `details` shows in Envoy's access log: a slug, never text.
    `encoded` is all of it in Envoy's words, where that is known already."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes
    details: str
    metadata: Metadata | None = None
    encoded: bytes = b""

    def __repr__(self) -> str:
        return f"Refuse({self.status}, {self.details}, {len(self.body)} bytes)"


@dataclass(slots=True)
class Classify:
    """Ask every one of `models` for scores of `texts` (views of one window, or its sentences; the maximum
    counts). Answered by Scored.

    `prompt` is what the texts answer, for models that read exchanges (`Model.exchange`). A model that does not answer
    within its `budget_ms` is answered for, with a failure.
    """

    ticket: int
    kind: Kind
    texts: Sequence[str]
    models: Sequence[Model]
    direction: Direction
    prompt: str = ""

    def __repr__(self) -> str:
        return f"Classify({self.ticket}, {self.kind.value}, {len(self.texts)} views)"


@dataclass(slots=True)
class Spare:
    """The models need not be asked about a window: their condition does not hold. What shares of windows count."""

    models: Sequence[Model]


@dataclass(slots=True)
class Offload:
    """Do `task` where it holds up nobody. Answered by Offloaded, always; one is under way in a direction, at most."""

    direction: Direction
    task: Task


@dataclass(slots=True)
class Cancel:
    """The answers to these tickets are not needed any more; none will be waited for."""

    tickets: Sequence[int]


@dataclass(slots=True)
class Admit:
    """Ask whether the exchange may go on. Answered by Admitted, and settled when the record is kept; at most one."""

    admission: Admission


@dataclass(slots=True)
class Wake:
    """Say `Woke(timer)` after so many seconds. A timer that is set again starts anew."""

    timer: str
    after_s: float


@dataclass(slots=True)
class Keep:
    """Keep this record, before any effect that follows is carried out. Exactly one per exchange. `sketch` is a keyed
    likeness of what the request asked, 0 where none was wanted; it is for its settlement, and in no record."""

    record: Record
    sketch: int = 0


Effect = (
    SendHeaders
    | SendBody
    | AnswerBody
    | SendTrailers
    | Refuse
    | Classify
    | Spare
    | Offload
    | Cancel
    | Admit
    | Wake
    | Keep
)
