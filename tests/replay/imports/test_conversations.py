"""Dialogues become streamed chats, and a file's name says which format it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import messages
from safeguards_extproc.replay.imports import FORMATS, exchanges, guess


def test_every_second_answer_is_the_worse_one(tmp_path: Path) -> None:
    """So that a replay meets both."""
    path = tmp_path / "a.jsonl"
    row = {"messages": [{"role": "user", "content": "Hi"}], "response": "Good", "response_rejected": "Bad"}
    path.write_text("\n".join(json.dumps({"id": f"c{number}", **row}) for number in range(2)))
    said = []
    for taken in exchanges(path):
        answered = messages.sides(taken.messages)[1]
        assert answered is not None
        said.append(b'"content":"Bad"' in b"".join(data for _, data in answered.body))
    assert [False, True] == said


@pytest.mark.parametrize(
    ("name", "format_"),
    [("a.har", "har"), ("a.har.gz", "har"), ("a.json", "tap"), ("a.pb", "tap"), ("a.pb_length_delimited", "tap")],
)
def test_a_name_says_the_format(name: str, format_: str) -> None:
    """As browsers and Envoy name their files."""
    assert format_ == guess(Path(name))
    assert format_ in FORMATS


def test_a_name_that_says_nothing() -> None:
    """Whoever knows says so."""
    with pytest.raises(ConfigError, match="one of har, tap, samples, conversations"):
        guess(Path("a.txt"))
