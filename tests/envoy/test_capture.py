"""Real traffic, captured by the filter that serves, is decided again: without Envoy, and with it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from safeguards_extproc import wire
from safeguards_extproc.app_replay import EnvoyPlan, through_envoy
from safeguards_extproc.core.taken import Taken
from safeguards_extproc.local.stack import Plan, running
from safeguards_extproc.policy.load import load
from safeguards_extproc.records.read import Reader as Records
from safeguards_extproc.replay import capture, traffic
from safeguards_extproc.replay import run as sending
from safeguards_extproc.replay.many import Plan as Core
from safeguards_extproc.replay.many import Row, in_processes
from safeguards_extproc.replay.source import source
from safeguards_extproc.replay.through_core import alone, play

pytestmark = pytest.mark.real

CAPTURE = """
capture: {tenants: ["*"], share: 1.0, keep: 1h}
"""


def same(rows: list[Row]) -> list[int]:
    """Numbers of the exchanges that were decided otherwise, or cannot be compared."""
    return [row.number for row in rows if row.pair is None or row.unknown or not row.pair.before.same(row.pair.after)]


def test_demo_traffic(tmp_path: Path) -> None:
    """Every exchange of the demo: one capture each, equal to its record; the same verdict in both ways, and without
    Envoy the same messages to it, to the byte."""
    policy, key, folder = tmp_path / "policy.yaml", tmp_path / "keys.yaml", tmp_path / "captures"
    policy.write_text(Path("policies/demo.yaml").read_text() + CAPTURE)
    key.write_text(capture.new_key("k"))
    options = ("--capture", str(folder), "--capture-key", str(key), "--region", "eu")
    exchanges = traffic.read(Path("demo/traffic.jsonl"))
    with running(Plan(policy, scorer="embedded", serve=options)) as stack:
        asyncio.run(sending.run(exchanges, sending.Target(stack.url, records=stack.records)))
        records = {record.id: record for record in Records([stack.records])}

    found = source([folder], key, time.time())
    frames = list(found.frames())
    taken: list[Taken] = [frame.open() for frame in frames]
    assert [] == found.unfinished
    assert records == {each.record.id: each.record for each in taken if each.record}
    assert len(exchanges) == len(taken)

    assert [] == same(list(in_processes(frames, Core(policy), 1)))
    rules = load(policy)
    for each in taken:
        again = alone(play(each, rules, wire, keep=True)).taken
        assert again is not None
        assert told(each) == told(again), each
    assert [] == same(list(through_envoy(frames, EnvoyPlan(policy), None)))


def told(taken: Taken) -> list[bytes]:
    """What Envoy was told."""
    return [message.raw for message in taken.messages if not message.from_envoy]
