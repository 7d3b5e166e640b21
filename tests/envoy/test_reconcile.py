"""Records against a real Envoy: every request has one, or the gap is named within two minutes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.local import envoy
from safeguards_extproc.records import segments
from safeguards_extproc.records.encode import from_json
from safeguards_extproc.records.seal import seal
from safeguards_extproc.records.stores import open_store
from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from safeguards_extproc.replay.traffic import write as write_traffic
from tests.envoy import rig, rules, scenes
from tests.envoy.background import until

pytestmark = pytest.mark.real

NAMED_WITHIN_S = 120.0


@dataclass(slots=True)
class Watching:
    """`records reconcile --follow` as a process, and what it said so far."""

    process: subprocess.Popen[str]
    status: int = -1
    gaps: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stdout is not None
        self.gaps += map(json.loads, self.process.stdout)

    def named(self, kind: str) -> dict[str, Any]:
        """The gap of a kind, once it is named."""
        return until(lambda: [gap for gap in self.gaps if gap["kind"] == kind], f"a gap: {kind}")[0]


@dataclass(slots=True)
class World:
    """One Envoy, and filters with a spool that come and go behind it."""

    folder: Path
    front: envoy.Envoy | None = None
    filter: rig.Filter | None = None
    lives: int = 0

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    @property
    def sealed(self) -> Path:
        return self.folder / "sealed"

    @property
    def log(self) -> Path:
        assert self.front is not None
        return self.front.part.log

    def start(self) -> rig.Filter:
        """Another life of the filter."""
        self.lives += 1
        options = ("--spool", str(self.spool), "--producer", f"life{self.lives}")
        socket = self.folder / "filter.sock"
        socket.unlink(missing_ok=True)
        self.filter = rig.serve(self.folder / "policy.yaml", socket, options=options)
        if self.front is not None:
            until(self.healthy, "Envoy finds the filter healthy")
        return self.filter

    def healthy(self) -> bool:
        assert self.front is not None
        return envoy.healthy(self.front.admin, envoy.FILTER_CLUSTER)

    def kill(self) -> None:
        """End the filter by SIGKILL, and wait until Envoy knows."""
        assert self.filter is not None
        self.filter.part.process.kill()
        self.filter.part.process.wait(20)
        until(lambda: not self.healthy(), "Envoy finds the filter gone")

    def end(self) -> None:
        """End the filter in good order."""
        if self.filter is not None:
            rig.end(self.filter.part)

    def ask(self) -> int:
        """One request; the status of its answer."""
        assert self.front is not None
        body = {"model": "m", "messages": [{"role": "user", "content": scenes.PLAIN.asks}]}
        headers = {"content-type": "application/json", EXCHANGE_HEADER: scenes.PLAIN.id("openai_chat")}
        return rig.post(self.front.url, "/v1/chat/completions", json.dumps(body).encode(), headers)[0]


@contextmanager
def world(folder: Path) -> Iterator[World]:
    with ExitStack() as ends:
        traffic = folder / "traffic.jsonl"
        write_traffic(traffic, scenes.exchanges())
        model, address = rig._model_server(folder, traffic)
        ends.callback(rig.end, model)
        (folder / "policy.yaml").write_text((rules.ROOT / "policies" / "minimal.yaml").read_text())
        made = World(folder)
        started = made.start()
        ends.callback(made.end)
        document = envoy.load(rules.ROOT / "envoy" / "demo.yaml")
        made.front = envoy.start(document, envoy.Addresses(address, (f"unix://{started.socket}",)), folder)
        ends.callback(rig.end, made.front.part)
        yield made


@contextmanager
def watching(world: World, *, log: bool) -> Iterator[Watching]:
    """From now on, every second; a gap is named when it is so old that no stall of the machine looks like one."""
    assert world.front is not None
    command = [
        sys.executable,
        "-m",
        "safeguards_extproc",
        "records",
        "reconcile",
        str(world.spool),
        str(world.sealed),
        "--json",
    ]
    command += ["--follow", "--admin", world.front.admin, "--every", "1s", "--grace", "15s"]
    command += ["--access-log", str(world.log)] if log else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = Watching(process)
    reader = threading.Thread(target=watch.read)
    reader.start()
    try:
        assert process.stderr is not None
        assert "looking every 1 s" in process.stderr.readline()
        yield watch
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        watch.status = process.wait(20)
        reader.join(20)


def cut_last_record(spool: Path) -> str:
    """Take the last record of the newest life out of its segment, as if it had never been written; its id."""
    last = segments.segments(spool)[-1].path
    *kept, gone = segments.read(last)
    last.write_bytes(b"".join(map(segments.frame, kept)))
    return from_json(gone).id


def test_every_request_has_a_record_or_a_gap_is_named(tmp_path: Path) -> None:
    """Traffic with nothing wrong is silent. Then the filter is killed, and requests get no verdict; then the last
    record of a life is cut off, which no number tells. Each is named in time, for what it is, and once; by Envoy's
    counters alone they are counted."""
    with world(tmp_path) as here, watching(here, log=True) as watch, watching(here, log=False) as counting:
        assert [200] * 20 == [here.ask() for _ in range(20)]
        here.kill()
        began = time.monotonic()
        assert {503} == {here.ask() for _ in range(3)}
        unseen, uncounted = watch.named("unseen"), counting.named("uncounted")
        assert time.monotonic() - began < NAMED_WITHIN_S
        assert 3 == unseen["count"] == uncounted["count"]
        assert "status 503" in unseen["why"]
        assert 1 == len(watch.gaps)

        here.start()
        watch.process.send_signal(signal.SIGSTOP)
        assert 200 == here.ask()
        here.kill()
        id_ = cut_last_record(here.spool)
        watch.process.send_signal(signal.SIGCONT)
        began = time.monotonic()
        assert [id_] == watch.named("missing")["ids"]
        assert time.monotonic() - began < NAMED_WITHIN_S
    assert (1, 1) == (watch.status, counting.status)
    assert {"unseen", "missing"} == {gap["kind"] for gap in watch.gaps}
    assert 1 == sum(gap["count"] for gap in watch.gaps if gap["kind"] == "missing")


def test_traffic_with_nothing_wrong_is_silent(tmp_path: Path) -> None:
    """Through a new life of the filter, which ends in good order, and its sealed segments."""
    with world(tmp_path) as here, watching(here, log=True) as watch:
        assert [200] * 10 == [here.ask() for _ in range(10)]
        here.end()
        assert {} == seal(here.spool, open_store(str(here.sealed))).left
        here.start()
        assert 200 == here.ask()
        until(lambda: str(here.log.read_text()).count('"safeguards":{') >= 11, "Envoy's log")
        assert None is watch.process.poll()
    assert [] == [gap for gap in watch.gaps if gap["kind"] != "unseen"]
