"""Acting on many at once: what was previewed is done, to no more than the cap unless a second person approves.

The preview's digest is over everyone who is meant and where they stand, so what is done is what was looked at. All of
it is one transaction with one id, by which it can be undone as a whole.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from safeguards_extproc.core.account import Step
from safeguards_extproc.enforcement.events import Event, Kind, undoing
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.selection import Account, Entered, Filter, entered, everyone
from safeguards_extproc.enforcement.tables import BULKS
from safeguards_extproc.enforcement.writing import Writing
from safeguards_extproc.errors import NotAllowed

CAP = 100
"""How many identities one person may act on at once."""


@dataclass(frozen=True, slots=True)
class Act:
    """The same step, label, note or reinstatement for each of these identities. Times are as in Event."""

    which: Filter
    kind: Kind
    reason: str
    rule: str = ""
    until: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Undo:
    """Take back each of these events, with the steps that follow from them."""

    which: Entered
    reason: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would be: on how many identities and which, where they stand now, and the `digest` by which it
    may be done. `events` are those that would be undone."""

    subjects: tuple[str, ...]
    by_step: Mapping[Step, int]
    digest: str
    events: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many identities."""
        return len(self.subjects)


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: the id of the bulk action, and what was entered."""

    id: int
    events: list[Event]


def preview(ledger: Ledger, what: Act | Undo) -> Preview:
    """What would be done now. Writes nothing."""
    with ledger.reading() as connection:
        return _look(connection, what)[0]


def apply(
    ledger: Ledger, what: Act | Undo, digest: str, actor: str, *, cap: int = CAP, approver: str | None = None
) -> Done:
    """Do what was previewed. Raises NotAllowed, and does nothing, if it would not be the same any more, or is on more
    than `cap` identities and no second person approves."""
    with ledger.writing() as work:
        seen, accounts, events = _look(work.connection, what)
        if seen.digest != digest:
            raise NotAllowed(f"not what was previewed: it would be {seen.count} identities now; preview it again")
        if approver is not None and approver == actor:
            raise NotAllowed("the second person must be another than the first")
        if seen.count > cap and approver is None:
            raise NotAllowed(f"{seen.count} identities are more than {cap}: a second person must approve")
        id = _enter(work, seen, actor, what.reason, cap=cap, approver=approver)
        data: dict[str, Any] = {"bulk": id} if approver is None else {"bulk": id, "approver": approver}
        match what:
            case Act():
                work.load(account.subject for account in accounts)
                for account in accounts:
                    work.add(_event(what, account, actor, data))
            case Undo():
                _undo(work, events, actor, what.reason, data)
    return Done(id, work.entered)


def undo(ledger: Ledger, id: int, actor: str, reason: str) -> Done:
    """Take a bulk action back as a whole: what of it is still in force. A bulk action itself, so it can be undone."""
    with ledger.writing() as work:
        seen, _, events = _look(work.connection, Undo(Entered(bulk=id), reason))
        if not events:
            raise NotAllowed(f"nothing of bulk action {id} is in force")
        new = _enter(work, seen, actor, reason, cap=seen.count, approver=None)
        _undo(work, events, actor, reason, {"bulk": new})
    return Done(new, work.entered)


def _look(connection: sa.Connection, what: Act | Undo) -> tuple[Preview, list[Account], list[Event]]:
    """What is meant, in an order that does not depend on the database."""
    events = entered(connection, what.which) if isinstance(what, Undo) else []
    names = tuple(sorted({event.subject for event in events}))
    which = what.which if isinstance(what, Act) else Filter(subjects=names)
    accounts = [] if isinstance(what, Undo) and not names else everyone(connection, which)
    accounts.sort(key=lambda account: account.subject)
    told: dict[str, Any] = {
        "what": [type(what).__name__, what.reason],
        "accounts": [[account.subject, account.standing.revision] for account in accounts],
        "events": [event.id for event in events],
    }
    if isinstance(what, Act):
        told["act"] = [str(what.kind), what.rule, what.until, dict(what.data)]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    by_step = Counter(account.standing.step for account in accounts)
    seen = Preview(
        subjects=tuple(account.subject for account in accounts),
        by_step={step: by_step[step] for step in Step if by_step[step]},
        digest=digest,
        events=tuple(event.id for event in events),
    )
    return seen, accounts, events


def _enter(work: Writing, seen: Preview, actor: str, reason: str, *, cap: int, approver: str | None) -> int:
    id = work.next_bulk()
    row = {
        "id": id,
        "at": work.now,
        "actor": actor,
        "approver": approver,
        "count": seen.count,
        "cap": cap,
        "digest": seen.digest,
        "reason": reason,
    }
    work.connection.execute(BULKS.insert().values(row))
    return id


def _event(what: Act, account: Account, actor: str, data: Mapping[str, Any]) -> Event:
    return Event(
        kind=what.kind,
        subject=account.subject,
        subject_kind=account.kind,
        rule=what.rule,
        reason=what.reason,
        actor=actor,
        until=what.until,
        data={**what.data, **data},
    )


def _undo(work: Writing, events: list[Event], actor: str, reason: str, data: Mapping[str, Any]) -> None:
    for event in reversed(events):
        work.undo(event, undoing(event, actor, reason, data))
