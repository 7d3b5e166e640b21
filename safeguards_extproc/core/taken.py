"""An exchange as it was taken: every message between Envoy and us, and all else that the exchange was told, with times.

It is enough to play the exchange again to the same verdict without Envoy, models or a clock. It holds what people
wrote, so it shows lengths and never content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from safeguards_extproc.core.account import Admitted
from safeguards_extproc.core.decision import Result
from safeguards_extproc.core.record import Record

_PERSON = b"window"


class Message(NamedTuple):
    """A ProcessingRequest of Envoy's, or the ProcessingResponse that it got.

    `place` counts all that was noted of an exchange, in order, and is -1 for what never came, because the exchange had
    ended, and is known all the same; `at` is microseconds from its first message.
    """

    place: int
    at: int
    from_envoy: bool
    raw: bytes

    def __repr__(self) -> str:
        return f"Message({self.place}, {self.at} us, {len(self.raw)} bytes)"


class Answer(NamedTuple):
    """What models said of one window: results, each with the digest of what its model was shown (`shown`)."""

    place: int
    asked: int
    at: int
    results: list[tuple[bytes, Result]]


class Note(NamedTuple):
    """Something that happened between messages. `what` is "woke" (`of`: the timer), "offloaded" (`of`: the direction),
    "admitted" or "aborted" (`of`: the cause)."""

    place: int
    at: int
    what: str
    of: str = ""


@dataclass(slots=True)
class Taken:
    """`id` names the exchange in its capture, `time` is when it began (RFC 3339, UTC, "" if nobody knows).

    `record` is what was decided when it was taken, None where nobody decided; `expected` is what should be, by
    direction, where somebody has said so.
    """

    id: str
    time: str = ""
    messages: list[Message] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    admitted: Admitted | None = None
    record: Record | None = None
    expected: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Taken({self.id}, {len(self.messages)} messages, {self.size} bytes)"

    @property
    def size(self) -> int:
        """Bytes of its messages."""
        return sum(len(message.raw) for message in self.messages)


def shown(texts: Sequence[str], prompt: str = "") -> bytes:
    """A digest of what a model is shown of one window: its views, and the question if the model reads one."""
    state = blake2b(digest_size=16, person=_PERSON)
    for text in (*texts, prompt):
        said = text.encode("utf-8", "surrogatepass")
        state.update(len(said).to_bytes(8, "little"))
        state.update(said)
    return state.digest()
