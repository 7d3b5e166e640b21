"""One transaction of the ledger: events are gathered, folded into the projection, and written together or not at all.

It holds the lock of writers from its first statement, so what it reads stays true until it is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from safeguards_extproc.core.account import IN_GOOD_STANDING, Standing
from safeguards_extproc.enforcement import appeals, ladder, undo
from safeguards_extproc.enforcement.events import Event, Kind, Strike, check
from safeguards_extproc.enforcement.projection import (
    EMPTY,
    State,
    decode,
    encode,
    fold,
    prune,
    replay,
    standing,
    turns,
)
from safeguards_extproc.enforcement.selection import CHUNK
from safeguards_extproc.enforcement.tables import (
    ACCOUNTS,
    ALIASES,
    EVENTS,
    LEDGER,
    to_columns,
    to_event,
    to_row,
    to_standing,
)
from safeguards_extproc.errors import NotAllowed
from safeguards_extproc.policy.account_document import Rung

_NAMES: sa.BindParameter[list[Any]] = sa.bindparam("names", expanding=True)
_LOCK = sa.select(LEDGER).with_for_update()
_COUNT = LEDGER.update()
_TOLD = sa.select(EVENTS.c.record, EVENTS.c.rule).where(EVENTS.c.record.in_(_NAMES))
_EVENTS = sa.select(EVENTS).where(EVENTS.c.id.in_(_NAMES))
_HISTORY = sa.select(EVENTS).where(EVENTS.c.subject.in_(_NAMES)).order_by(EVENTS.c.id)
_ACCOUNTS = sa.select(ACCOUNTS).where(ACCOUNTS.c.subject.in_(_NAMES))
_OF: sa.BindParameter[str] = sa.bindparam("of")
_MEMBERS = sa.select(ACCOUNTS.c.subject).where(ACCOUNTS.c.root == _OF, ACCOUNTS.c.subject != _OF)
_CHANGE = ACCOUNTS.update().where(ACCOUNTS.c.subject == _OF)
_ENTER, _MAKE = EVENTS.insert(), ACCOUNTS.insert()


def chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    """The values, CHUNK at a time."""
    values = list(values)
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))


@dataclass(slots=True)
class Account:
    """A row of the projection in the making. `row` is as it is stored, None if it is not; `stale` if something was
    undone since `state` was worked out."""

    subject: str
    kind: str
    root: str
    state: State
    row: dict[str, Any] | None
    touched: bool = False
    stale: bool = False


class Writing:
    """What one transaction does. `entered` are the events so far, `now` the time of all of them, `connection`
    what it reads and writes through."""

    def __init__(self, connection: sa.Connection, now: float, rungs: Sequence[Rung], draw: ladder.Draw) -> None:
        self.connection, self._rungs, self._draw = connection, rungs, draw
        self.now = now
        self.entered: list[Event] = []
        counters = connection.execute(_LOCK).mappings().one()
        self._revision: int = counters["revision"]
        self._event: int = counters["event"]
        self._bulk: int = counters["bulk"]
        self._rows: list[dict[str, Any]] = []
        self._accounts: dict[str, Account] = {}
        self._histories: dict[str, list[Event]] = {}

    def next_bulk(self) -> int:
        """The id of a bulk action that begins here."""
        self._bulk += 1
        return self._bulk

    def add(self, event: Event, record: str | None = None) -> None:
        """Enter an event, and the steps to which it leads. Raises NotAllowed."""
        event = replace(event, at=event.at or self.now)
        check(event)
        root = self.root(event.subject, event.subject_kind)
        if event.kind is Kind.APPEAL:
            appeals.lodge(event, self.history(root))
        elif event.cause is not None:
            self.event(event.cause)
        self._fresh(root)
        event = self._enter(event, record)
        root.state = fold(root.state, event)
        if event.kind is Kind.STRIKE:
            for rung in ladder.fired(self._rungs, root.state, event.at):
                root.state = fold(root.state, self._enter(ladder.step(rung, event, self.now, self._draw)))

    def strikes(self, told: Sequence[Strike]) -> None:
        """Enter strikes in this order, and the steps to which they lead; none that this record's was told for this
        rule before."""
        self.load(each.subject for each in told)
        before: set[tuple[str, str]] = set()
        for some in chunks(dict.fromkeys(each.record for each in told)):
            rows = self.connection.execute(_TOLD, {"names": some}).mappings()
            before |= {(row["record"], row["rule"]) for row in rows}
        for each in told:
            if (each.record, each.rule) not in before:
                before.add((each.record, each.rule))
                root = self.root(each.subject, each.subject_kind)
                self.add(ladder.strike(each, self._fresh(root), self.now), each.record)

    def undo(self, target: Event, taking: Event) -> None:
        """Take an event back by `taking`, with what follows from it. Raises NotAllowed."""
        root = self.root(target.subject, target.subject_kind)
        undo.undo(self.history(root), target, taking, self._enter)
        root.stale = True

    def overturn(self, id: int, actor: str, reason: str) -> None:
        """Take back what an appeal is against. Raises NotAllowed."""
        appeal = self.event(id)
        root = self.root(appeal.subject, appeal.subject_kind)
        target = appeals.decide(appeal, self.history(root), actor)
        taking = Event(
            kind=Kind.OVERTURN,
            subject=target.subject,
            subject_kind=target.subject_kind,
            reason=reason,
            actor=actor,
            undoes=target.id,
            cause=appeal.id,
        )
        self.undo(target, taking)

    def uphold(self, id: int, actor: str, reason: str) -> None:
        """Close an appeal and leave what it is against. Raises NotAllowed."""
        appeal = self.event(id)
        root = self.root(appeal.subject, appeal.subject_kind)
        target = appeals.decide(appeal, self.history(root), actor)
        self.add(
            Event(
                kind=Kind.NOTE,
                subject=appeal.subject,
                subject_kind=appeal.subject_kind,
                reason=reason,
                actor=actor,
                cause=appeal.id,
                data={"upheld": target.id},
            )
        )

    def alias(self, new: str, former: str) -> None:
        """From now on the two are one identity. Raises NotAllowed if `new` is another's."""
        known = self.connection.execute(sa.select(ALIASES.c.former).where(ALIASES.c.subject == new)).scalar()
        if known == former:
            return
        if known is not None:
            raise NotAllowed("the new pseudonym is linked to another former one already")
        old, root = self.root(new), self.root(former)
        if old.root == root.root:
            raise NotAllowed("the two pseudonyms are of one identity already, linked the other way round")
        self.connection.execute(ALIASES.insert().values(subject=new, former=former, at=self.now))
        for member in self._members(old):
            member.root, member.state, member.touched = root.subject, EMPTY, True
        for each in (old, root):
            self._histories.pop(each.subject, None)
        root.kind = root.kind or old.kind
        reason = "This is the identity's pseudonym under a new key."
        note = self._enter(Event(kind=Kind.NOTE, subject=new, subject_kind=root.kind, reason=reason, actor="ledger"))
        undo.settle(self.history(root), note, self._enter)
        root.touched = root.stale = True

    def event(self, id: int) -> Event:
        """The event of this id. Raises NotAllowed if there is none."""
        (found,) = self.events([id])
        return found

    def events(self, ids: Sequence[int]) -> list[Event]:
        """The events of these ids, in this order. Raises NotAllowed if one is missing."""
        found = {each.id: each for each in self.entered}
        for some in chunks(id for id in ids if id not in found):
            rows = self.connection.execute(_EVENTS, {"names": some}).mappings()
            found |= {row["id"]: to_event(row) for row in rows}
        if (missing := next((id for id in ids if id not in found), None)) is not None:
            raise NotAllowed(f"there is no event {missing}")
        return [found[id] for id in ids]

    def load(self, subjects: Iterable[str]) -> None:
        """Read these rows of the projection, all at once."""
        for some in chunks(dict.fromkeys(subject for subject in subjects if subject not in self._accounts)):
            rows = self.connection.execute(_ACCOUNTS, {"names": some}).mappings()
            for row in rows:
                state = decode(row["state"]) if row["root"] == row["subject"] else EMPTY
                self._accounts[row["subject"]] = Account(row["subject"], row["kind"], row["root"], state, dict(row))

    def root(self, subject: str, kind: str = "") -> Account:
        """The identity that a pseudonym is of, about to change."""
        self.load([subject])
        account = self._accounts.get(subject)
        if account is None:
            account = self._accounts[subject] = Account(subject, kind, subject, EMPTY, None, touched=True)
        account.kind = account.kind or kind
        if account.root != subject:
            return self.root(account.root, kind)
        account.touched = True
        return account

    def history(self, root: Account) -> list[Event]:
        """All events of an identity so far, which grows as events are entered."""
        if root.subject not in self._histories:
            names = [each.subject for each in self._members(root)]
            rows = self.connection.execute(_HISTORY, {"names": names}).mappings()
            gathered = [each for each in self.entered if each.subject in names]
            self._histories[root.subject] = [*(to_event(row) for row in rows), *gathered]
        return self._histories[root.subject]

    def restore(self, account: Account) -> None:
        """A row of the projection, as it should be."""
        self._accounts[account.subject] = account

    def write(self, *, settled: bool = False) -> None:
        """Write what was gathered: the events, the projection, the counters. `settled` if every row that changes is
        touched already."""
        if not settled:
            for root in [each for each in self._accounts.values() if each.touched and each.root == each.subject]:
                self._settle(root)
        if self._rows:
            self.connection.execute(_ENTER, self._rows)
        made: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        for account in self._accounts.values():
            if account.touched:
                self._project(account, made, changed)
        if made:
            self.connection.execute(_MAKE, made)
        if changed:
            self.connection.execute(_CHANGE, changed)
        counters = {"revision": self._revision, "event": self._event, "bulk": self._bulk}
        self.connection.execute(_COUNT, counters)

    def _enter(self, event: Event, record: str | None = None) -> Event:
        self._event += 1
        event = replace(event, id=self._event, at=event.at or self.now)
        self.entered.append(event)
        self._rows.append(to_row(event, record))
        root = self.root(event.subject)
        if root.subject in self._histories:
            self._histories[root.subject].append(event)
        return event

    def _fresh(self, root: Account) -> State:
        if root.stale:
            root.state, root.stale = replay(self.history(root)), False
        return root.state

    def _members(self, root: Account) -> list[Account]:
        """The pseudonyms of an identity, those that this transaction gives it included."""
        self.load(self.connection.execute(_MEMBERS, {"of": root.subject}).scalars())
        return [each for each in self._accounts.values() if each.root == root.subject]

    def _settle(self, root: Account) -> None:
        root.state = prune(self._fresh(root), self.now)
        if standing(root.state, self.now) != _stored(root):
            for member in self._members(root):
                member.touched = True

    def _project(self, account: Account, made: list[dict[str, Any]], changed: list[dict[str, Any]]) -> None:
        state = self._accounts[account.root].state
        now = standing(state, self.now)
        revision = 0 if account.row is None else account.row["revision"]
        if now != _stored(account):
            self._revision += 1
            revision = self._revision
        leads = account.root == account.subject
        row = {
            **to_columns(now),
            "kind": account.kind,
            "root": account.root,
            "revision": revision,
            "at": self.now,
            "turns": turns(state, self.now) if leads else None,
            "state": encode(state) if leads else "",
        }
        if account.row is None:
            made.append({"subject": account.subject, **row})
        else:
            changed.append({"of": account.subject, **row})


def _stored(account: Account) -> Standing:
    """The standing that is written, without its revision."""
    return IN_GOOD_STANDING if account.row is None else replace(to_standing(account.row), revision=0)
