"""Dialogues, one a line (replay/convert.py), as streamed chats; every second one is answered as nobody should."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safeguards_extproc.core.taken import Taken
from safeguards_extproc.replay import convert
from safeguards_extproc.replay.imports import samples


def exchanges(path: Path) -> Iterator[Taken]:
    """Every line, in order."""
    for number, row in enumerate(convert.conversations(path)):
        yield samples.taken(convert.exchange(row, number, answer="alternate", format_name="openai_chat", stream=True))
