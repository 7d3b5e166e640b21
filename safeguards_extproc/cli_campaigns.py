"""The command line of campaigns: the cases, who is in them, and on what evidence."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safeguards_extproc import cli_say
from safeguards_extproc.cli_account import AsJson, At, open_ledger
from safeguards_extproc.errors import ConfigError

if TYPE_CHECKING:
    from safeguards_extproc.enforcement.cases import Case

app = typer.Typer(help="Patterns over many exchanges: cases, and who is in them.", no_args_is_help=True)


@app.command("list")
def list_(
    since: Annotated[str, typer.Option(help="Those that went on within this time: 24h, 7d.")] = "7d",
    limit: Annotated[int, typer.Option(min=1, help="So many at most, the last first.")] = 100,
    ledger: At = "",
    as_json: AsJson = False,
) -> None:
    """Cases, the last first."""
    from safeguards_extproc.enforcement.cases import Cases

    after = time.time() - cli_say.span("--since", since)
    found = [_row(case) for case in Cases(open_ledger(ledger)).list(after, limit)]
    columns = ("id", "campaign", "detect", "mode", "opened", "last", "identities", "asks", "refusals")
    cli_say.rows(f"{len(found)} cases", found, columns, as_json=as_json)


@app.command()
def show(case: Annotated[str, typer.Argument(help="The case's id.")], ledger: At = "", as_json: AsJson = False) -> None:
    """A case: who is in it, and the records that show it."""
    from safeguards_extproc.enforcement.cases import Cases

    found = Cases(open_ledger(ledger)).show(case)
    if found is None:
        raise ConfigError(f"there is no case {case!r}", where="campaigns", hint="campaigns list names those there are")
    members = [{"kind": each.kind, "subject": each.pseudonym, "record": each.record} for each in found.members]
    if as_json:
        row = {**_row(found), "members": members, "buckets": list(found.buckets), "records": list(found.records)}
        cli_say.print_json(row)
        return
    cli_say.one(f"case {case}", {**_row(found), "buckets": len(found.buckets)}, as_json=False)
    cli_say.rows(f"{len(members)} identities", members, ("kind", "subject", "record"), as_json=False)
    cli_say.rows("evidence", [{"record": record} for record in found.records], ("record",), as_json=False)


def _row(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "campaign": case.campaign,
        "detect": case.detect,
        "mode": "enforce" if case.enforced else "shadow",
        "opened": cli_say.moment(case.opened),
        "last": cli_say.moment(case.last),
        "identities": case.identities,
        "asks": case.asks,
        "refusals": case.refusals,
    }
