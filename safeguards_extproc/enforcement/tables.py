"""The ledger's tables, on SQLite and PostgreSQL: events, aliases and bulk actions are only ever added to.

Triggers hold that, whoever connects. The projection (accounts) can be made anew from them at any time. Every writer
takes the one row of `safeguards_ledger` first, SQLite by BEGIN IMMEDIATE, so writers follow one another: ids and
revisions have no gaps, and a reader that has seen a revision has seen all before it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event as hooks
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import StaticPool

from safeguards_extproc.core.account import Standing, Step
from safeguards_extproc.enforcement.events import Event, Kind
from safeguards_extproc.errors import ConfigError, StoreError

VERSION = 1
"""Of the tables. A ledger of another is not opened."""

BUSY_S = 10.0
"""How long a writer waits for another."""

Row = Mapping[str, Any] | sa.RowMapping
"""A row that was read, or is to be written."""

META = sa.MetaData()
_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")

LEDGER = sa.Table(
    "safeguards_ledger",
    META,
    sa.Column("one", sa.Integer, sa.CheckConstraint("one = 1"), primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("revision", _Id, nullable=False),
    sa.Column("event", _Id, nullable=False),
    sa.Column("bulk", _Id, nullable=False),
)
"""The version of the tables, and the last revision, event and bulk action: one row, the writers' lock."""

EVENTS = sa.Table(
    "safeguards_event",
    META,
    sa.Column("id", _Id, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("subject_kind", sa.String(16), nullable=False),
    sa.Column("subject", sa.String(200), nullable=False),
    sa.Column("weight", sa.Double, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("due", sa.Double, nullable=False),
    sa.Column("undoes", _Id, sa.ForeignKey("safeguards_event.id")),
    sa.Column("cause", _Id, sa.ForeignKey("safeguards_event.id")),
    sa.Column("data", sa.Text, nullable=False),
    sa.Column("record", sa.Text),
    sa.Column("bulk", _Id),
    sa.UniqueConstraint("record", "rule", name="safeguards_event_once"),
    sa.CheckConstraint("undoes < id", name="safeguards_event_undoes_earlier"),
    sa.CheckConstraint("cause < id", name="safeguards_event_causes_earlier"),
    sa.Index("safeguards_event_subject", "subject", "id"),
    sa.Index("safeguards_event_bulk", "bulk"),
    sa.Index("safeguards_event_undoes", "undoes"),
    sa.Index("safeguards_event_rule", "rule", "id"),
)
"""`record` is set for strikes that were told, which count once for each rule."""

ALIASES = sa.Table(
    "safeguards_alias",
    META,
    sa.Column("subject", sa.String(200), primary_key=True),
    sa.Column("former", sa.String(200), nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.CheckConstraint("subject <> former", name="safeguards_alias_of_another"),
)
"""`subject` is the pseudonym under a new key of the identity that was `former`."""

BULKS = sa.Table(
    "safeguards_bulk",
    META,
    sa.Column("id", _Id, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("approver", sa.Text),
    sa.Column("count", _Id, nullable=False),
    sa.Column("cap", _Id, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.CheckConstraint("approver <> actor", name="safeguards_bulk_two_people"),
    sa.CheckConstraint("count <= cap OR approver IS NOT NULL", name="safeguards_bulk_approved"),
)
"""What was done to many at once. Above the cap another than the actor approved."""

ACCOUNTS = sa.Table(
    "safeguards_account",
    META,
    sa.Column("subject", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("root", sa.String(200), nullable=False),
    sa.Column("step", sa.String(16), nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
    sa.Column("share", sa.Double, nullable=False),
    sa.Column("models", sa.Text, nullable=False),
    sa.Column("tools", sa.Boolean, nullable=False),
    sa.Column("flags", sa.Text, nullable=False),
    sa.Column("revision", _Id, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("turns", sa.Double),
    sa.Column("state", sa.Text, nullable=False),
    sa.Index("safeguards_account_revision", "revision"),
    sa.Index("safeguards_account_turns", "turns"),
    sa.Index("safeguards_account_root", "root"),
)
"""The projection. `root` is the oldest pseudonym of the identity, whose row has the state; `at` is the time that the
standing was worked out for, `turns` when it changes by itself; `revision` when it changed last, 0 for never."""

APPEND_ONLY = (EVENTS, ALIASES, BULKS)

_REFUSE = """
CREATE OR REPLACE FUNCTION safeguards_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only', ERRCODE = 'restrict_violation'; END $$
"""


def _triggers(dialect: str) -> Iterator[str]:
    if dialect == "postgresql":
        yield _REFUSE
        for table in APPEND_ONLY:
            yield (
                f"CREATE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE ON {table.name} "
                "FOR EACH ROW EXECUTE FUNCTION safeguards_append_only()"
            )
            yield (
                f"CREATE TRIGGER {table.name}_not_emptied BEFORE TRUNCATE ON {table.name} "
                "FOR EACH STATEMENT EXECUTE FUNCTION safeguards_append_only()"
            )
        return
    for table in APPEND_ONLY:
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only'); END"
        for what in ("UPDATE", "DELETE"):
            yield f"CREATE TRIGGER {table.name}_no_{what.lower()} BEFORE {what} ON {table.name} {refuse}"
        # INSERT OR REPLACE deletes without firing the trigger of a delete.
        key = next(iter(table.primary_key)).name
        again = f"EXISTS (SELECT 1 FROM {table.name} WHERE {key} = NEW.{key})"  # noqa: S608
        if table is EVENTS:
            again += f" OR EXISTS (SELECT 1 FROM {table.name} WHERE record = NEW.record AND rule = NEW.rule)"  # noqa: S608
        yield f"CREATE TRIGGER {table.name}_no_replace BEFORE INSERT ON {table.name} WHEN {again} {refuse}"


def connect(url: str) -> sa.Engine:
    """The ledger at a URL (sqlite:////path or postgresql+psycopg://…), made if there is none. Raises ConfigError if it
    cannot be opened, or is of a version that this program does not know."""
    try:
        parsed = make_url(url)
        engine = _engine(parsed)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"the ledger's URL cannot be used: {type(error).__name__}",
            where="ledger",
            hint="write sqlite:////path/ledger.db, or postgresql+psycopg://user@host/database with the extra postgres",
        ) from None
    try:
        _create(engine)
    except SQLAlchemyError as error:
        engine.dispose()
        cause = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        raise ConfigError(
            f"the ledger at {parsed.render_as_string(hide_password=True)} cannot be opened: {cause}",
            where="ledger",
            hint="is the folder there and writable?"
            if engine.dialect.name == "sqlite"
            else "is the server reachable, and may this user create tables?",
        ) from None
    except ConfigError:
        engine.dispose()
        raise
    return engine


def _engine(url: sa.URL) -> sa.Engine:
    match url.get_backend_name():
        case "postgresql":
            engine = sa.create_engine(
                url.set(drivername="postgresql+psycopg"),
                isolation_level="READ COMMITTED",
                pool_pre_ping=True,
                connect_args={"connect_timeout": 5},
            )
            hooks.listen(engine, "connect", _limit_postgres)
            return engine
        case "sqlite":
            memory = url.database in (None, "", ":memory:")
            options: dict[str, Any] = {"poolclass": StaticPool} if memory else {}
            engine = sa.create_engine(url, connect_args={"timeout": BUSY_S, "check_same_thread": False}, **options)
            hooks.listen(engine, "connect", _set_up_sqlite)
            hooks.listen(engine, "begin", _begin_sqlite)
            return engine
    raise ArgumentError(url.get_backend_name())


def _limit_postgres(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{BUSY_S:.0f}s'")
        cursor.execute("SET synchronous_commit = on")
    connection.commit()


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None
    given_up = time.monotonic() + BUSY_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            if mode not in ("wal", "memory"):
                connection.execute("PRAGMA journal_mode = WAL")
            break
        except connection.OperationalError:
            # Changing the mode does not wait for others as other statements do.
            if time.monotonic() > given_up:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _create(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(0x5AFE)))
        if sa.inspect(connection).has_table(LEDGER.name):
            version = connection.execute(sa.select(LEDGER.c.version)).scalar_one()
            if version != VERSION:
                raise ConfigError(
                    f"its tables are of version {version}, this program's of version {VERSION}",
                    where="ledger",
                    hint="use the release that wrote it, or a later one",
                )
            return
        META.create_all(connection)
        for statement in _triggers(engine.dialect.name):
            connection.exec_driver_sql(statement)
        connection.execute(LEDGER.insert().values(one=1, version=VERSION, revision=0, event=0, bulk=0))


@contextlib.contextmanager
def failing() -> Iterator[None]:
    """Failures of the database as StoreError."""
    try:
        yield
    except DBAPIError as error:
        raise StoreError(_reason(error)) from error
    except PoolTimeout as error:
        raise StoreError("overload") from error


def _reason(error: DBAPIError) -> str:
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", "")
    match str(state):
        case "SQLITE_BUSY" | "SQLITE_LOCKED" | "55P03" | "57014":
            return "timeout"
        case "SQLITE_FULL" | "53100":
            return "full"
    if isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return "unavailable"
    return "bad-response"


def to_row(event: Event, record: str | None) -> dict[str, Any]:
    """An event as a row; `record` where it is a strike that was told."""
    return {
        "id": event.id,
        "at": event.at,
        "kind": str(event.kind),
        "subject_kind": event.subject_kind,
        "subject": event.subject,
        "weight": event.weight,
        "category": event.category,
        "rule": event.rule,
        "reason": event.reason,
        "evidence": _json(event.evidence),
        "actor": event.actor,
        "until": event.until,
        "due": event.due,
        "undoes": event.undoes,
        "cause": event.cause,
        "data": _json(event.data),
        "record": record,
        "bulk": event.data.get("bulk"),
    }


def to_event(row: Row) -> Event:
    """What `to_row` made a row of."""
    names = ("subject", "subject_kind", "id", "at", "weight", "category", "rule", "reason", "actor")
    more = ("until", "due", "undoes", "cause")
    return Event(
        kind=Kind(row["kind"]),
        evidence=tuple(json.loads(row["evidence"])),
        data=json.loads(row["data"]),
        **{name: row[name] for name in (*names, *more)},
    )


def to_columns(standing: Standing) -> dict[str, Any]:
    """A standing as columns of the projection, without its revision."""
    return {
        "step": str(standing.step),
        "rule": standing.rule,
        "reason": standing.reason,
        "until": standing.until,
        "share": standing.share,
        "models": _json(sorted(standing.models)),
        "tools": standing.tools,
        "flags": _json(sorted(standing.flags)),
    }


def to_standing(row: Row) -> Standing:
    """A row of the projection as a standing."""
    return Standing(
        step=Step(row["step"]),
        rule=row["rule"],
        reason=row["reason"],
        until=row["until"],
        share=row["share"],
        models=frozenset(json.loads(row["models"])),
        tools=bool(row["tools"]),
        flags=frozenset(json.loads(row["flags"])),
        revision=row["revision"],
    )


def _json(value: Mapping[str, Any] | Sequence[str]) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
