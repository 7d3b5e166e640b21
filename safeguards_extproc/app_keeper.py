"""The keeper as a process: the ledger on one side, Redis on the other, health and metrics as a worker has them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time

import structlog
import uvloop

from safeguards_extproc.adapters.health import Component, Health
from safeguards_extproc.adapters.listener import parse
from safeguards_extproc.adapters.policy_store import PolicyStore
from safeguards_extproc.adapters.redis_campaigns import RedisSightings
from safeguards_extproc.adapters.redis_intake import RedisIntake
from safeguards_extproc.adapters.redis_standings import RedisBoard
from safeguards_extproc.adapters.server import Probes
from safeguards_extproc.app_accounts import patient_link
from safeguards_extproc.enforcement.keeper import Keeper
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.load import load
from safeguards_extproc.settings import KeeperOptions
from safeguards_extproc.telemetry import Metrics

log = structlog.get_logger()

PROBE_EVERY_S = 1.0


def keep(options: KeeperOptions) -> int:
    """Keep until SIGTERM or SIGINT; the exit status. ConfigError where an option cannot be used."""
    if not options.ledger or not options.redis:
        hint = "on one machine without Redis a worker keeps its ledger itself: `serve --ledger URL`"
        raise ConfigError("a keeper needs both --ledger and --redis", where="keeper", hint=hint)
    return uvloop.run(_keep(options))


async def _keep(options: KeeperOptions) -> int:
    metrics, health = Metrics(), Health()
    policies = PolicyStore(options.policy, load, metrics)
    link = patient_link(options.redis)
    ledger = Ledger(options.ledger, policies.current.document.enforcement.ladder, time.time)
    name = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
    intake, board, sightings = RedisIntake(link, name), RedisBoard(link), RedisSightings(link)
    keeper = Keeper(ledger, intake, board, metrics, anew=options.anew, sightings=sightings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    reloads: set[asyncio.Task[bool]] = set()

    def reload() -> None:
        task = loop.create_task(policies.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)

    async def probe() -> None:
        while True:
            ledger.ladder = tuple(policies.current.document.enforcement.ladder)
            for part in ("strikes", "due", "standings", "campaigns"):
                health.set(part, Component.DOWN if part in keeper.failing else Component.READY)
            health.set("policy", Component.DEGRADED if policies.stale else Component.READY)
            metrics.ready("keeper", health.ready)
            await asyncio.sleep(PROBE_EVERY_S)

    probes = Probes(health, parse(options.health)) if options.health else None
    stop_metrics = None
    if options.metrics:
        address = parse(options.metrics)
        try:
            _, stop_metrics = metrics.serve(address.host, address.port)
        except OSError:
            hint = "is the port taken, the host one of ours?"
            raise ConfigError("cannot serve metrics", where=options.metrics, hint=hint) from None
    if probes is not None:
        await probes.start()
    log.info("keeping", keeper=name)
    tasks = [asyncio.create_task(work) for work in (keeper.run(), probe(), policies.watch())]
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    health.drain()
    for task in (*tasks, stopped):
        task.cancel()
    await asyncio.gather(*tasks, stopped, return_exceptions=True)
    health.close()
    if probes is not None:
        await probes.stop()
    await link.close()
    await asyncio.to_thread(ledger.close)
    if stop_metrics is not None:
        stop_metrics()
    log.info("kept", keeper=name)
    return 0 if stopped in done else 1
