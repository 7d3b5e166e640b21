"""The composition root: the parts are joined as the settings say, and health follows what a decision needs."""

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs

from safeguards_extproc.adapters.health import Component
from safeguards_extproc.adapters.listener import Address
from safeguards_extproc.app import build, new_id
from safeguards_extproc.core.record import Record
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records.encode import from_json
from safeguards_extproc.records.read import Reader
from safeguards_extproc.records.segments import read as read_segment
from safeguards_extproc.records.segments import segments
from safeguards_extproc.settings import Settings
from tests.records.disk import disk

NEEDS_MODEL = """
version: 1
name: needs
detectors:
  screen: {kind: classification, model: screen, labels: [attack], budget_ms: 200, on_failure: FAILURE}
rules:
  - {name: attack, when: scores.screen.attack > 0.9, on: request, then: block}
"""


def settings(tmp_path, policy=Path("policies/minimal.yaml"), **more):
    return Settings(
        policy=policy,
        listen=f"unix://{tmp_path}/filter.sock",
        health="",
        records=tmp_path / "records.jsonl",
        drain_delay_s=0,
        **more,
    )


async def test_a_worker_serves_and_is_ready(tmp_path):
    """Health says so on the port that Envoy uses."""
    app = build(settings(tmp_path))
    await app.scorer.start()
    await app.probe()
    ready = app.metrics.registry.get_sample_value("safeguards_ready", {"role": "filter"})
    await app.server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/filter.sock") as channel:
        asked = health_pb2.HealthCheckRequest(service="readiness")
        answer = await health_pb2_grpc.HealthStub(channel).Check(asked)
    await app.server.drain()

    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert ready == 1


async def test_a_worker_looks_at_itself(tmp_path, monkeypatch):
    """How late its loop is and how much room its records have, once a tick."""
    monkeypatch.setattr("safeguards_extproc.app.TICK_EVERY_S", 0.01)
    app = build(settings(tmp_path))
    running = asyncio.create_task(app.run())
    looked = asyncio.Event()
    monkeypatch.setattr(app.sink, "tick", looked.set)
    sample = app.metrics.registry.get_sample_value
    for _ in range(2):
        looked.clear()
        await asyncio.wait_for(looked.wait(), 10)
    app.server.cut()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sample("safeguards_records_free_bytes", {"sink": "records"}) > 0
    assert sample("safeguards_streams_limit") == 20_000


@pytest.mark.parametrize(("failure", "state"), [("block", Component.DOWN), ("degrade", Component.DEGRADED)])
async def test_readiness_follows_what_a_decision_needs(tmp_path, failure, state):
    """A model that is away is fatal where nothing can be allowed without it, else a degradation."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(NEEDS_MODEL.replace("FAILURE", failure))
    app = build(settings(tmp_path, policy, triton=("127.0.0.1:1",)))
    await app.scorer.start()
    await app.probe()

    assert app.health.components["model screen"] is state
    assert app.health.ready == (state is Component.DEGRADED)
    await app.scorer.close()


async def test_a_policy_with_a_model_needs_a_scorer(tmp_path):
    """Said at the start, with what to write."""
    with pytest.raises(ConfigError, match="--scorer embedded"):
        build(settings(tmp_path, Path("policies/demo.yaml")))


async def test_records_are_counted_and_kept(tmp_path):
    """Each worker has a file of its own; records say where they come from."""
    app = build(settings(tmp_path, region="eu-1", producer="filter-0"), worker=2)
    app.sink.keep(Record("exchange-1", route="default", outcome="allow"))
    app.sink.close()

    [read] = Reader([tmp_path / "records.2.jsonl"])
    assert ("exchange-1", "eu-1", "filter-0") == (read.id, read.region, read.producer)
    assert read.epoch
    families = {family.name: family for family in app.metrics.registry.collect()}
    assert [sample.value for sample in families["safeguards_exchanges"].samples] == [1.0]


async def test_records_are_spooled_and_masked(tmp_path):
    """Beside the file; an answer that refuses waits until its record is on the disk."""
    app = build(settings(tmp_path, spool=tmp_path / "spool", mask=("model",)))
    record = Record("exchange-1", sequence=1, model="m", outcome="block")
    app.sink.keep(record)
    waits = app.sink.durable(record)
    assert waits is not None
    await waits
    assert app.sink.durable(Record("exchange-2")) is None
    await app.syncing.close()
    app.sink.close()

    [segment] = segments(tmp_path / "spool")
    [read] = [from_json(each) for each in read_segment(segment.path)]
    assert segment.closed
    assert ("exchange-1", "", ["model"], read.epoch) == (read.id, read.model, read.masked, segment.epoch)


async def test_who_refuses_for_want_of_records_is_not_ready(tmp_path):
    """Others may have room on their disks; asking again is what finds out that there is room here."""
    app = build(settings(tmp_path, spool=tmp_path / "spool", on_record_failure="refuse"))
    with capture_logs(), disk(0):
        app.sink.keep(Record("exchange-1", sequence=1))
        await app.probe()
        assert app.health.components["records"] is Component.DOWN
    app.sink.reopen()
    await app.probe()
    assert app.health.components["records"] is Component.READY
    await app.syncing.close()
    app.sink.close()


async def test_without_a_spool_nobody_waits_for_the_disk(tmp_path):
    """Nor where the operator says never."""
    for more in ({}, {"spool": tmp_path / "spool", "sync_records": "never"}):
        app = build(settings(tmp_path, **more))
        assert app.sink.durable(Record("exchange-1", outcome="block")) is None
        app.sink.close()


async def test_each_worker_has_its_own_places(tmp_path):
    """Metrics too: what one worker counted is read from that worker."""
    app = build(settings(tmp_path, metrics="127.0.0.1:9400"), worker=3)

    assert app.metrics_at == Address(host="127.0.0.1", port=9403)


@pytest.mark.parametrize(
    ("metrics", "said"),
    [("unix:///run/m.sock", "metrics are served over TCP"), ("192.0.2.1:1", "cannot serve metrics")],
)
async def test_metrics_that_cannot_be_served_are_said_so(tmp_path, metrics, said):
    """In one line, as other settings are: a wrong scheme, a host that is not ours."""
    app = build(settings(tmp_path, metrics=metrics))
    with pytest.raises(ConfigError, match=said):
        await app.run()


def test_ids_are_unique_and_in_order():
    """So that records sort by time."""
    ids = [new_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert [one[:11] for one in ids] == sorted(one[:11] for one in ids)
