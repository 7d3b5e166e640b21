"""What was said in an exchange, for whoever may read it."""

from __future__ import annotations

import time
from pathlib import Path

from safeguards_extproc.replay import capture
from safeguards_extproc.replay.source import Frame, source
from safeguards_extproc.replay.texts import MOST, texts
from tests.replay.worlds import BAD, HARMLESS, decided, sample


def frames(*names: str) -> list[Frame]:
    return [Frame(n, n, n, capture.encode(decided(name)), None, "test") for n, name in enumerate(names)]


def test_both_directions_are_shown() -> None:
    """Who says what: the question, and a whole answer by its format; a stream as it came."""
    id_ = {name: record.id for name in ("whole", "harmless") if (record := decided(name).record)}
    found = texts(frames("whole", "harmless", "bad question"), set(id_.values()))
    assert set(id_.values()) == found.keys()
    assert f"user: {HARMLESS}" in found[id_["whole"]]
    assert "content: " in found[id_["whole"]]
    assert "data: " in found[id_["harmless"]]


def test_only_what_was_asked_for(tmp_path: Path) -> None:
    """By id, and no more than a page can show; a frame that cannot be opened, because it was moved, is passed over."""
    keys, now = tmp_path / "keys.yaml", time.time()
    keys.write_text(capture.new_key("k"))
    first = capture.read_keys(keys)[0]
    writer = capture.Writer(tmp_path / "one.capture", capture.Head("one", now, now + 60, first.id), first)
    writer.write(sample("moved"))
    writer.close()
    (whole,) = source([tmp_path / "one.capture"], keys, now).frames()
    broken = whole._replace(within=7)
    long = Frame(1, 1, 1, capture.encode(sample("long", BAD + "x" * 9 * MOST)), None, "test")
    found = texts([broken, long, *frames("bad answer")], {"long", "moved"})
    assert ["long"] == list(found)
    assert found["long"].startswith(f"user: {BAD}")
    assert len(found["long"]) < 3 * MOST
