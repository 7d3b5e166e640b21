"""Files to replay, one exchange after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import capture
from safeguards_extproc.replay.source import source
from safeguards_extproc.replay.traffic import Answer, Exchange, Message, write
from tests.replay.worlds import sample

NOW = 1_000.0


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys.yaml"
    path.write_text(capture.new_key("k"))
    return path


def captured(path: Path, key: Path, *ids: str, ended: bool = True) -> Path:
    first = capture.read_keys(key)[0]
    writer = capture.Writer(path, capture.Head(path.stem, NOW, NOW + 60, first.id), first)
    for id in ids:
        writer.write(sample(id))
    writer.close(ended=ended)
    return path


def test_files_follow_one_another(tmp_path: Path, key: Path) -> None:
    """A folder's captures in the order of their names; other formats beside them; all are counted through."""
    folder = tmp_path / "folder"
    folder.mkdir()
    captured(folder / "b.capture", key, "b1")
    captured(folder / "a.capture", key, "a1", "a2", ended=False)
    traffic = tmp_path / "t.jsonl"
    write(traffic, [Exchange("t1", "openai_chat", [Message("user", "Hi")], answer=Answer("Hello"))])

    found = source([folder, traffic], key, NOW)
    frames = list(found.frames())

    assert ["a1", "a2", "b1", "t1"] == [frame.open().id for frame in frames]
    assert [0, 1, 2, 3] == [frame.number for frame in frames]
    assert [frame.done for frame in frames] == sorted(frame.done for frame in frames)
    assert frames[-1].done <= found.size
    assert [f"{folder}/a.capture: not closed, 0 bytes after its last whole exchange"] == found.unfinished
    assert "bluefinch" not in repr(frames)


def test_a_source_has_a_name(tmp_path: Path, key: Path) -> None:
    """The same files the same, others another: a replay that goes on must know which it was."""
    one, two = captured(tmp_path / "one.capture", key, "a"), captured(tmp_path / "two.capture", key, "a")
    assert source([one], key, NOW).id == source([one], key, NOW).id
    assert source([one], key, NOW).id != source([two], key, NOW).id


def test_what_cannot_be_replayed_is_said_at_once(tmp_path: Path, key: Path) -> None:
    """Before hours of work, not after."""
    path = captured(tmp_path / "one.capture", key, "a")
    with pytest.raises(ConfigError, match="a capture needs its key"):
        source([path], None, NOW)
    with pytest.raises(ConfigError, match="has expired"):
        source([path], key, NOW + 60)
    with pytest.raises(ConfigError, match="no such file"):
        source([tmp_path / "absent"], key, NOW)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no capture in it"):
        source([tmp_path / "empty"], key, NOW)
