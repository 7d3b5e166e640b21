"""Conversation files become traffic files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.convert import Which, convert
from safeguards_extproc.replay.traffic import read

ROWS = (
    '{"id":"c1","messages":[{"role":"user","content":"Hi"}],"response":"Hello","response_rejected":"Go away"}\n'
    '{"id":"c2","messages":[{"role":"user","content":"Hi"}],"response":"Good day","response_rejected":"Shoo"}\n'
    '{"id":"c3","messages":[{"role":"user","content":"Hi"}],"response":"Welcome","extra":1}\n'
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "conversations.jsonl.gz"
    path.write_bytes(gzip.compress(ROWS.encode()))
    return path


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ("preferred", ["Hello", "Good day", "Welcome"]),
        ("rejected", ["Go away", "Shoo", "Welcome"]),
        ("alternate", ["Hello", "Shoo", "Welcome"]),
    ],
)
def test_each_dialogue_becomes_one_exchange(source: Path, tmp_path: Path, answer: Which, texts: list[str]) -> None:
    """A dialogue keeps its turns, and its answer is the one asked for."""
    target = tmp_path / "traffic.jsonl"
    assert convert(source, target, answer=answer) == 3
    exchanges = read(target)
    assert texts == [exchange.answer.text for exchange in exchanges]
    assert [(row.id, row.stream, row.messages[0].content) for row in exchanges[:1]] == [("c1", True, "Hi")]


def test_a_limit_takes_the_first(source: Path, tmp_path: Path) -> None:
    """A quick look needs only a few, in another dialect if one likes."""
    target = tmp_path / "traffic.jsonl"
    assert convert(source, target, limit=2, format_name="anthropic_messages", stream=False) == 2
    assert [(row.format, row.stream) for row in read(target)] == [("anthropic_messages", False)] * 2


def test_a_line_that_is_no_dialogue_is_said(tmp_path: Path) -> None:
    """The slip is named with its line, and no text of it."""
    path = tmp_path / "bad.jsonl"
    path.write_text(ROWS + '{"id":"c4","messages":"xyzzy"}\n')
    with pytest.raises(ConfigError, match=r"bad\.jsonl:4") as caught:
        convert(path, tmp_path / "out.jsonl")
    assert "xyzzy" not in str(caught.value)
