"""A filter killed in mid-stream: its clients can tell, everybody else goes on, and the next one takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from tests.envoy import rules, scenes
from tests.envoy.background import until
from tests.envoy.rig import LIVES, Rig, Start, lives
from tests.envoy.scenes import DIALECTS
from tests.envoy.sdk import Client, client
from tests.envoy.traffic import Traffic

pytestmark = pytest.mark.real

LATE = "hedge"
"""A word that the long answer comes to late, and that policy forbids."""


@pytest.fixture
def start(rig: Rig) -> Iterator[Start]:
    """Starts filters that Envoy sends to."""
    with lives(rig) as started:
        yield started


def test_a_filter_is_killed_in_mid_stream(rig: Rig, start: Start, tmp_path: Path) -> None:
    """A broken transfer, no clean end, no unscanned text; the other filter serves, and a new one takes over the
    socket, the records and the traffic."""
    path, scene = rules.write(tmp_path / "policy.yaml", rules.words(LATE)), scenes.SLOW
    running = [start(path, number) for number in range(LIVES)]
    first, other = running
    streams: list[tuple[Client, Iterator[str], str]] = []
    while first.metric("safeguards_streams_active") < len(DIALECTS):
        dialect = DIALECTS[len(streams) % 2]
        ours = client(dialect, rig.urls["lives"])
        pieces = ours.pieces(scene.id(dialect, 7), scene.asks)
        streams.append((ours, pieces, next(pieces)))
    active = int(first.metric("safeguards_streams_active"))
    first.part.process.kill()
    first.part.process.wait()
    broken = 0
    for ours, pieces, said in streams:
        try:
            for piece in pieces:
                said += piece
        except (openai.APIConnectionError, httpx2.RemoteProtocolError):
            broken += 1
            assert not ours.ended()
        else:
            assert ours.ended()
            assert "stop" == other.record(ours.wire.id).outcome
        assert scene.text.startswith(said)
        assert LATE not in said
    assert active == broken
    until(lambda: rig.healthy("lives") == {str(rig.life(1))}, "Envoy has noticed")
    with Traffic(rig, "lives") as traffic:
        traffic.more()
        begun = start(path, 0)
        until(lambda: begun.metric("safeguards_streams_total"), "the new filter has its share")
        traffic.more()
    assert {"whole": len(traffic.all)} == traffic.ended
    kept = {record.id for one in (begun, other) for record in one.all_records()}
    assert {each.id for each in traffic.all} <= kept
