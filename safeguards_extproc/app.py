"""The composition root: the one module that knows every part. It joins them and decides nothing.

A process is a worker: policy store, scorer, record sink, telemetry, health and the gRPC server on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop

from safeguards_extproc import wire
from safeguards_extproc.adapters import workers
from safeguards_extproc.adapters.capturing import Capturing, Terms
from safeguards_extproc.adapters.embedded import EmbeddedScorer, EmbeddedSettings
from safeguards_extproc.adapters.escalations import Escalations
from safeguards_extproc.adapters.health import Component, Health
from safeguards_extproc.adapters.listener import Address, check_apart, parse
from safeguards_extproc.adapters.policy_store import PolicyStore
from safeguards_extproc.adapters.reader import PROGRAM, Reader
from safeguards_extproc.adapters.server import Server, ServerSettings
from safeguards_extproc.adapters.shared import Exchange as Played
from safeguards_extproc.adapters.shared import Shared, StreamLimits
from safeguards_extproc.adapters.shed import Sheds
from safeguards_extproc.adapters.shedding import Shedding
from safeguards_extproc.adapters.syncing import Sync, Syncing, SyncSettings
from safeguards_extproc.adapters.tls import Certificates, TlsFiles
from safeguards_extproc.adapters.triton import TritonScorer, TritonSettings
from safeguards_extproc.adapters.workers import Workers, WorkerSettings
from safeguards_extproc.app_accounts import Joined, join
from safeguards_extproc.core.events import Opened
from safeguards_extproc.core.exchange import Exchange
from safeguards_extproc.enforcement.askers import Askers
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.capture_document import CaptureSpec
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.load import load
from safeguards_extproc.ports import Scorer
from safeguards_extproc.records.backlog import FailureSettings, OnFailure
from safeguards_extproc.records.mask import mask_of
from safeguards_extproc.records.origin import Origin, epoch
from safeguards_extproc.records.sinks import SINKS, Making, Recorder
from safeguards_extproc.records.spool import Spool
from safeguards_extproc.settings import Settings
from safeguards_extproc.telemetry import Metrics

log = structlog.get_logger()

PROBE_EVERY_S = 1.0
"""How often models are asked whether they are ready."""
TICK_EVERY_S = 1.0
"""How often the sinks of records look what is due."""


@dataclass(slots=True)
class App:
    """The parts of a worker. `build` makes them, `run` serves until the process is told to end. `kept_in` says in which
    folder each sink keeps records."""

    metrics_at: Address | None
    metrics: Metrics
    health: Health
    policies: PolicyStore[CompiledPolicy]
    scorer: Scorer
    sink: Recorder
    syncing: Syncing | None
    shared: Shared
    server: Server
    joined: Joined
    kept_in: Mapping[str, Path]
    certificates: Certificates | None

    async def run(self) -> bool:
        """Serve; whether every stream had ended by itself when it was time to go."""
        await self.scorer.start()
        await self.joined.start()
        stop_metrics = self._serve_metrics()
        await self.probe()
        await self.server.start()
        reloads: set[asyncio.Task[bool]] = set()

        def reload() -> None:
            self.sink.reopen()
            task = asyncio.get_running_loop().create_task(self.policies.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        watching = (self.policies.watch(), self._probe_on(), self._tick_on())
        watchers = [asyncio.create_task(each) for each in watching]
        try:
            return await self.server.run(reload)
        finally:
            for watcher in watchers:
                watcher.cancel()
            await self.scorer.close()
            await self.shared.reader.close()
            await self.shared.settled()
            await self.joined.close()
            if self.syncing is not None:
                await self.syncing.close()
            self.sink.close()
            if self.shared.capturing is not None:
                self.shared.capturing.close()
            stop_metrics()

    async def probe(self) -> None:
        """Ask every model that the policy in force names, and tell health.

        A model without which nothing can be allowed is needed to be ready; any other that is away is a degradation.
        Where records cannot be written and traffic is refused for it, others are better placed to serve.
        """
        health, policies = self.health, self.policies
        health.set("policy", Component.DEGRADED if policies.stale else Component.READY)
        self.metrics.degraded("policy", policies.stale)
        self.joined.probe(health)
        health.set("records", Component.DOWN if self.sink.refuses() else Component.READY)
        wanted = {f"model {model.model}": model for model in policies.current.models}
        answers = await asyncio.gather(*(self.scorer.ready(model) for model in wanted.values()))
        for (name, model), ready in zip(wanted.items(), answers, strict=True):
            away = Component.DOWN if model.required else Component.DEGRADED
            health.set(name, Component.READY if ready else away)
            self.metrics.degraded(f"model:{model.model}", not ready)
        for name in health.components:
            if name.startswith("model ") and name not in wanted:
                health.set(name, Component.READY)
        self.metrics.ready("filter", health.ready)

    async def _probe_on(self) -> None:
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            await self.probe()

    async def _tick_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_EVERY_S
            await asyncio.sleep(TICK_EVERY_S)
            self.metrics.loop_lag(max(0.0, loop.time() - due))
            self.sink.tick()
            if self.certificates is not None:
                self.certificates.tick()
            for sink, folder in self.kept_in.items():
                with contextlib.suppress(OSError):
                    self.metrics.free(sink, shutil.disk_usage(folder).free)

    def _serve_metrics(self) -> Callable[[], None]:
        address = self.metrics_at
        if address is None:
            return lambda: None
        if address.path:
            raise ConfigError("metrics are served over TCP", where=str(address), hint='write "host:port" or ":port"')
        try:
            port, stop = self.metrics.serve(address.host, address.port)
        except OSError:
            hint = "is the port taken, the host one of ours?"
            raise ConfigError("cannot serve metrics", where=str(address), hint=hint) from None
        log.info("metrics", port=port)
        return stop


def build(settings: Settings, worker: int | None = None) -> App:
    """Join the parts, inside a running event loop. Raises ConfigError where the settings or the policy cannot be used.

    `worker` is this process's index among several; each has its own ports and its own record file.
    """
    index = worker or 0
    places = {option: place.for_worker(index) for option, place in _addresses(settings).items()}
    metrics, health = Metrics(), Health()
    askers = askers_of(settings)
    policies = PolicyStore(settings.policy, askers.load, metrics, lambda: askers.files)
    scorer = scorer_of(settings, policies.current, metrics)
    sink, syncing, origin = _recorder(settings, index, metrics)
    limits = StreamLimits(
        total_held_bytes=settings.max_held_bytes, streams=settings.max_streams, max_stream_s=settings.max_stream_s
    )

    sheds = Sheds()

    def begin(opened: Opened, at: float) -> Played:
        policy, id = policies.current, new_id()

        def whole() -> Exchange:
            return Exchange(policy, wire, id, opened, at, askers.of(policy))

        return sheds.begin(policy, id, opened, whole) if opened.overloaded else whole()

    reader = Reader([sys.executable, "-m", PROGRAM, wire.__name__], erred=lambda: metrics.fault("reader"))
    escalations = Escalations(metrics)
    shared = Shared(begin, scorer, sink, metrics, limits, reader, sink.refuses, escalations)
    shared.capturing = capturing_of(settings, lambda: policies.current, metrics, origin)
    joined = join(settings, policies, metrics, health)
    shared.accounts = joined.accounts
    metrics.watch_held(lambda: shared.held)
    shedding = Shedding(settings.shed_above_ms / 1000, metrics.waited)
    shared.sheds = lambda: shedding.sheds(time.monotonic())
    metrics.limits(limits.streams, limits.total_held_bytes)
    certificates = _certificates(settings, metrics)
    server = Server(
        shared,
        health,
        ServerSettings(
            listen=places["--listen"],
            health=places.get("--health"),
            socket_mode=settings.socket_mode,
            drain_delay_s=settings.drain_delay_s,
            drain_limit_s=settings.drain_limit_s,
        ),
        certificates,
        shedding,
    )
    at = places.get("--metrics")
    folders = {"records": settings.records and settings.records.parent, "spool": settings.spool}
    kept_in = {name: folder for name, folder in folders.items() if folder}
    for name in kept_in:
        metrics.degraded(name, False)
    return App(at, metrics, health, policies, scorer, sink, syncing, shared, server, joined, kept_in, certificates)


def askers_of(settings: Settings) -> Askers:
    """Who says who asks."""
    alone = settings.workers == 1 and not settings.redis and not settings.ledger
    return Askers(settings.identity_keys, load, alone=alone)


def _addresses(settings: Settings) -> dict[str, Address]:
    """Where to listen, by option."""
    options = {"--listen": settings.listen, "--health": settings.health, "--metrics": settings.metrics}
    return {option: parse(text) for option, text in options.items() if text or option == "--listen"}


_PREFIX = secrets.token_hex(4)
_count = int.from_bytes(os.urandom(3))


def new_id() -> str:
    """An exchange's id: time, process, count; unique, sortable, and no secret. 27 characters."""
    global _count
    _count += 1
    return f"{time.time_ns() // 1_000_000:011x}-{_PREFIX}{_count & 0xFFFFFFF:07x}"


def _recorder(settings: Settings, worker: int, metrics: Metrics) -> tuple[Recorder, Syncing | None, Origin]:
    """The sinks that were asked for, behind one door, who has their records on the disk, and what stands in each."""
    mask = mask_of(settings.mask)
    origin = Origin(settings.region, settings.producer or socket.gethostname(), epoch())
    sync = SyncSettings(Sync(settings.sync_records))
    failure = FailureSettings(OnFailure(settings.on_record_failure))
    making = Making(origin, metrics, worker, failure, synced=sync.when is not Sync.NEVER)
    places = {"records": settings.records, "spool": settings.spool}
    sinks = [SINKS[name](path, making) for name, path in places.items() if path is not None]
    spool = next((sink for sink in sinks if isinstance(sink, Spool)), None)
    syncing = Syncing(spool, sync) if spool is not None and making.synced else None
    durable = syncing.durable if syncing is not None else lambda _: None
    return Recorder(origin, metrics.exchange, sinks, mask, durable), syncing, origin


def capturing_of(
    settings: Settings, policy: Callable[[], CompiledPolicy], metrics: Metrics, origin: Origin
) -> Capturing | None:
    """What takes exchanges down, None where no folder was named. ConfigError if it or its key cannot be used."""
    if settings.capture is None or settings.capture_key is None:
        return None
    from safeguards_extproc.replay.capture import read_keys
    from safeguards_extproc.replay.folder import Folder, FolderLimits

    limits = FolderLimits(settings.capture_bytes, min(FolderLimits().file_bytes, settings.capture_bytes // 4))
    key = read_keys(settings.capture_key)[0]
    folder = Folder(settings.capture, key, limits, source=origin.producer, region=origin.region, epoch=origin.epoch)

    made: tuple[CaptureSpec, Terms] | None = None

    def terms() -> Terms | None:
        nonlocal made
        spec = policy().document.capture
        if spec is None:
            return None
        if made is None or made[0] is not spec:
            tenants, routes, rules = map(frozenset, (spec.tenants, spec.routes, spec.rules))
            made = spec, Terms(tenants, routes, spec.share, rules, spec.keep, spec.exchange_bytes)
        return made[1]

    return Capturing(terms, folder, metrics.captured)


def scorer_of(settings: Settings, policy: CompiledPolicy, metrics: Metrics) -> Scorer:
    """Who answers the policy's models. ConfigError if nobody was named."""
    if settings.scorer == "embedded":
        models = tuple(dict.fromkeys(model.model for model in policy.models))
        return EmbeddedScorer(EmbeddedSettings(settings.models, models))
    if policy.models and not settings.triton:
        name = policy.models[0].model
        raise ConfigError(
            f"the policy asks the model {name!r}, and no Triton is named",
            where="--triton",
            hint="give --triton HOST:PORT, or --scorer embedded to run it in this process",
        )
    return TritonScorer(TritonSettings(settings.triton, hedge_ms=settings.hedge_ms), metrics)


def _certificates(settings: Settings, metrics: Metrics) -> Certificates | None:
    if not settings.tls_certificate:
        return None
    files = TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    return Certificates(files, metrics.certificate_failed, metrics.certificate_loaded)


def serve(settings: Settings) -> int:
    """Serve until told to end; the exit status. ConfigError where the settings or the policy cannot be used."""
    worker = workers.index()
    if settings.workers > 1 and worker is None:
        askers_of(settings).load(settings.policy)  # a mistake is said once, here, and not by every worker
        check_apart(_addresses(settings), settings.workers)
        command = [sys.executable, "-m", "safeguards_extproc", *sys.argv[1:]]
        stop_s = settings.drain_delay_s + settings.drain_limit_s + 10
        return asyncio.run(Workers(command, WorkerSettings(settings.workers, stop_s=stop_s)).run())
    if worker is not None:
        workers.end_with_parent()
    return uvloop.run(_serve(settings, worker))


def collect_seldom() -> None:
    """Long streams make many objects that live long; the oldest generation need not be walked for each."""
    gc.set_threshold(50_000, 50, 50)
    gc.collect()
    gc.freeze()


async def _serve(settings: Settings, worker: int | None) -> int:
    app = build(settings, worker)
    collect_seldom()
    return 0 if await app.run() else 1
