"""Exchanges that are shed, at a fraction of the price: the more are turned away, the less that may take.

What becomes of one depends on the policy, on Envoy's conventions and on where the request goes, and on nothing else of
it. So the first of a kind is played by the exchange itself, and those after it get its record and its answer under
their own id. Where policy lets them go on, each is played.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from safeguards_extproc.adapters import extproc
from safeguards_extproc.adapters.shared import Exchange
from safeguards_extproc.core.effects import Effect, Keep, Refuse
from safeguards_extproc.core.events import Event, Headers, Opened
from safeguards_extproc.core.exchange import trace_of
from safeguards_extproc.core.record import Record

KINDS = 512
"""Kinds kept; all are forgotten when there are more."""

LONGEST = 512
"""Characters of the longest path, host and type of which a kind is kept."""

Kind = tuple[object, ...]

_NAMES = tuple(field.name for field in fields(Record))
_ID, _TRACE = _NAMES.index("id"), _NAMES.index("trace_id")


@dataclass(frozen=True, slots=True)
class _Pattern:
    """The first of a kind: what its record holds, and its answer as Envoy reads it."""

    id: str
    record: tuple[object, ...]
    refusal: Refuse
    message: bytes


class Sheds:
    """The kinds of one process, under one policy at a time."""

    def __init__(self) -> None:
        self._policy: object = None
        self._kinds: dict[Kind, _Pattern] = {}

    def begin(self, policy: object, id: str, opened: Opened, whole: Callable[[], Exchange]) -> Exchange:
        """One that is called `id`; `whole` makes it as any other."""
        if policy is not self._policy:
            self._policy, self._kinds = policy, {}
        return _Shed(self._kinds, id, opened, whole)


class _Shed:
    """One exchange: a copy, or the whole one behind a veil."""

    __slots__ = ("_copied", "_id", "_kinds", "_opened", "_played", "_whole")

    def __init__(self, kinds: dict[Kind, _Pattern], id: str, opened: Opened, whole: Callable[[], Exchange]) -> None:
        self._kinds, self._id, self._opened, self._whole = kinds, id, opened, whole
        self._played: Exchange | None = None
        self._copied = False

    @property
    def finished(self) -> bool:
        """See Exchange."""
        return self._copied or (self._played is not None and self._played.finished)

    @property
    def held(self) -> int:
        """See Exchange."""
        return self._played.held if self._played is not None else 0

    @property
    def waiting(self) -> bool:
        """See Exchange."""
        return self._played is not None and self._played.waiting

    def feed(self, event: Event) -> list[Effect]:
        """See Exchange."""
        if self._played is not None:
            return self._played.feed(event)
        if self._copied:
            return []
        kind = _kind(self._opened, event) if isinstance(event, Headers) else None
        pattern = self._kinds.get(kind) if kind is not None else None
        if pattern is not None and len(pattern.id) == len(self._id) and isinstance(event, Headers):
            self._copied = True
            return _copy(pattern, self._id, event)
        self._played = self._whole()
        effects = self._played.feed(event)
        match effects:
            case [Keep(record), Refuse() as refusal] if kind is not None:
                if len(self._kinds) >= KINDS:
                    self._kinds.clear()
                held = tuple(getattr(record, name) for name in _NAMES)
                self._kinds[kind] = _Pattern(self._id, held, refusal, extproc.encode(refusal))
        return effects


def _kind(opened: Opened, event: Headers) -> Kind | None:
    """All that the end of a shed exchange depends on. None for what is too long to be kept, or has no body."""
    said = event.fields
    where = tuple(said.get(name, "") for name in (":method", ":authority", ":path", "content-type"))
    if event.end or sum(map(len, where)) > LONGEST:
        return None
    return (*where, opened.request, opened.response, opened.silent, tuple(opened.attributes.items()))


def _copy(pattern: _Pattern, id: str, event: Headers) -> list[Effect]:
    held = list(pattern.record)
    held[_ID], held[_TRACE] = id, trace_of(event.fields)
    first = pattern.refusal
    message = pattern.message.replace(pattern.id.encode(), id.encode())
    refusal = Refuse(first.status, first.headers, first.body, first.details, encoded=message)
    return [Keep(Record(*held)), refusal]  # type: ignore[arg-type]
