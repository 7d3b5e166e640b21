"""The command line of limits: what the policy allows, and where each of its limits stands for somebody now."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from safeguards_extproc import cli_say
from safeguards_extproc.core.account import NAMES, Charge, Counted, Identity, Limit, Shape
from safeguards_extproc.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from safeguards_extproc.core.account import Standing

app = typer.Typer(help="What the policy allows, and what is left of it.", no_args_is_help=True)

Policy = Annotated[Path, typer.Option(help="The policy file.", envvar="SAFEGUARDS_POLICY")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command()
def show(policy: Policy, as_json: AsJson = False) -> None:
    """The policy's limits."""
    from safeguards_extproc.policy.load import load

    limits = load(policy).limits
    found = [_row(limit) for limit in limits]
    columns = ("name", "per", "count", "allows", "mode", "without_the_store", "near")
    cli_say.rows(f"{policy}: {len(found)} limits", found, columns, as_json=as_json)


@app.command()
def explain(
    policy: Policy,
    who: Annotated[list[str], typer.Argument(help="Identities: end_user=PSEUDONYM key=PSEUDONYM model=NAME …")],
    redis: Annotated[
        list[str] | None,
        typer.Option(help="Where limits are counted; repeat it for a cluster.", envvar="SAFEGUARDS_REDIS"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Where each limit stands for these identities now. Looks, and takes nothing."""
    from safeguards_extproc.logs import configure_logging
    from safeguards_extproc.policy.load import load

    configure_logging("warning")
    if not redis:
        hint = "give --redis URL; without Redis each worker counts for itself, and only its metrics tell"
        raise ConfigError("no Redis is named", where="--redis", hint=hint)
    names = _names(who)
    looks = [
        Charge(charge.limit, charge.subject, 0)
        for charge in load(policy).charges(Identity(names), names.get("model", ""), 0, 0, 0)
    ]
    try:
        standing, counted = asyncio.run(_look(redis, names, looks))
    except StoreError as error:
        raise ConfigError(f"Redis gave no answer: {error.reason}", where="--redis") from None
    found = [
        {
            **_row(each.limit),
            "of": list(charge.subject),
            "left": each.remaining,
            "resets_in_s": round(each.reset_s, 1),
            "state": "over" if not each.allowed else "near" if each.near else "free",
        }
        for charge, each in zip(looks, counted, strict=True)
    ]
    share = f", {standing.share:.0%} of every limit is left to it" if standing.share < 1 else ""
    columns = ("name", "per", "of", "allows", "left", "resets_in_s", "state", "mode")
    cli_say.rows(f"standing: {standing.step}{share}", found, columns, as_json=as_json)


async def _look(
    urls: Sequence[str], names: dict[str, str], looks: Sequence[Charge]
) -> tuple[Standing, Sequence[Counted]]:
    from safeguards_extproc.adapters.redis_limits import RedisLimits
    from safeguards_extproc.adapters.redis_standings import RedisStandings
    from safeguards_extproc.app_accounts import patient_link
    from safeguards_extproc.enforcement.snapshot import Snapshot
    from safeguards_extproc.telemetry import Metrics

    link, snapshot = patient_link(urls), Snapshot()
    store, id = RedisLimits(link, Metrics()), f"look-{secrets.token_hex(8)}"
    try:
        await RedisStandings(link, snapshot).pull()
        standing = snapshot.of(list(names.values()))
        counted = await store.admit(id, looks, [standing.share] * len(looks))
        await store.settle(id, [(charge, 0) for charge in looks])
    finally:
        await store.close()
        await link.close()
    return standing, counted


def _names(given: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if name not in NAMES or not equals or not value:
            raise ConfigError(
                f"{pair!r} names nobody", where="who", hint=f"write NAME=VALUE, NAME of {', '.join(NAMES)}"
            )
        names[name] = value
    return names


def _row(limit: Limit) -> dict[str, Any]:
    if limit.shape is Shape.CONCURRENT:
        allows = f"{limit.amount} at once"
    else:
        allows = f"{limit.amount} in {_period(limit.period_s)}"
        allows += f", {limit.burst} at once" if limit.shape is Shape.RATE else ""
    return {
        "name": limit.name,
        "per": list(limit.per) or ["all together"],
        "count": str(limit.count),
        "allows": allows,
        "mode": "enforce" if limit.enforced else "shadow",
        "without_the_store": f"local, {limit.share:.0%}" if limit.on_failure == "local" else str(limit.on_failure),
        "near": f"{limit.near:.0%}",
    }


def _period(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= unit and seconds % unit == 0:
            return f"{int(seconds // unit)}{name}"
    return f"{seconds:g}s"
