"""What changes while traffic runs: the policy, the model server's health, the filter processes themselves."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.envoy import rules, scenes
from tests.envoy.background import PATIENCE_S, until
from tests.envoy.relay import Relay
from tests.envoy.rig import LIVES, Filter, Rig, Start, lives, post
from tests.envoy.sdk import Client, client
from tests.envoy.traffic import Traffic

pytestmark = pytest.mark.real

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
READINESS = ("", "readiness", "envoy.service.ext_proc.v3.ExternalProcessor")
LATE = "hedge"
"""A word that the long answer comes to late."""


@pytest.fixture
def start(rig: Rig) -> Iterator[Start]:
    """Starts filters that Envoy sends to."""
    with lives(rig) as started:
        yield started


def ours(rig: Rig) -> Client:
    return client("openai_chat", rig.urls["lives"])


def test_a_stream_keeps_its_policy_and_the_next_has_the_new(rig: Rig, start: Start, tmp_path: Path) -> None:
    """A policy comes into force in mid-stream: this answer may still say the word that it forbids, the next may not."""
    path = rules.write(tmp_path / "policy.yaml", rules.words("nothing"))
    one, scene = start(path), scenes.SLOW
    before, after = ours(rig), ours(rig)
    pieces = before.pieces(scene.id("openai_chat", 7), scene.asks)
    said = next(pieces) + next(pieces)
    old = one.metric("safeguards_policy_loaded_timestamp_seconds")

    rules.write(path, rules.words(LATE))
    until(lambda: one.metric("safeguards_policy_loaded_timestamp_seconds") > old, "the new policy is in force")
    assert 0 == rig.served(scene.id("openai_chat", 7))["finished"]
    stopped = after.stream(scene.id("openai_chat", 7, "again"), scene.asks)
    said += "".join(pieces)

    assert (scene.text, True) == (said, before.ended())
    assert (after.refused, True) == (stopped.finish, after.ended())
    assert LATE not in stopped.text
    kept, new = one.record(before.wire.id), one.record(after.wire.id)
    assert ("allow", "stop") == (kept.outcome, new.outcome)
    assert kept.policy != new.policy
    assert 1 == one.metric("safeguards_policy_info", digest=new.policy)
    assert 0 == one.metric("safeguards_policy_info", digest=kept.policy)


def test_a_policy_that_does_not_load_changes_nothing(rig: Rig, start: Start, tmp_path: Path) -> None:
    """The old one stays; the mistake is counted, told by line, and shown as a degradation until it is mended."""
    path = rules.write(tmp_path / "policy.yaml", rules.words("nothing"))
    one, scene = start(path), scenes.PLAIN
    good = path.read_text()
    wrong = good.replace('"rules"', '"ruels"')
    path.write_text(wrong)
    until(lambda: one.metric("safeguards_policy_loads_total", result="failed"), "the mistake is counted")
    line = 1 + wrong[: wrong.index("ruels")].count("\n")
    [told] = [row for row in one.log() if row["event"] == "policy not loaded, the old one stays"]
    assert str(path) == told["path"]
    assert told["problem"].startswith(f"{path.name}:{line}: ")
    until(lambda: one.metric("safeguards_degraded", what="policy"), "the degradation is shown")
    asked = ours(rig)
    assert scene.text == asked.stream(scene.id("openai_chat"), scene.asks).text
    assert 1 == one.metric("safeguards_policy_info", digest=one.record(asked.wire.id).policy)
    assert SERVING == one.check("")

    path.write_text(good)
    until(lambda: not one.metric("safeguards_degraded", what="policy"), "it is mended")


@pytest.mark.parametrize("on_failure", ["block", "degrade"])
def test_health_says_what_can_be_done_without_the_model(
    rig: Rig, start: Start, tmp_path: Path, on_failure: str
) -> None:
    """Triton away: not ready where nothing may pass without it, ready and degraded where it may; alive in any case."""
    relay = Relay(rig.background, rig.triton)
    path = rules.write(tmp_path / "policy.yaml", rules.words("nothing", screen=on_failure))
    one = start(path, triton=relay.address)
    both = (False, True)
    for plain in both:
        assert [SERVING] * 4 == [one.check(name, plain=plain) for name in (*READINESS, "liveness")]
        with pytest.raises(grpc.RpcError) as caught:
            one.check("unheard-of", plain=plain)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    watched = list[int]()
    away = NOT_SERVING if on_failure == "block" else SERVING
    with grpc.insecure_channel(f"unix:{one.socket}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=READINESS[-1]))
        reader = threading.Thread(target=lambda: _read(watch, watched), daemon=True)
        reader.start()
        until(lambda: watched == [SERVING], "Watch says how it is")
        relay.cut()
        until(lambda: one.metric("safeguards_degraded", what="model:screen") == 1, "the model is missed")
        for plain in both:
            assert [away] * 3 == [one.check(name, plain=plain) for name in READINESS]
            assert SERVING == one.check("liveness", plain=plain)
        asked = ours(rig)
        body = json.dumps(asked.body("Hello", stream=False)).encode()
        if on_failure == "block":
            until(lambda: not rig.healthy("lives"), "Envoy sends nothing to a filter that is not ready")
        status, _, _ = post(rig.urls["lives"], asked.path, body, {"content-type": "application/json"})
        assert {"block": 503, "degrade": 200}[on_failure] == status
        relay.join()
        until(lambda: one.metric("safeguards_degraded", what="model:screen") == 0, "the model is back")
        until(lambda: one.check("") == SERVING, "it is ready again")
        until(lambda: watched[-1] == SERVING, "Watch says so")
        assert watched == ([SERVING, NOT_SERVING, SERVING] if on_failure == "block" else [SERVING])
        watch.cancel()
        reader.join(PATIENCE_S)


def _read(watch: Iterator[health_pb2.HealthCheckResponse], into: list[int]) -> None:
    try:
        for response in watch:
            into.append(int(response.status))  # noqa: PERF401 (they come one by one)
    except grpc.RpcError:
        pass


def test_a_rolling_restart_fails_nobody(rig: Rig, start: Start, tmp_path: Path) -> None:
    """Each process is told to end while answers stream through it: they end well, and so does everything else."""
    path = rules.write(tmp_path / "policy.yaml", rules.words("nothing"))
    running, scene, takes = [start(path, number, drain_delay_s=1.0) for number in range(LIVES)], scenes.SLOW, set[str]()
    with Traffic(rig, "lives") as traffic:
        for number in range(LIVES):
            traffic.more()
            streams = list(_streams_through(rig, running[number]))
            running[number].part.process.send_signal(signal.SIGTERM)
            others = {str(rig.life(other)) for other in range(LIVES) if other != number}
            until(partial(_only, rig, others), "Envoy has noticed")
            traffic.more()
            assert running[number].part.alive
            for talk, pieces, begun in streams:
                assert (scene.text, True) == (begun + "".join(pieces), talk.ended())
                takes.add(talk.wire.id)
            assert 0 == running[number].part.process.wait(PATIENCE_S)
            running[number] = start(path, number, drain_delay_s=1.0)
        traffic.more()
    assert {"whole": traffic.ended.total()} == traffic.ended
    records = {record.id: record for one in running for record in one.all_records()}
    # "closed" is the SDK's doing: it hangs up once it has read [DONE], and need not wait for the end of the transfer.
    assert {record.termination for record in records.values()} <= {"complete", "closed"}
    assert {("allow", "full")} == {(records[id_].outcome, records[id_].response.account.coverage) for id_ in takes}
    assert len(records) == sum(len(one.all_records()) for one in running) == traffic.ended.total() + len(takes)


def _only(rig: Rig, sockets: set[str]) -> bool:
    """Whether Envoy would send to these alone."""
    return rig.healthy("lives") == sockets


def _streams_through(rig: Rig, one: Filter) -> Iterator[tuple[Client, Iterator[str], str]]:
    """Streams that have begun, at least one of them through this filter: the traffic beside them has one at most."""
    while one.metric("safeguards_streams_active") < 2:
        talk = ours(rig)
        pieces = talk.pieces(scenes.SLOW.id("openai_chat", 7), scenes.SLOW.asks)
        yield talk, pieces, next(pieces)
