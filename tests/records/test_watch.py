"""What lies on disks and behind Envoy's admin endpoint is told as it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from safeguards_extproc.records import segments
from safeguards_extproc.records.reconcile import Counters
from safeguards_extproc.records.seal import seal
from safeguards_extproc.records.stores import open_store
from safeguards_extproc.records.watch import Sources, Watch, all_of, counters
from tests.records.sealing import record, segment


def logged(log: Path, *numbers: int, details: str = "via_upstream", id: bool = True) -> None:
    """Envoy appends lines about these exchanges."""
    with log.open("a") as file:
        for number in numbers:
            metadata = {"id": record(number).id} if id else None
            time = record(number).time.replace("+00:00", "Z")
            file.write(json.dumps({"time": time, "status": 200, "details": details, "safeguards": metadata}) + "\n")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text("[info] starting\n")
    return path


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


def test_from_now_on_every_exchange_is_followed(spool: Path, log: Path, tmp_path: Path) -> None:
    """What was there before is no gap, whichever half is missing; what is sealed between two looks is found."""
    logged(log, 1, 2)
    segment(spool, [record(2), record(3)])
    store = open_store(str(tmp_path / "sealed"))
    watch = Watch(Sources([spool], store, log, recent_s=1e10), 10.0)
    logged(log, 3, 4, 5, 6)
    segment(spool, [record(4)], state=segments.OPEN)
    assert [] == watch.look(0)
    segment(spool, [record(5)])
    seal(spool, store)
    segment(spool, [record(7)], state=segments.OPEN)
    with log.open("a") as file:
        file.write("[warning] something else\n")
    gaps = {gap.kind.value: (gap.count, gap.ids) for gap in [*watch.look(1), *watch.look(20)]}
    assert {"missing": (1, [record(6).id]), "lost": (1, []), "unlogged": (1, [record(7).id])} == gaps
    assert (1, 0) == (watch.foreign, watch.unreadable)


def test_all_of_it_is_compared(spool: Path, log: Path, tmp_path: Path) -> None:
    """A log from beginning to end, with sealed and unsealed records; those from before and after it need no line."""
    store = open_store(str(tmp_path / "sealed"))
    segment(spool, [record(number) for number in (1, 2, 3)])
    seal(spool, store)
    segment(spool, [record(3)], state=segments.CLOSED)
    segment(spool, [record(number) for number in (4, 5, 9)])
    logged(log, 2, 4, 6)
    logged(log, 5, details="direct_response", id=False)
    told, gaps = all_of(Sources([spool], store, log, expected=frozenset({"direct_response"})))
    found = {gap.kind.value: (gap.count, gap.ids) for gap in gaps}
    assert {"missing": (1, [record(6).id]), "unlogged": (2, [record(3).id, record(5).id]), "lost": (3, [])} == found
    assert (3, 6, 6) == (told.totals.lines, told.totals.records, told.totals.gaps)


STATS = [
    {"name": "http.ingress.downstream_rq_completed", "value": 7},
    {"name": "http.ingress.downstream_rq_active", "value": 2},
    {"name": "http.ingress.ext_proc.streams_failed", "value": 1},
    {"name": "http.ingress.ext_proc.streams_started", "value": 9},
    {"histograms": {}},
]


@pytest.fixture
def admin(request: pytest.FixtureRequest) -> Iterator[str]:
    """Something that answers as Envoy's admin endpoint does, or with what the test says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(request.param)

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("admin", [json.dumps({"stats": STATS}).encode()], indirect=True)
def test_envoys_counters_are_read(admin: str) -> None:
    """Requests of the connection manager, and what went wrong with its filter."""
    assert Counters(7, 2, {"http.ingress.ext_proc.streams_failed": 1}) == counters(admin, "ingress")
    with pytest.raises(OSError, match="does not count requests of 'other'"):
        counters(admin, "other")


@pytest.mark.parametrize("admin", [b"", b"[]", b'{"stats": 7}', b'{"stats": [7]}'], indirect=True)
def test_what_is_no_envoy_is_an_error(admin: str) -> None:
    """That says so."""
    with pytest.raises(OSError, match="does not count"):
        counters(admin, "ingress")
