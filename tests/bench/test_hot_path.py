"""The hot path does not grow by more than a twentieth unless somebody notes it: `python -m bench.hot_path --note`."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from bench import hot_path
from safeguards_extproc.adapters import extproc

NOTE: dict[str, Any] = json.loads(hot_path.NOTE.read_text())
BYTECODES, INSTRUCTIONS = NOTE["bytecodes"].get(hot_path.VERSION), NOTE["instructions"].get(hot_path.BUILD)


class Careless(hot_path.Played):
    """Reads the request's headers anew for every message."""

    def play(self, messages: list[bytes]) -> None:
        for _ in messages:
            extproc.opened(messages[0])
        super().play(messages)


@pytest.mark.long
@pytest.mark.skipif(not BYTECODES, reason=f"nobody noted what Python {hot_path.VERSION} executes")
@pytest.mark.interpreted
def test_an_exchange_executes_no_more_bytecodes_than_were_noted() -> None:
    """A short chat, a prompt of 8 KB, an answer of a hundred events."""
    assert [] == hot_path.grown(hot_path.executed(), BYTECODES)


@pytest.mark.long
@pytest.mark.interpreted
def test_headers_that_are_read_for_every_message_are_noticed() -> None:
    """Planted: a tenth of a short chat."""
    assert hot_path.grown(hot_path.executed(Careless), hot_path.executed())


@pytest.mark.real
@pytest.mark.timeout(600)
@pytest.mark.skipif(not INSTRUCTIONS, reason=f"nobody noted what Python {hot_path.BUILD} takes")
@pytest.mark.skipif(not shutil.which("valgrind"), reason="no valgrind: apt-get install valgrind")
@pytest.mark.interpreted
def test_an_exchange_takes_no_more_instructions_than_were_noted() -> None:
    """What C code does for an exchange counts too: parsing, searching, encoding."""
    assert [] == hot_path.grown(hot_path.instructions(), INSTRUCTIONS)


def test_what_grows_by_more_than_a_twentieth_is_named() -> None:
    """And so is what nobody noted; less, or a little more, is not."""
    noted = {"short": 100.0, "long": 1000.0}
    assert [] == hot_path.grown({"short": 104.9, "long": 500.0}, noted)
    assert ["short", "new"] == [
        each.partition(":")[0] for each in hot_path.grown({"short": 105.1, "long": 1049.0, "new": 1.0}, noted)
    ]
