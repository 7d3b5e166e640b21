"""One of several worker processes crashes in mid-stream: its own clients can tell, the others' streams go on."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from safeguards_extproc.adapters.workers import INDEX_VARIABLE, WorkerSettings
from tests.envoy import rules, scenes
from tests.envoy.background import until
from tests.envoy.rig import UPSTREAM, Filter, Rig, end, serve
from tests.envoy.scenes import DIALECTS
from tests.envoy.sdk import BROKEN, Client, client
from tests.envoy.traffic import Traffic
from tests.faults.conftest import unfinished

pytestmark = pytest.mark.real

TEXT = f"{scenes.SLOW.text[:1500]} It is called {scenes.BAD[:6]}"
"""What the model has said by then: the first half of the word that policy forbids waits for the second."""

WORKERS = 2
SETTLED_S = WorkerSettings(WORKERS).settle_s
"""A parent whose worker ends sooner than that takes it for one that cannot start, and ends itself."""


def ports(count: int) -> int:
    """The first of so many free ports in a row: each worker adds its number to its port."""
    while True:
        with ExitStack() as open_:
            first = open_.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            try:
                for number in range(1, count):
                    open_.enter_context(socket.create_server(("127.0.0.1", first + number)))
            except (OSError, OverflowError):
                continue
            return int(first)


@pytest.fixture
def workers(rig: Rig, tmp_path: Path) -> Iterator[list[Filter]]:
    """A filter of several processes that Envoy sends to, as each of them is seen; the first is also their parent."""
    patient = {"routes": [{"name": "patient", "window": {"flush_ms": 20_000}}]}
    path = rules.write(tmp_path / "policy.yaml", rules.words(scenes.BAD) | patient)
    first = ports(2 * WORKERS)
    health, metrics = ([f"127.0.0.1:{start + number}" for number in range(WORKERS)] for start in (first, first + 2))
    options = ["--workers", str(WORKERS), "--health", health[0], "--metrics", metrics[0]]
    one = serve(path, rig.life(0), options=options)
    try:
        healthy(rig)
        up = time.monotonic()
        until(lambda: time.monotonic() - up > SETTLED_S, "a worker that ends has not failed to start")
        yield [
            Filter(one.part, rig.life(number), health[number], metrics[number], one.records)
            for number in range(WORKERS)
        ]
    finally:
        end(one.part)


def healthy(rig: Rig) -> None:
    """Wait until Envoy sends to every worker."""
    wanted = {str(rig.life(number)) for number in range(WORKERS)}
    until(lambda: wanted <= rig.healthy("lives"), "Envoy finds every worker healthy")


def pid(of: Filter, number: int) -> int:
    """The process of a worker; 0 while there is none."""
    for each in psutil.Process(of.part.process.pid).children():
        with suppress(psutil.Error):  # it has just ended
            if each.environ().get(INDEX_VARIABLE) == str(number):
                return each.pid
    return 0


def live(worker: Filter) -> float:
    return worker.metric("safeguards_streams_active")


def begun(rig: Rig, dialect: str) -> tuple[Client, Iterator[str], str]:
    """An answer that has begun and does not go on: its client, what it still waits for, what it has."""
    name = f"worker-{dialect}"
    rig.recorder.replies[name] = unfinished(dialect, TEXT)
    ours = client(dialect, rig.urls["lives"], **{UPSTREAM[0]: UPSTREAM[1]})
    pieces = ours.pieces(name, scenes.QUESTION)
    said = next(pieces)
    while not said:
        said = next(pieces)
    return ours, pieces, said


def rest(pieces: Iterator[str], said: str) -> str:
    """All that a client gets until its stream breaks, which it must."""
    try:
        for piece in pieces:
            said += piece
    except BROKEN:
        return said
    raise AssertionError("it came to an end")


def test_a_worker_crashes_in_mid_stream(rig: Rig, workers: list[Filter]) -> None:
    """Its streams break off without unread text, the others' live on; a new process takes its place in seconds."""
    stays, dies = workers
    old = pid(dies, 1)
    streams = [begun(rig, dialect) for dialect in DIALECTS]
    while not (live(stays) and live(dies)):
        streams.append(begun(rig, next(iter(DIALECTS))))
    kept, lost = live(stays), live(dies)
    assert len(streams) == kept + lost
    with ThreadPoolExecutor(len(streams)) as threads, ExitStack() as last:
        last.callback(stays.part.process.kill)
        ends: list[Future[str]] = [threads.submit(rest, pieces, said) for _, pieces, said in streams]
        os.kill(old, signal.SIGSEGV)
        until(lambda: sum(each.done() for each in ends) == lost, "who was on it knows")
        assert kept == live(stays)
        with Traffic(rig, "lives") as traffic:
            until(lambda: ["whole"] * 20 == [each.how for each in traffic.all[-20:]], "Envoy goes on")
            until(lambda: pid(dies, 1) not in (0, old), "there is another")
            healthy(rig)
            traffic.more()
        assert {"whole", "503"} >= traffic.ended.keys()
    assert all(TEXT.startswith(each.result()) for each in ends)
    for ours, _, _ in streams:
        assert not ours.ended()
        assert scenes.BAD[:3].encode() not in ours.wire.seen
    died = [row for row in stays.log() if row["event"] == "worker died"]
    assert [(1, -signal.SIGSEGV)] == [(row["worker"], row["code"]) for row in died]
