"""The projection, made anew from the events: what was right stays as it is, what was not gets a new revision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from safeguards_extproc.enforcement.events import Event
from safeguards_extproc.enforcement.projection import EMPTY, State, decode, prune, replay, standing, turns
from safeguards_extproc.enforcement.tables import ACCOUNTS, ALIASES, EVENTS, Row, to_event, to_standing
from safeguards_extproc.enforcement.writing import Account, Writing, chunks

_NAMES: sa.BindParameter[list[str]] = sa.bindparam("names", expanding=True)
_ACCOUNTS = sa.select(ACCOUNTS).where(ACCOUNTS.c.subject.in_(_NAMES))
_EVENTS = sa.select(EVENTS).where(EVENTS.c.subject.in_(_NAMES))


def rebuild(work: Writing) -> int:
    """Put every row of the projection right. Gives how many were wrong, missing or behind the time."""
    connection = work.connection
    groups = _groups(connection)
    wrong = 0
    for roots in chunks(groups):
        names = [name for root in roots for name in groups[root]]
        rows = {row["subject"]: dict(row) for row in _all(connection, _ACCOUNTS, names)}
        events: dict[str, list[Event]] = {}
        for each in map(to_event, _all(connection, _EVENTS, names)):
            events.setdefault(each.subject, []).append(each)
        for root in roots:
            own = sorted((each for name in groups[root] for each in events.get(name, ())), key=lambda each: each.id)
            state = prune(replay(own), work.now)
            kind = next((each.subject_kind for each in own if each.subject_kind), "")
            for name in groups[root]:
                row = rows.get(name)
                account = Account(
                    name, kind if row is None else row["kind"], root, state if name == root else EMPTY, row
                )
                account.touched = row is None or not _right(row, root, state, work.now)
                wrong += account.touched
                work.restore(account)
    work.write(settled=True)
    return wrong


def _groups(connection: sa.Connection) -> dict[str, list[str]]:
    """The pseudonyms of each identity, by its oldest."""
    former = {row["subject"]: row["former"] for row in connection.execute(sa.select(ALIASES)).mappings()}
    names = dict.fromkeys([*former.values(), *former])
    for column in (EVENTS.c.subject, ACCOUNTS.c.subject):
        names |= dict.fromkeys(connection.execute(sa.select(column).distinct()).scalars())
    groups: dict[str, list[str]] = {}
    for name in names:
        root = name
        while root in former:
            root = former[root]
        groups.setdefault(root, []).append(name)
    return groups


def _all(connection: sa.Connection, query: sa.Select[Any], names: list[str]) -> list[sa.RowMapping]:
    found: list[sa.RowMapping] = []
    for some in chunks(names):
        found += connection.execute(query, {"names": some}).mappings()
    return found


def _right(row: Row, root: str, state: State, now: float) -> bool:
    """Whether a row is what it would be if it were written now."""
    try:
        stored = replace(to_standing(row), revision=0)
        if row["subject"] == root and (decode(row["state"]) != state or row["turns"] != turns(state, now)):
            return False
    except (ValueError, KeyError, TypeError):
        return False
    return row["root"] == root and stored == standing(state, now)
