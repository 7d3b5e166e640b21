"""Which identities or events are meant: by where they stand and what led there, a page at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from safeguards_extproc.core.account import IN_GOOD_STANDING, Standing, Step
from safeguards_extproc.enforcement.events import STEPS, Event, Kind
from safeguards_extproc.enforcement.projection import undone
from safeguards_extproc.enforcement.tables import ACCOUNTS, EVENTS, Row, to_event, to_standing

CHUNK = 500
"""How many are asked for at once."""


@dataclass(frozen=True, slots=True)
class Account:
    """An identity, as it stood when it last changed."""

    subject: str
    kind: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Filter:
    """Which identities: all that is given must hold. `steps` are where they stand, `rule` is what led there, `flag`
    one of their labels, `subjects` who alone is looked at, whether the ledger knows them or not."""

    kind: str = ""
    steps: frozenset[Step] = frozenset()
    rule: str = ""
    flag: str = ""
    subjects: tuple[str, ...] = ()

    def holds(self, account: Account) -> bool:
        """Whether an identity is meant."""
        return (
            self.kind in ("", account.kind)
            and (not self.steps or account.standing.step in self.steps)
            and self.rule in ("", account.standing.rule)
            and (not self.flag or self.flag in account.standing.flags)
        )


EVERYBODY = Filter()
_ACTING = frozenset(STEPS) | {Kind.STRIKE, Kind.LABEL, Kind.REINSTATE}


@dataclass(frozen=True, slots=True)
class Entered:
    """Which events: all that is given must hold, and nothing that is taken back is meant. `kinds` is what they are,
    `rule` what they name, `since` and `until` when they were, `bulk` the bulk action that they are part of.

    Where no kinds are given all of a bulk action's are meant, and else what acts on an identity; the ladder's steps go
    with their strikes, and are meant by themselves only where their kind is given."""

    kinds: frozenset[Kind] = frozenset()
    rule: str = ""
    since: float = 0.0
    until: float = 0.0
    bulk: int = 0


def page(connection: sa.Connection, which: Filter, after: str) -> tuple[list[Account], str]:
    """The next identities that are meant, past `after` ("" at first), and what to go on after, "" at the end."""
    if which.subjects:
        rest = sorted({each for each in which.subjects if each > after})[:CHUNK]
        rows = connection.execute(sa.select(ACCOUNTS).where(ACCOUNTS.c.subject.in_(rest))).mappings()
        known = {row["subject"]: _account(row) for row in rows}
        found = [known.get(name) or Account(name, which.kind, IN_GOOD_STANDING) for name in rest]
    else:
        where = (ACCOUNTS.c.subject > after) & (ACCOUNTS.c.root == ACCOUNTS.c.subject)
        query = sa.select(ACCOUNTS).where(where).order_by(ACCOUNTS.c.subject).limit(CHUNK)
        found = [_account(row) for row in connection.execute(query).mappings()]
    return [each for each in found if which.holds(each)], found[-1].subject if found else ""


def everyone(connection: sa.Connection, which: Filter) -> list[Account]:
    """All identities that are meant."""
    found, after = page(connection, which, "")
    while after:
        more, after = page(connection, which, after)
        found += more
    return found


def entered(connection: sa.Connection, which: Entered) -> list[Event]:
    """The events that are meant, oldest first."""
    query = sa.select(EVENTS).order_by(EVENTS.c.id)
    if which.kinds or not which.bulk:
        query = query.where(EVENTS.c.kind.in_([str(kind) for kind in which.kinds or _ACTING]))
    if which.rule:
        query = query.where(EVENTS.c.rule == which.rule)
    if which.since:
        query = query.where(EVENTS.c.at >= which.since)
    if which.until:
        query = query.where(EVENTS.c.at < which.until)
    if which.bulk:
        query = query.where(EVENTS.c.bulk == which.bulk)
    found = [event for event in map(to_event, connection.execute(query).mappings()) if not event.cascaded]
    back = undone([*found, *_undoing(connection, {event.id for event in found})])
    return [event for event in found if event.id not in back and (event.rung is None or event.kind in which.kinds)]


def _undoing(connection: sa.Connection, ids: Collection[int]) -> list[Event]:
    """What undoes these events, what undoes that, and so on, by id."""
    found: dict[int, Event] = {}
    ids = sorted(ids)
    while ids:
        more: dict[int, Event] = {}
        for start in range(0, len(ids), CHUNK):
            where = EVENTS.c.undoes.in_(ids[start : start + CHUNK])
            more |= {row["id"]: to_event(row) for row in connection.execute(sa.select(EVENTS).where(where)).mappings()}
        ids = sorted(more.keys() - found.keys())
        found |= more
    return [found[id] for id in sorted(found)]


def _account(row: Row) -> Account:
    return Account(row["subject"], row["kind"], to_standing(row))
