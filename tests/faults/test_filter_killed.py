"""A filter killed in mid-stream: its clients can tell, everybody else goes on, and the next one takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from safeguards_extproc.records.read import gaps
from safeguards_extproc.records.segments import recover, segments
from tests.envoy import rules, scenes
from tests.envoy.background import until
from tests.envoy.rig import UPSTREAM, Rig, Start, lives
from tests.envoy.scenes import DIALECTS
from tests.envoy.sdk import BROKEN, Client, client
from tests.envoy.traffic import Traffic
from tests.faults.conftest import Blind, unfinished

pytestmark = pytest.mark.real

TEXT = f"{scenes.SLOW.text[:1500]} It is called {scenes.BAD[:6]}"
"""What the model has said by then: the first half of the word that policy forbids waits for the second."""


@pytest.fixture
def start(rig: Rig) -> Iterator[Start]:
    """Starts filters that Envoy sends to."""
    with lives(rig) as started:
        yield started


def begun(rig: Rig, dialect: str) -> tuple[Client, Iterator[str], str]:
    """An answer that has begun and does not go on: its client, what it still waits for, what it has."""
    name = f"killed-{dialect}"
    rig.recorder.replies[name] = unfinished(dialect, TEXT)
    ours = client(dialect, rig.urls["lives"], **{UPSTREAM[0]: UPSTREAM[1]})
    pieces = ours.pieces(name, scenes.QUESTION)
    said = next(pieces)
    while not said:
        said = next(pieces)
    return ours, pieces, said


def test_a_filter_is_killed_in_mid_stream(rig: Rig, start: Start, tmp_path: Path) -> None:
    """A broken transfer, no clean end, no unscanned text; the other filter serves, and a new one takes over the
    socket, the records and the traffic."""
    patient = {"routes": [{"name": "patient", "window": {"flush_ms": 20_000}}]}
    path = rules.write(tmp_path / "policy.yaml", rules.words(scenes.BAD) | patient)
    first = start(path, 0)
    streams = [begun(rig, dialect) for dialect in DIALECTS]
    other = start(path, 1)
    first.part.process.kill()
    for ours, pieces, said in streams:
        with pytest.raises(BROKEN):
            said += "".join(pieces)
        assert not ours.ended()
        assert TEXT.startswith(said)
        assert scenes.BAD[:3].encode() not in ours.wire.seen
    first.part.process.wait()
    with Traffic(rig, "lives") as traffic:
        # Half of it fails until Envoy's workers know, which it tells them once a second at most.
        until(lambda: ["whole"] * 40 == [each.how for each in traffic.all[-40:]], "Envoy goes on")
        noticed = len(traffic.all)
        new = start(path, 0)
        until(lambda: new.metric("safeguards_streams_total"), "the new filter has its share")
        traffic.more()
    assert {"whole", "503"} >= traffic.ended.keys()
    assert {"whole"} == {each.how for each in traffic.all[noticed:]}
    records = [record for one in (new, other) for record in one.all_records()]
    assert sorted(each.id for each in traffic.all if each.id) == sorted(record.id for record in records)
    assert {"complete"} == {record.termination for record in records}


def test_a_filter_that_is_killed_under_traffic_leaves_every_answered_exchange_in_its_spool(
    rig: Rig, blind: Blind, tmp_path: Path
) -> None:
    """Again and again, at any moment: whoever got the whole answer finds its record there, whole and once, and each
    life numbered its records without a gap."""
    kills, spool = 3, tmp_path / "spool"
    with Traffic(rig, "blind", threads=4) as traffic:
        for _ in range(kills):
            one = blind.start(rules.words("nothing"), records=spool, sink="spool")
            wanted = traffic.ended["whole"] + 100
            until(lambda: traffic.ended["whole"] >= wanted, "the filter serves")  # noqa: B023 (called within the turn)
            one.part.process.kill()
            one.part.process.wait()
    assert 1 == len({each.epoch for each in recover(spool)}), "each life closes what the one before left"
    assert kills == len({each.epoch for each in segments(spool) if each.closed})
    records = one.all_records()
    assert len(records) == len({record.id for record in records})
    assert {each.id for each in traffic.all if each.how == "whole"} <= {record.id for record in records}
    assert {} == gaps(records)
    assert kills * 100 <= len(records)
