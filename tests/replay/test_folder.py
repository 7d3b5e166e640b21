"""A folder of captures: bounded, and told of what it does not keep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from safeguards_extproc.core.taken import Taken
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.capture import Key, Reader, Writer, head_of
from safeguards_extproc.replay.folder import DISK, FULL, KEPT, Folder, FolderLimits
from tests.replay.worlds import sample

KEY = Key("k", bytes(range(32)))
ROOM = FolderLimits()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def folder(path: Path, clock: Clock, limits: FolderLimits = ROOM) -> Folder:
    return Folder(path, KEY, limits, source="p", region="eu", epoch="e", clock=clock)


def held(path: Path, clock: Clock) -> list[list[str]]:
    """Ids of the exchanges of each capture, in the order of their files."""
    return [[taken.id for taken in Reader(each, [KEY], clock.now)] for each in sorted(path.glob("*.capture"))]


def test_exchanges_of_an_hour_are_a_file(tmp_path: Path, clock: Clock) -> None:
    """Which says who took them, and expires as a whole; another time to keep them is another file."""
    at = folder(tmp_path / "c", clock)
    for id, passed, keep_s in (("a", 0, 9e4), ("b", 10, 9e4), ("c", 3600, 9e4), ("d", 1, 99e3)):
        clock.now += passed
        assert KEPT == at.keep(sample(id), keep_s)
    at.close()
    clock.now -= 3611
    assert [["a", "b"], ["c"], ["d"]] == sorted(held(tmp_path / "c", clock))
    heads = [head_of(path) for path in (tmp_path / "c").iterdir()]
    assert {("p", "eu", "e")} == {(head.source, head.region, head.epoch) for head in heads}
    assert [90_000, 90_000, 99_000] == sorted(round(head.expires - head.created) for head in heads)


def test_a_file_has_a_largest_size(tmp_path: Path, clock: Clock) -> None:
    """Two exchanges are more than one file takes."""
    at = folder(tmp_path, clock, FolderLimits(file_bytes=3000))
    for id in "abcd":
        at.keep(sample(id, answer=os.urandom(1200).hex()), 60.0)
        clock.now += 1
    at.close()
    assert "abcd" == "".join(id for ids in held(tmp_path, clock) for id in ids)
    assert len(held(tmp_path, clock)) > 1


def test_the_folder_has_a_largest_size(tmp_path: Path, clock: Clock) -> None:
    """What is too much is said, and what has expired makes room."""
    at = folder(tmp_path, clock, FolderLimits(folder_bytes=6000, file_bytes=3000, retry_s=10.0))
    large: list[Taken] = [sample(str(number), answer=os.urandom(1500).hex()) for number in range(6)]
    said = [at.keep(taken, 60.0) for taken in large]
    assert (KEPT, FULL) == (said[0], said[-1])
    clock.now += 61
    assert KEPT == at.keep(sample("later"), 60.0)
    at.close()
    assert [["later"]] == held(tmp_path, clock)


def test_a_disk_that_fails_is_said(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written no further; it is tried again a while later, and what was whole can be read."""
    at = folder(tmp_path, clock)
    assert KEPT == at.keep(sample("a"), 60.0)
    whole = Writer._put

    def fails(self: Writer, data: bytes) -> int:
        self._file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "_put", fails)
    assert DISK == at.keep(sample("b"), 60.0)
    monkeypatch.setattr(Writer, "_put", whole)
    assert DISK == at.keep(sample("c"), 60.0)
    clock.now += 10
    assert KEPT == at.keep(sample("d"), 60.0)
    at.close()
    assert [["a"], ["d"]] == sorted(held(tmp_path, clock))


def test_what_is_no_folder_is_said_at_the_start(tmp_path: Path, clock: Clock) -> None:
    """Not when the first exchange is lost."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        folder(tmp_path / "file" / "c", clock)


def test_what_others_put_there_stays(tmp_path: Path, clock: Clock) -> None:
    """A file that is no capture is not ours to remove or to count."""
    (tmp_path / "x.capture").write_bytes(b"?" * 9000)
    at = folder(tmp_path, clock, FolderLimits(folder_bytes=6000, file_bytes=3000))
    assert KEPT == at.keep(sample("a"), 60.0)
    at.close()
    assert (tmp_path / "x.capture").exists()
