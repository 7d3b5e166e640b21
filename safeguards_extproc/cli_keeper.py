"""The command `keeper`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def keeper(
    policy: Annotated[
        Path,
        typer.Option(help="The policy file, for its ladder; reloaded when it changes.", envvar="SAFEGUARDS_POLICY"),
    ],
    ledger: Annotated[str, typer.Option(help="The ledger's URL.", envvar="SAFEGUARDS_LEDGER")] = "",
    redis: Annotated[
        list[str] | None,
        typer.Option(help="Where filters read; repeat it for a cluster.", envvar="SAFEGUARDS_REDIS"),
    ] = None,
    health: Annotated[
        str, typer.Option(help="Plaintext gRPC health; empty for none.", envvar="SAFEGUARDS_HEALTH")
    ] = "127.0.0.1:9103",
    metrics: Annotated[str, typer.Option(help="Prometheus metrics; empty for none.", envvar="SAFEGUARDS_METRICS")] = "",
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Publish all standings anew, after a ledger was restored.")
    ] = False,
    log_level: Annotated[
        str, typer.Option(help="debug, info, warning, error.", envvar="SAFEGUARDS_LOG_LEVEL")
    ] = "info",
) -> None:
    """Keep the ledger: take strikes in, do what is due, tell filters where identities stand."""
    from safeguards_extproc.app_keeper import keep
    from safeguards_extproc.logs import configure_logging
    from safeguards_extproc.settings import KeeperOptions

    configure_logging(log_level)
    options = KeeperOptions(policy, ledger, tuple(redis or ()), health, metrics, rebuild, log_level)
    raise typer.Exit(keep(options))
