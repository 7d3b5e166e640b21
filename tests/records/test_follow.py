"""New records come once each, however their files are renamed, cut and begun anew."""

from __future__ import annotations

from pathlib import Path

from safeguards_extproc.records import segments
from safeguards_extproc.records.encode import to_json
from safeguards_extproc.records.follow import Following
from tests.records.sealing import record, segment


def numbers(following: Following) -> list[int]:
    return [found.sequence for found in following.new()]


def test_a_spool_is_followed_through_its_segments(tmp_path: Path) -> None:
    """A segment grows, is closed, sealed and deleted; the next one begins. A piece of a frame waits for its rest."""
    first = segment(tmp_path, [record(1)], state=segments.OPEN)
    following = Following(tmp_path)
    assert [1] == numbers(following)
    assert [] == numbers(following)
    frame = segments.frame(to_json(record(2)))
    with first.open("ab") as file:
        file.write(frame[:-3])
        file.flush()
        assert [] == numbers(following)
        file.write(frame[-3:])
    closed = first.rename(first.with_suffix(segments.CLOSED))
    segment(tmp_path, [record(3)], state=segments.OPEN)
    assert [2, 3] == numbers(following)
    closed.unlink()
    segment(tmp_path, [record(1, producer="other")])
    assert [1] == numbers(following)
    assert 0 == following.unreadable


def test_lines_are_followed_through_rotation(tmp_path: Path) -> None:
    """What was written to the old file before it was renamed comes too; half a line waits for its end."""
    path = tmp_path / "records.jsonl"
    line = to_json(record(1)) + b"\n"
    path.write_bytes(line + b"\n" + line[:10])
    following = Following(path)
    assert [1] == numbers(following)
    with path.open("ab") as file:
        file.write(line[10:] + to_json(record(2)) + b"\n")
    path.rename(tmp_path / "records.1.jsonl")
    path.write_bytes(to_json(record(3)) + b"\n")
    assert [1, 2, 3] == numbers(following)
    assert [] == numbers(following)


def test_what_is_no_record_is_counted(tmp_path: Path) -> None:
    """And the next one comes."""
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"{}\n" + to_json(record(1)) + b"\n")
    following = Following(path)
    assert [1] == numbers(following)
    assert 1 == following.unreadable
