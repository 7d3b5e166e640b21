"""The fuzz targets hold for valid inputs, for what fuzzing once found, and catch a parser that breaks its promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.targets import FORMATS, TARGETS, Target, seeds, wire_format
from safeguards_extproc.core.text import Document
from safeguards_extproc.wire.openai_chat import OpenAIChat

REGRESSIONS = Path(__file__).parent / "regressions"


@pytest.mark.parametrize(("name", "target"), TARGETS.items(), ids=TARGETS)
def test_seeds_and_what_was_found_hold(name: str, target: Target) -> None:
    """A few valid inputs, each cut short too; every input that once broke a promise."""
    for seed in list(seeds(name))[:4]:
        target(seed)
        target(seed[: len(seed) // 2])
    for file in sorted((REGRESSIONS / name).glob("*")):
        target(file.read_bytes())


def test_a_parser_that_breaks_its_promise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: any other error than MalformedBody."""

    class Careless(OpenAIChat):
        def read_request(self, body: bytes) -> Document:
            return Document([], model=str(body[0]))

    monkeypatch.setitem(FORMATS, "openai_chat", Careless())
    with pytest.raises(IndexError):
        wire_format("openai_chat", b"")
