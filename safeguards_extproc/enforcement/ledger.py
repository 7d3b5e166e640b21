"""The truth about who stands where: events that are only ever added, and a projection of them for each identity.

    ledger = Ledger("sqlite:////var/lib/safeguards/ledger.db", policy.enforcement.ladder, time.time)
    ledger.strike(Strike(subject="eu-…", record="01J…", rule="weapons"))    # and the steps to which it leads
    ledger.undo([7], "maria", "the rule was wrong")                         # and what followed from it

Every method is one transaction, safe from threads and processes at once, and waits for the database: not for an event
loop. What the rules forbid raises NotAllowed, a database that does not answer StoreError; then nothing was written.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import sqlalchemy as sa

from safeguards_extproc.core.account import IN_GOOD_STANDING, Standing
from safeguards_extproc.enforcement import ladder
from safeguards_extproc.enforcement.appeals import open_
from safeguards_extproc.enforcement.events import Event, Kind, Strike, undoing
from safeguards_extproc.enforcement.projection import decode, standing, undone
from safeguards_extproc.enforcement.rebuild import rebuild
from safeguards_extproc.enforcement.selection import EVERYBODY, Account, Filter, page
from safeguards_extproc.enforcement.tables import (
    ACCOUNTS,
    EVENTS,
    LEDGER,
    connect,
    failing,
    to_event,
    to_standing,
)
from safeguards_extproc.enforcement.writing import Writing
from safeguards_extproc.policy.account_document import Rung

_DRAW = random.SystemRandom().uniform


class Ledger:
    """A ledger that is open. `ladder` is the policy's; `clock` says the time in seconds since the epoch; `draw` is
    how a delay is drawn. Opening raises ConfigError where the database cannot be used."""

    def __init__(
        self,
        url: str,
        ladder: Sequence[Rung],
        clock: Callable[[], float],
        draw: ladder.Draw = _DRAW,
    ) -> None:
        self.ladder = tuple(ladder)
        self._clock, self._draw = clock, draw
        self._turn = threading.Lock()
        self._engine = connect(url)

    def close(self) -> None:
        """End the connections; the ledger cannot be used any more."""
        self._engine.dispose()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writing]:
        """A transaction: what is entered in it is written at its end, all or nothing."""
        with self._transaction() as work:
            yield work
            work.write()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A view of the database as it is now."""
        with failing(), self._engine.connect() as connection:
            yield connection.execution_options(reads=True)

    def append(self, new: Event) -> list[Event]:
        """Enter an event. Gives it and all that the ladder added."""
        with self.writing() as work:
            work.add(new)
        return work.entered

    def strike(self, told: Strike) -> list[Event]:
        """Enter a strike. Gives it and the steps to which it led, nothing if it was told before."""
        return self.strikes([told])

    def strikes(self, told: Sequence[Strike]) -> list[Event]:
        """Enter several in one transaction, in this order."""
        with self.writing() as work:
            work.strikes(told)
        return work.entered

    def undo(self, ids: Sequence[int], actor: str, reason: str) -> list[Event]:
        """Take events back, the latest first, with the steps that follow from them no more. Gives what was entered."""
        with self.writing() as work:
            for target in work.events(sorted(set(ids), reverse=True)):
                work.undo(target, undoing(target, actor, reason))
        return work.entered

    def overturn(self, appeal: int, actor: str, reason: str) -> list[Event]:
        """Decide an appeal in favour of who appealed: what it is against is undone."""
        with self.writing() as work:
            work.overturn(appeal, actor, reason)
        return work.entered

    def uphold(self, appeal: int, actor: str, reason: str) -> list[Event]:
        """Decide an appeal against who appealed: nothing changes, and the decision is noted."""
        with self.writing() as work:
            work.uphold(appeal, actor, reason)
        return work.entered

    def alias(self, new: str, former: str) -> None:
        """`new` is the pseudonym under a new key of who was `former`: they share events and standing from now on."""
        with self.writing() as work:
            work.alias(new, former)

    def standing(self, subject: str) -> Standing:
        """Where an identity stands now."""
        root = ACCOUNTS.alias("root")
        joined = ACCOUNTS.join(root, root.c.subject == ACCOUNTS.c.root)
        query = sa.select(ACCOUNTS.c.revision, root.c.state).select_from(joined).where(ACCOUNTS.c.subject == subject)
        with self.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return IN_GOOD_STANDING
        return replace(standing(decode(row["state"]), self._clock()), revision=row["revision"])

    def changed(self, since: int, limit: int) -> list[tuple[str, Standing]]:
        """Pseudonyms whose standing has changed after a revision, each once, by its last change, ascending."""
        after = sa.select(ACCOUNTS).where(ACCOUNTS.c.revision > since).order_by(ACCOUNTS.c.revision).limit(limit)
        with self.reading() as connection:
            return [(row["subject"], to_standing(row)) for row in connection.execute(after).mappings()]

    def revision(self) -> int:
        """How many changes of standings there were; each has a revision of its own, from 1."""
        with self.reading() as connection:
            return int(connection.execute(sa.select(LEDGER.c.revision)).scalar_one())

    def history(self, subject: str) -> list[Event]:
        """All events of an identity, under all its pseudonyms, oldest first."""
        root = sa.select(ACCOUNTS.c.root).where(ACCOUNTS.c.subject == subject).scalar_subquery()
        names = sa.select(ACCOUNTS.c.subject).where(ACCOUNTS.c.root == root)
        query = sa.select(EVENTS).where(EVENTS.c.subject.in_(names)).order_by(EVENTS.c.id)
        with self.reading() as connection:
            return [to_event(row) for row in connection.execute(query).mappings()]

    def event(self, id: int) -> Event | None:
        """The event of this id, None if there is none."""
        with self.reading() as connection:
            row = connection.execute(sa.select(EVENTS).where(EVENTS.c.id == id)).mappings().first()
        return None if row is None else to_event(row)

    def appeals(self) -> list[Event]:
        """Appeals that wait for a decision, oldest first."""
        query = sa.select(EVENTS.c.subject).where(EVENTS.c.kind == str(Kind.APPEAL)).distinct()
        with self.reading() as connection:
            subjects = list(connection.execute(query).scalars())
        found: dict[int, Event] = {}
        for subject in subjects:
            events = self.history(subject)
            back = undone(events)
            found |= {each.id: each for each in events if each.kind is Kind.APPEAL and open_(each, events, back)}
        return [found[id] for id in sorted(found)]

    def run_due(self, now: float) -> list[Event]:
        """Bring up to `now` what changes by itself. Gives the steps and labels that took effect or ended since."""
        where = (ACCOUNTS.c.turns <= now) & (ACCOUNTS.c.root == ACCOUNTS.c.subject)
        with self.reading() as connection:
            if connection.execute(sa.select(ACCOUNTS.c.subject).where(where).limit(1)).first() is None:
                return []
        with self._transaction(now) as work:
            ids: list[int] = []
            rows = work.connection.execute(sa.select(ACCOUNTS.c.subject, ACCOUNTS.c.at).where(where)).all()
            work.load(subject for subject, _ in rows)
            for subject, last in rows:
                effects = work.root(subject).state.effects
                ids += (each.id for each in effects if last < each.start <= now or last < each.end <= now)
            events = work.events(sorted(ids))
            work.write()
        return events

    def subjects(self, which: Filter = EVERYBODY) -> Iterator[Account]:
        """The identities that are meant, by pseudonym; each once, by its oldest."""
        more, after = self._page(which, "")
        yield from more
        while after:
            more, after = self._page(which, after)
            yield from more

    def _page(self, which: Filter, after: str) -> tuple[list[Account], str]:
        with self.reading() as connection:
            return page(connection, which, after)

    def rebuild(self) -> int:
        """Make the projection anew from the events. Gives how many rows were wrong or missing; 0 if all is well."""
        with self._transaction() as work:
            return rebuild(work)

    @contextlib.contextmanager
    def _transaction(self, now: float | None = None) -> Iterator[Writing]:
        # Threads of a process wait here, in turn: the database would have them poll.
        with self._turn, failing(), self._engine.begin() as connection:
            yield Writing(connection, self._clock() if now is None else now, self.ladder, self._draw)
