"""A filter killed in mid-stream: its clients can tell, everybody else goes on, and the next one takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.envoy import rules, scenes
from tests.envoy.background import until
from tests.envoy.rig import UPSTREAM, Rig, Start, lives
from tests.envoy.scenes import DIALECTS
from tests.envoy.sdk import BROKEN, Client, client
from tests.envoy.traffic import Traffic
from tests.faults.conftest import unfinished

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
