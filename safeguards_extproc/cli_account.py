"""The command line of accounts: who stands where and why, and every step that a person may take or take back.

Commands work on the ledger itself. With --redis filters hear of it at once; without, as soon as a keeper looks.
"""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safeguards_extproc import cli_say
from safeguards_extproc.enforcement.events import Event, Kind
from safeguards_extproc.errors import ConfigError, NotAllowed, StoreError

if TYPE_CHECKING:
    from safeguards_extproc.enforcement.ledger import Ledger
    from safeguards_extproc.enforcement.selection import Filter

app = typer.Typer(help="Who stands where and why; steps, and taking them back.", no_args_is_help=True)

Subject = Annotated[str, typer.Argument(help="The identity's pseudonym, as records and `account pseudonym` have it.")]
At = Annotated[str, typer.Option("--ledger", help="The ledger's URL.", envvar="SAFEGUARDS_LEDGER")]
Redis = Annotated[
    list[str] | None,
    typer.Option("--redis", help="Tell the filters at once, through this Redis.", envvar="SAFEGUARDS_REDIS"),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Reason = Annotated[str, typer.Option(help="Why; it is in the statement of reasons.")]
Actor = Annotated[str, typer.Option(help="Who decides it; your login name if not given.")]
Lasting = Annotated[str, typer.Option("--for", help="How long: 90s, 15m, 24h, 7d; for ever if not given.")]
After = Annotated[str, typer.Option("--after", help="Take effect only after this time.")]
Evidence = Annotated[list[str] | None, typer.Option(help="Id of a decision record; repeat it.")]
Rule = Annotated[str, typer.Option(help="The rule of yours that was broken.")]
KindOption = Annotated[str, typer.Option("--kind", help="What it is, if the ledger does not know it: end_user, key, …")]

COLUMNS = ("id", "at", "kind", "rule", "reason", "until", "weight", "actor", "undoes", "undone_by")


@app.command()
def show(subject: Subject, ledger: At = "", as_json: AsJson = False) -> None:
    """Where an identity stands now, and what led there."""
    opened = open_ledger(ledger)
    standing, events = opened.standing(subject), opened.history(subject)
    strikes = [each for each in told(events) if each["kind"] == "strike" and not each["undone_by"]]
    found = {
        "subject": subject,
        "kind": next((event.subject_kind for event in events if event.subject_kind), ""),
        "step": str(standing.step),
        "until": cli_say.moment(standing.until) or ("for ever" if standing.step != "good" else ""),
        "rule": standing.rule,
        "reason": standing.reason,
        "share": None if standing.share == 1.0 else standing.share,
        "models": sorted(standing.models),
        "tools": "none may be used" if standing.tools else "",
        "flags": sorted(standing.flags),
        "strikes": len(strikes),
        "events": len(events),
        "revision": standing.revision,
    }
    cli_say.one(
        f"{subject}: {'unknown to the ledger, in good standing' if not events else standing.step}",
        found,
        as_json=as_json,
    )


@app.command("list")
def list_(
    step: Annotated[
        list[str] | None, typer.Option(help="Who stands so; repeat it. Everybody but good if none.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Of this kind: end_user, key, organisation, tenant.")] = "",
    rule: Annotated[str, typer.Option(help="Led there by this rule.")] = "",
    flag: Annotated[str, typer.Option(help="With this flag.")] = "",
    ledger: At = "",
    as_json: AsJson = False,
) -> None:
    """Identities by where they stand."""
    found = [
        {
            "subject": each.subject,
            "kind": each.kind,
            "step": str(each.standing.step),
            "until": cli_say.moment(each.standing.until),
            "rule": each.standing.rule,
            "flags": sorted(each.standing.flags),
        }
        for each in open_ledger(ledger).subjects(filter_of(step, kind, rule, flag))
        if step or each.standing.step != "good" or each.standing.flags
    ]
    cli_say.rows(
        f"{len(found)} identities", found, ("subject", "kind", "step", "until", "rule", "flags"), as_json=as_json
    )


@app.command()
def history(subject: Subject, ledger: At = "", as_json: AsJson = False) -> None:
    """Everything that the ledger has of an identity, under all its pseudonyms, oldest first."""
    events = open_ledger(ledger).history(subject)
    cli_say.rows(f"{subject}: {len(events)} events", told(events), COLUMNS, as_json=as_json)


PLAIN = {
    Kind.WARN: "Warn: nothing is taken, rules can see it.",
    Kind.SUSPEND: "Refuse every request, for a time or until reinstated.",
    Kind.BAN: "Refuse every request, for good.",
}
"""Steps that need nothing but who, why and how long."""


def _plain(what: Kind) -> Callable[..., None]:
    def take(
        subject: Subject,
        reason: Reason,
        actor: Actor = "",
        lasting: Lasting = "",
        after: After = "",
        evidence: Evidence = None,
        rule: Rule = "",
        kind: KindOption = "",
        ledger: At = "",
        redis: Redis = None,
        as_json: AsJson = False,
    ) -> None:
        _step(what, {}, subject, reason, actor, lasting, after, evidence, rule, kind, ledger, redis, as_json)

    return take


for _what, _help in PLAIN.items():
    app.command(str(_what), help=_help)(_plain(_what))


@app.command()
def throttle(
    subject: Subject,
    reason: Reason,
    share: Annotated[float, typer.Option(help="What is left of every limit, above 0 and at most 1.")] = 0.1,
    actor: Actor = "",
    lasting: Lasting = "",
    after: After = "",
    evidence: Evidence = None,
    rule: Rule = "",
    kind: KindOption = "",
    ledger: At = "",
    redis: Redis = None,
    as_json: AsJson = False,
) -> None:
    """Leave only a share of every limit."""
    data = {"share": share}
    _step(Kind.THROTTLE, data, subject, reason, actor, lasting, after, evidence, rule, kind, ledger, redis, as_json)


@app.command()
def restrict(
    subject: Subject,
    reason: Reason,
    model: Annotated[list[str] | None, typer.Option(help="A model that is taken, * for all; repeat it.")] = None,
    tools: Annotated[bool, typer.Option("--tools", help="Take all tools.")] = False,
    actor: Actor = "",
    lasting: Lasting = "",
    after: After = "",
    evidence: Evidence = None,
    rule: Rule = "",
    kind: KindOption = "",
    ledger: At = "",
    redis: Redis = None,
    as_json: AsJson = False,
) -> None:
    """Take models, or tools, or both."""
    data: dict[str, Any] = ({"models": model} if model else {}) | ({"tools": True} if tools else {})
    _step(Kind.RESTRICT, data, subject, reason, actor, lasting, after, evidence, rule, kind, ledger, redis, as_json)


@app.command()
def reinstate(
    subject: Subject,
    reason: Reason,
    actor: Actor = "",
    evidence: Evidence = None,
    ledger: At = "",
    redis: Redis = None,
    as_json: AsJson = False,
) -> None:
    """End every step that is in force; strikes stay."""
    _step(Kind.REINSTATE, {}, subject, reason, actor, "", "", evidence, "", "", ledger, redis, as_json)


@app.command()
def note(
    subject: Subject,
    reason: Reason,
    actor: Actor = "",
    evidence: Evidence = None,
    kind: KindOption = "",
    ledger: At = "",
    as_json: AsJson = False,
) -> None:
    """Write something into the history; it changes nothing."""
    _step(Kind.NOTE, {}, subject, reason, actor, "", "", evidence, "", kind, ledger, None, as_json)


@app.command()
def appeal(
    event: Annotated[int, typer.Argument(help="The strike, step or label that it is against.")],
    reason: Reason,
    actor: Actor = "",
    evidence: Evidence = None,
    ledger: At = "",
    as_json: AsJson = False,
) -> None:
    """Enter an appeal; somebody who had no part in the decision overturns or upholds it."""

    def lodge(opened: Ledger) -> list[Event]:
        against = opened.event(event)
        if against is None:
            raise NotAllowed(f"there is no event {event}")
        told = Event(
            kind=Kind.APPEAL,
            subject=against.subject,
            subject_kind=against.subject_kind,
            reason=reason,
            actor=who(actor),
            evidence=tuple(evidence or ()),
            cause=event,
        )
        return opened.append(told)

    change(ledger, None, lodge, as_json=as_json)


@app.command()
def appeals(ledger: At = "", as_json: AsJson = False) -> None:
    """Appeals that wait for a decision, oldest first."""
    found = told(open_ledger(ledger).appeals())
    cli_say.rows(f"{len(found)} appeals", found, ("id", "at", "subject", "cause", "reason", "actor"), as_json=as_json)


Appeal = Annotated[int, typer.Argument(help="The appeal's id.")]


@app.command()
def overturn(
    appeal: Appeal, reason: Reason, actor: Actor = "", ledger: At = "", redis: Redis = None, as_json: AsJson = False
) -> None:
    """Decide an appeal for who appealed: what it is against is undone, with all that followed."""
    change(ledger, redis, lambda opened: opened.overturn(appeal, who(actor), reason), as_json=as_json)


@app.command()
def uphold(appeal: Appeal, reason: Reason, actor: Actor = "", ledger: At = "", as_json: AsJson = False) -> None:
    """Decide an appeal against who appealed: nothing changes."""
    change(ledger, None, lambda opened: opened.uphold(appeal, who(actor), reason), as_json=as_json)


@app.command()
def undo(
    events: Annotated[list[int], typer.Argument(help="Ids of events; undoing an undo brings back what it took.")],
    reason: Reason,
    actor: Actor = "",
    ledger: At = "",
    redis: Redis = None,
    as_json: AsJson = False,
) -> None:
    """Take events back, with the steps that follow from them no more: as if they had never been."""
    change(ledger, redis, lambda opened: opened.undo(events, who(actor), reason), as_json=as_json)


@app.command()
def statement(
    event: Annotated[int, typer.Argument(help="The step that reasons are given for.")],
    ledger: At = "",
    as_json: AsJson = False,
) -> None:
    """The statement of reasons for a step, as text, or with --json with the fields of DSA article 17."""
    from safeguards_extproc.enforcement.statement import as_text
    from safeguards_extproc.enforcement.statement import statement as reasons

    opened = open_ledger(ledger)
    step = opened.event(event)
    if step is None:
        raise NotAllowed(f"there is no event {event}")
    found = reasons(step, opened.history(step.subject))
    if as_json:
        cli_say.print_json(found)
    else:
        typer.echo(as_text(found))


@app.command()
def pseudonym(
    kind: Annotated[str, typer.Argument(help="tenant, organisation, key or end_user.")],
    value: Annotated[str, typer.Argument(help="What the request says: the user's name, the API key, …")],
    policy: Annotated[Path, typer.Option(help="The policy file.", envvar="SAFEGUARDS_POLICY")],
    identity_keys: Annotated[
        Path, typer.Option(help="The file with the keys of pseudonyms.", envvar="SAFEGUARDS_IDENTITY_KEYS")
    ],
    within: Annotated[
        list[str] | None, typer.Option(help="In whom an end user is known: key=VALUE; repeat it.")
    ] = None,
    body: Annotated[
        bool | None,
        typer.Option("--body/--no-body", help="Where the policy looks in the body and elsewhere: where it stands."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The pseudonym of somebody, under the keys of today and of before."""
    from safeguards_extproc.enforcement.pseudonyms import read_keys
    from safeguards_extproc.enforcement.who import Asker
    from safeguards_extproc.enforcement.who import who as asker_of
    from safeguards_extproc.policy.load import load

    asker = asker_of(load(policy).document.identity, policy.parent, read_keys(identity_keys))
    if not isinstance(asker, Asker):
        raise ConfigError("the policy's identity finds nobody", where=str(policy), hint="say where each is found")
    callers = dict(_pair(each) for each in within or ())
    named = asker.pseudonym(kind, value, callers, body=body)
    cli_say.one("pseudonym", {"kind": kind, "current": named.current, "former": list(named.former)}, as_json=as_json)


def _pair(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if name not in ("tenant", "organisation", "key") or not equals or not value:
        raise ConfigError(
            f"{name!r} names no caller", where="--within", hint="write key=VALUE, organisation=VALUE or tenant=VALUE"
        )
    return name, value


def open_ledger(url: str) -> Ledger:
    """The ledger; ConfigError if none is named or it cannot be opened. The command line enters no strikes, so that it
    needs no ladder."""
    if not url:
        hint = "give --ledger sqlite:////path/ledger.db, or set SAFEGUARDS_LEDGER"
        raise ConfigError("no ledger is named", where="--ledger", hint=hint)
    from safeguards_extproc.enforcement.ledger import Ledger

    return Ledger(url, (), time.time)


def filter_of(step: Sequence[str] | None, kind: str, rule: str, flag: str, subjects: tuple[str, ...] = ()) -> Filter:
    """Which identities are meant; ConfigError if there is no such step."""
    from safeguards_extproc.core.account import Step
    from safeguards_extproc.enforcement.selection import Filter

    wrong = next((each for each in step or () if each not in tuple(Step)), None)
    if wrong is not None:
        raise ConfigError(f"unknown step {wrong!r}", where="--step", hint=f"one of {', '.join(Step)}")
    return Filter(kind=kind, steps=frozenset(map(Step, step or ())), rule=rule, flag=flag, subjects=subjects)


def change(url: str, redis: Sequence[str] | None, act: Callable[[Ledger], list[Event]], *, as_json: bool) -> None:
    """Act on the ledger, tell Redis if there is one, and say what was entered."""
    opened = open_ledger(url)
    before = opened.revision()
    entered = act(opened)
    if redis:
        try:
            from safeguards_extproc.app_accounts import publish_since
            from safeguards_extproc.logs import configure_logging

            configure_logging("warning")
            publish_since(redis, opened, before)
        except StoreError as error:
            sys.stderr.write(f"entered, but Redis was not told ({error.reason}): a keeper will tell the filters\n")
    cli_say.rows(f"entered {len(entered)} events", told(entered), ("subject", *COLUMNS[:-1]), as_json=as_json)


def told(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Events as rows; `undone_by` is the event that takes one back and is not taken back itself."""
    from safeguards_extproc.enforcement.projection import undone

    back = undone(events)
    return [
        {
            "id": event.id,
            "at": cli_say.moment(event.at),
            "subject": event.subject,
            "kind": str(event.kind),
            "rule": event.rule,
            "category": event.category,
            "reason": event.reason,
            "weight": event.weight or None,
            "from": cli_say.moment(event.due),
            "until": cli_say.moment(event.until),
            "actor": event.actor,
            "evidence": list(event.evidence),
            "cause": event.cause,
            "undoes": event.undoes,
            "undone_by": back[event.id].id if event.id in back else None,
            "data": dict(event.data),
        }
        for event in events
    ]


def _step(
    what: Kind,
    data: dict[str, Any],
    subject: str,
    reason: str,
    actor: str,
    lasting: str,
    after: str,
    evidence: list[str] | None,
    rule: str,
    kind: str,
    ledger: str,
    redis: list[str] | None,
    as_json: bool,
) -> None:
    now = time.time()
    due = now + cli_say.span("--after", after) if after else 0.0
    until = (due or now) + cli_say.span("--for", lasting) if lasting else 0.0
    event = Event(
        kind=what,
        subject=subject,
        subject_kind=kind,
        at=now,
        rule=rule,
        reason=reason,
        actor=who(actor),
        evidence=tuple(evidence or ()),
        until=until,
        due=due,
        data=data,
    )
    change(ledger, redis, lambda opened: opened.append(event), as_json=as_json)


def who(given: str) -> str:
    """Who acts: as given, or by the login name."""
    return given or getpass.getuser()
