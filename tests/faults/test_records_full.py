"""No room for records: what the operator chose happens to the traffic, and no record is missing once there is room."""

from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
from pathlib import Path

import pytest

from safeguards_extproc.records.read import gaps
from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from tests.envoy import rules, scenes
from tests.envoy.background import until
from tests.envoy.rig import BLIND, Filter, Rig, post
from tests.envoy.sdk import client
from tests.faults.conftest import Blind

pytestmark = pytest.mark.real

SIZE = 64 << 10
"""Bytes of the disk: some forty records."""

OWN_DISK = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
"""Runs a program for which we may mount a disk that nobody else sees, and that goes when it ends."""

PLACES = {"records": "records.jsonl", "spool": "spool"}
"""What keeps records, and where on that disk."""

POLICIES = ("go-on", "refuse")
Disk = tuple[Filter, Path]


@pytest.fixture(params=[*(("records", policy) for policy in POLICIES), ("spool", "refuse")], ids="-".join)
def disk(request: pytest.FixtureRequest, rig: Rig, blind: Blind, tmp_path: Path) -> Disk:
    """A filter whose records lie on a small disk of its own, and that disk."""
    mount = f"mount -t tmpfs -o size={SIZE} none {tmp_path / 'disk'}"
    (tmp_path / "disk").mkdir()
    tried = subprocess.run([*OWN_DISK, mount], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no disk can be mounted here: {tried.stderr.strip()}")
    within = [*OWN_DISK, f'{mount} && exec "$@"', "sh"]
    sink, policy = request.param
    records, options = tmp_path / "disk" / PLACES[sink], ["--on-record-failure", policy]
    one = blind.start(rules.words("nothing"), records=records, sink=sink, options=options, within=within)
    seen = Path(f"/proc/{one.part.process.pid}/root{tmp_path}/disk")
    one.records = seen / records.name
    return one, seen


def ask(rig: Rig) -> tuple[int, str]:
    """Status and id of a question that any policy takes."""
    asked = client("openai_chat", rig.urls[BLIND])
    headers = {"content-type": "application/json", EXCHANGE_HEADER: scenes.PLAIN.id("openai_chat")}
    body = json.dumps(asked.body(scenes.QUESTION, stream=False)).encode()
    status, answered, _ = post(rig.urls[BLIND], asked.path, body, headers)
    return status, answered.get("x-safeguards-id", "")


def fill(path: Path) -> None:
    """Write until nothing fits any more."""
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        file.writelines(itertools.repeat(bytes(1024)))


def failing(one: Filter) -> bool:
    """Whether records cannot be written now."""
    return bool(sum(one.metric("safeguards_degraded", what=sink) for sink in PLACES))


def starve(rig: Rig, one: Filter) -> list[str]:
    """Ask until a record finds no room, which costs no answer; the ids."""
    ids = []
    while not failing(one):
        status, id_ = ask(rig)
        assert 200 == status
        ids.append(id_)
    assert one.metric("safeguards_record_failures_total", reason="disk-full")
    return ids


def meanwhile(rig: Rig, one: Filter) -> list[str]:
    """Some more questions; the ids of those that were taken."""
    refuses = "refuse" == next(row["on_failure"] for row in one.log() if row["event"] == "records cannot be written")
    before = one.metric("safeguards_streams_refused_total", reason="records")
    answers = [ask(rig) for _ in range(5)]
    assert {503 if refuses else 200} == {status for status, _ in answers}
    assert 5 * refuses == one.metric("safeguards_streams_refused_total", reason="records") - before
    return [id_ for _, id_ in answers if id_]


def back(rig: Rig, one: Filter) -> list[str]:
    """Ask until records are written again; the ids of those that were taken."""
    ids: list[str] = []

    def written() -> bool:
        ids.append(ask(rig)[1])
        return not failing(one)

    until(written, "records are written again")
    status, id_ = ask(rig)
    assert 200 == status
    return [*filter(None, ids), id_]


def test_the_disk_is_full_for_a_while(rig: Rig, disk: Disk) -> None:
    """go-on: everybody is served. refuse: nobody, once a record waits. Then every record is there, once."""
    one, folder = disk
    ids = [ask(rig)[1]]
    fill(folder / "ballast")
    ids += starve(rig, one)
    ids += meanwhile(rig, one)
    (folder / "ballast").unlink()
    ids += back(rig, one)
    records = one.all_records()
    assert sorted(ids) == sorted(record.id for record in records)
    assert {} == gaps(records)
    assert 0 == one.metric("safeguards_records_lost_total")


@pytest.mark.parametrize("disk", [("records", policy) for policy in POLICIES], ids="-".join, indirect=True)
def test_the_records_themselves_fill_the_disk(rig: Rig, disk: Disk) -> None:
    """Who deletes them makes room: the filter lets go of the deleted file, and what had waited is in the next one."""
    one, folder = disk
    fill(folder / "ballast")
    (folder / "ballast").unlink()
    with one.records.open("ab") as file:
        file.write(b"\n" * (SIZE - one.records.stat().st_size - 4096))
    ids = starve(rig, one)
    kept = {record.id for record in one.all_records()}
    ids += meanwhile(rig, one)
    one.records.unlink()
    ids += back(rig, one)
    assert set(ids) - kept == {record.id for record in one.all_records()}
    assert 0 == one.metric("safeguards_records_lost_total")
