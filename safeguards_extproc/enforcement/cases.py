"""Cases: campaigns that were seen, who is in them and on what evidence, beside the ledger in its database.

They are kept there and not in Redis because a case outlives its counters, and because what it does to an identity must
happen once: the row that says that somebody is in a case, the flag and the strike are one transaction of the ledger.
No text is in a case; what it did can be undone like any other event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import sqlalchemy as sa

from safeguards_extproc.enforcement.events import Event, Kind, Strike
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.sightings import Member, Sighting
from safeguards_extproc.enforcement.writing import Writing

RECORDS = 1000
"""Record ids that are kept of a case, the first."""

ACTOR = "policy:campaigns"
META = sa.MetaData()

CASES = sa.Table(
    "safeguards_case",
    META,
    sa.Column("id", sa.String(24), primary_key=True),
    sa.Column("campaign", sa.String(64), nullable=False),
    sa.Column("detect", sa.String(32), nullable=False),
    sa.Column("enforced", sa.Boolean, nullable=False),
    sa.Column("opened", sa.Double, nullable=False),
    sa.Column("last", sa.Double, nullable=False),
    sa.Column("asks", sa.BigInteger, nullable=False),
    sa.Column("refusals", sa.BigInteger, nullable=False),
    sa.Column("identities", sa.BigInteger, nullable=False),
    sa.Index("safeguards_case_last", "last"),
)
KEYS = sa.Table(
    "safeguards_case_key",
    META,
    sa.Column("case_id", sa.String(24), sa.ForeignKey("safeguards_case.id"), primary_key=True),
    sa.Column("key", sa.String(300), primary_key=True),
    sa.Index("safeguards_case_key_key", "key"),
)
MEMBERS = sa.Table(
    "safeguards_case_member",
    META,
    sa.Column("case_id", sa.String(24), sa.ForeignKey("safeguards_case.id"), primary_key=True),
    sa.Column("pseudonym", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("record", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
    sa.Index("safeguards_case_member_pseudonym", "pseudonym"),
)
"""`at` is when somebody came into the case, `until` when the flag that it gave them ends, 0 without one."""

EVIDENCE = sa.Table(
    "safeguards_case_record",
    META,
    sa.Column("case_id", sa.String(24), sa.ForeignKey("safeguards_case.id"), primary_key=True),
    sa.Column("record", sa.String(200), primary_key=True),
)


@dataclass(frozen=True, slots=True)
class Case:
    """A campaign. `asks`, `refusals` and `identities` are the most that was counted in a window. `buckets` name what
    was counted: an identity's pseudonym, or bands of a sketch. `members` and `records` are filled by `Cases.show`."""

    id: str
    campaign: str
    detect: str
    enforced: bool
    opened: float
    last: float
    asks: int
    refusals: int
    identities: int
    buckets: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()
    records: tuple[str, ...] = ()


class Cases:
    """The cases beside a ledger. Waits for the database, like the ledger. Raises StoreError."""

    def __init__(self, ledger: Ledger) -> None:
        """Makes the tables if there are none."""
        self._ledger = ledger
        with ledger.writing() as work:
            META.create_all(work.connection)

    def take(self, sightings: Sequence[Sighting]) -> list[str]:
        """Enter what was seen, with the flags and strikes that follow, all or nothing; what was told before changes
        nothing but times. Gives the ids of cases that are new."""
        opened: list[str] = []
        with self._ledger.writing() as work:
            for each in sightings:
                id = _open(work.connection, each)
                if id is None:
                    id = _begin(work.connection, each)
                    opened.append(id)
                _go_on(work.connection, id, each)
                for member in each.members:
                    _join(work, id, member, each)
        return opened

    def list(self, since: float = 0.0, limit: int = 100) -> list[Case]:
        """Cases that went on at or after a time, the last first, without members and records."""
        query = sa.select(CASES).where(CASES.c.last >= since).order_by(CASES.c.last.desc(), CASES.c.id).limit(limit)
        with self._ledger.reading() as connection:
            return [Case(**row) for row in connection.execute(query).mappings()]

    def show(self, id: str) -> Case | None:
        """All of a case; None if there is none of this id."""
        with self._ledger.reading() as connection:
            row = connection.execute(sa.select(CASES).where(CASES.c.id == id)).mappings().first()
            if row is None:
                return None
            buckets = connection.execute(sa.select(KEYS.c.key).where(KEYS.c.case_id == id).order_by(KEYS.c.key))
            members = connection.execute(
                sa.select(MEMBERS.c.kind, MEMBERS.c.pseudonym, MEMBERS.c.record)
                .where(MEMBERS.c.case_id == id)
                .order_by(MEMBERS.c.at, MEMBERS.c.pseudonym)
            )
            records = connection.execute(sa.select(EVIDENCE.c.record).where(EVIDENCE.c.case_id == id))
            return Case(
                **row,
                buckets=tuple(key.partition(":")[2] for key in buckets.scalars()),
                members=tuple(Member(*each) for each in members),
                records=tuple(sorted(records.scalars())),
            )


def _open(connection: sa.Connection, seen: Sighting) -> str | None:
    """The oldest case of this campaign that has one of the keys or members and went on within `hold_s`: a template is
    in many buckets, and people in common make them one."""
    alike = sa.union(
        sa.select(KEYS.c.case_id).where(KEYS.c.key.in_(seen.keys)),
        sa.select(MEMBERS.c.case_id).where(MEMBERS.c.pseudonym.in_([member.pseudonym for member in seen.members])),
    )
    query = (
        sa.select(CASES.c.id)
        .where(CASES.c.id.in_(alike), CASES.c.campaign == seen.campaign, CASES.c.enforced == seen.enforced)
        .where(CASES.c.last >= seen.at - seen.hold_s)
        .order_by(CASES.c.opened, CASES.c.id)
    )
    return connection.execute(query).scalars().first()


def _begin(connection: sa.Connection, seen: Sighting) -> str:
    id = blake2b(
        f"{seen.keys[0]} {seen.at} {seen.enforced}".encode(), digest_size=8, person=b"campaign case"
    ).hexdigest()
    connection.execute(
        CASES.insert().values(
            id=id,
            campaign=seen.campaign,
            detect=seen.detect,
            enforced=seen.enforced,
            opened=seen.at,
            last=seen.at,
            asks=0,
            refusals=0,
            identities=0,
        )
    )
    return id


def _go_on(connection: sa.Connection, id: str, seen: Sighting) -> None:
    row = connection.execute(sa.select(CASES).where(CASES.c.id == id)).mappings().one()
    names = ("asks", "refusals", "identities")
    most = {name: max(row[name], getattr(seen, name)) for name in names}
    connection.execute(CASES.update().where(CASES.c.id == id).values(last=max(row["last"], seen.at), **most))
    known = {*connection.execute(sa.select(KEYS.c.key).where(KEYS.c.case_id == id)).scalars()}
    if keys := {*seen.keys} - known:
        connection.execute(KEYS.insert(), [{"case_id": id, "key": key} for key in sorted(keys)])
    told = {*connection.execute(sa.select(EVIDENCE.c.record).where(EVIDENCE.c.case_id == id)).scalars()}
    records = sorted({*seen.records, *(member.record for member in seen.members)} - told)[: max(0, RECORDS - len(told))]
    if records:
        connection.execute(EVIDENCE.insert(), [{"case_id": id, "record": record} for record in records])


def _join(work: Writing, id: str, member: Member, seen: Sighting) -> None:
    """Somebody is in it: a flag, renewed when half of its time is over, and one strike."""
    where = (MEMBERS.c.case_id == id) & (MEMBERS.c.pseudonym == member.pseudonym)
    row = work.connection.execute(sa.select(MEMBERS.c.until).where(where)).first()
    until = max(seen.at, work.now) + seen.hold_s if seen.enforced else 0.0
    if row is None:
        values = {"case_id": id, "at": seen.at, "until": until}
        values |= {"kind": member.kind, "pseudonym": member.pseudonym, "record": member.record}
        work.connection.execute(MEMBERS.insert().values(values))
    elif seen.enforced and until - row.until > seen.hold_s / 2:
        work.connection.execute(MEMBERS.update().where(where).values(until=until))
    else:
        return
    if not seen.enforced:
        return
    work.add(
        Event(
            kind=Kind.LABEL,
            subject=member.pseudonym,
            subject_kind=member.kind,
            rule=f"campaign:{seen.campaign}",
            reason=f"In a campaign ({seen.detect}), case {id}.",
            evidence=(member.record,),
            actor=ACTOR,
            until=until,
            data={"flag": seen.campaign},
        )
    )
    if row is None and seen.strike:
        work.strikes(
            [
                Strike(
                    subject=member.pseudonym,
                    subject_kind=member.kind,
                    record=member.record,
                    category=seen.detect,
                    rule=f"campaign:{seen.campaign}",
                    weight=seen.strike,
                    at=seen.at,
                    policy="campaigns",
                )
            ]
        )
