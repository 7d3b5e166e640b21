"""`account bulk`: the same for many identities, previewed first and done only as previewed."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safeguards_extproc import cli_say
from safeguards_extproc.cli_account import Actor, AsJson, At, Reason, Redis, change, filter_of, open_ledger, who
from safeguards_extproc.enforcement.events import Kind
from safeguards_extproc.errors import ConfigError

if TYPE_CHECKING:
    from safeguards_extproc.enforcement.events import Event
    from safeguards_extproc.enforcement.ledger import Ledger

ACTIONS = ("warn", "throttle", "restrict", "suspend", "ban", "reinstate", "note", "undo")
DEFAULT_CAP = 100


def bulk(
    action: Annotated[str, typer.Argument(help=f"{', '.join(ACTIONS)}.")],
    reason: Reason,
    step: Annotated[list[str] | None, typer.Option(help="Those who stand so; repeat it.")] = None,
    kind: Annotated[str, typer.Option(help="Those of this kind.")] = "",
    broke: Annotated[str, typer.Option(help="Those who stand where they do by this rule.")] = "",
    flag: Annotated[str, typer.Option(help="Those with this flag.")] = "",
    subjects: Annotated[Path | None, typer.Option(help="Those in this file, a pseudonym a line.")] = None,
    of: Annotated[int, typer.Option(help="For undo: the id of the bulk action that is taken back.")] = 0,
    until: Annotated[str, typer.Option(help="When it ends, 2027-01-31T00:00:00Z; never if not given.")] = "",
    share: Annotated[float, typer.Option(help="For throttle: what is left of every limit.")] = 0.1,
    model: Annotated[list[str] | None, typer.Option(help="For restrict: a model that is taken; repeat it.")] = None,
    tools: Annotated[bool, typer.Option("--tools", help="For restrict: take all tools.")] = False,
    rule: Annotated[str, typer.Option(help="The rule of yours that was broken.")] = "",
    digest: Annotated[str, typer.Option("--apply", help="Do it: the digest that the preview said.")] = "",
    cap: Annotated[int, typer.Option(min=1, help="More than these need an approver.")] = DEFAULT_CAP,
    approver: Annotated[str, typer.Option(help="The second person, where there are more.")] = "",
    actor: Actor = "",
    ledger: At = "",
    redis: Redis = None,
    as_json: AsJson = False,
) -> None:
    """Say on whom it would be; with --apply and the digest of what was said, do it, all or nothing."""
    from safeguards_extproc.enforcement import bulk as many

    if action not in ACTIONS:
        raise ConfigError(f"unknown action {action!r}", where="bulk", hint=f"one of {', '.join(ACTIONS)}")
    if bool(of) != (action == "undo"):
        raise ConfigError("undo, and undo alone, names a bulk action", where="--of", hint="bulk undo --of ID")
    if action == "undo":
        change(ledger, redis, lambda opened: many.undo(opened, of, who(actor), reason).events, as_json=as_json)
        return
    named = _names(subjects)
    if not (step or kind or broke or flag or named):
        hint = "give --step, --kind, --broke, --flag or --subjects"
        raise ConfigError("on whom? nobody is named, and nobody means everybody", where="bulk", hint=hint)
    data: dict[str, Any] = {}
    if action == "throttle":
        data = {"share": share}
    elif action == "restrict":
        data = ({"models": model} if model else {}) | ({"tools": True} if tools else {})
    act = many.Act(filter_of(step, kind, broke, flag, named), Kind(action), reason, rule, _moment(until), data)
    if digest:

        def apply(opened: Ledger) -> list[Event]:
            return many.apply(opened, act, digest, who(actor), cap=cap, approver=approver or None).events

        change(ledger, redis, apply, as_json=as_json)
        return
    seen = many.preview(open_ledger(ledger), act)
    found = {
        "action": action,
        "identities": seen.count,
        "standing_now": {str(each): count for each, count in seen.by_step.items()},
        "among_them": list(seen.subjects if as_json else seen.subjects[:10]),
        "needs_approver": seen.count > cap,
        "digest": seen.digest,
    }
    cli_say.one("nothing is done yet; to do it, say the same with --apply DIGEST", found, as_json=as_json)


def _names(file: Path | None) -> tuple[str, ...]:
    if file is None:
        return ()
    try:
        return tuple(name for line in file.read_text(encoding="utf-8").splitlines() if (name := line.strip()))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {type(error).__name__}", where=str(file)) from None


def _moment(given: str) -> float:
    if not given:
        return 0.0
    try:
        found = datetime.datetime.fromisoformat(given)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ConfigError(f"{given!r} is no time with its zone", where="--until", hint="write 2027-01-31T00:00:00Z")
    return found.timestamp()
