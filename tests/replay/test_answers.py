"""Scripted answers on the wire: however they are cut, a client reads the script."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.replay.answers import DIALECTS, pieces, writes
from safeguards_extproc.replay.outcome import read
from safeguards_extproc.replay.traffic import Answer, ToolCall

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(text=TEXT, size=st.integers(0, 9))
def test_pieces_lose_nothing(text: str, size: int) -> None:
    """Cut by words or by characters, the pieces are the text."""
    assert text == "".join(pieces(text, size))


@settings(max_examples=40)
@given(
    dialect=st.sampled_from(sorted(DIALECTS)),
    text=TEXT,
    reasoning=TEXT,
    piece=st.integers(0, 5),
    chunk=st.integers(0, 50),
)
def test_streamed_or_whole_a_client_reads_the_same(
    dialect: str, text: str, reasoning: str, piece: int, chunk: int
) -> None:
    """The same answer says the same, streamed in any cut or in one body."""
    calls = [ToolCall(name="lookup", arguments={"key": text})]
    answer = Answer(text=text, reasoning=reasoning, tool_calls=calls, piece=piece, chunk=chunk)
    stream = b"".join(writes(answer, DIALECTS[dialect].events(answer, "m")))
    whole = json.dumps(DIALECTS[dialect].whole(answer, "m")).encode()
    streamed, read_whole = read(stream, 200, "text/event-stream"), read(whole, 200, "application/json")
    assert _plain(read_whole) == _plain(streamed)
    assert (True, read_whole.finishes) == (streamed.ended, streamed.finishes)
    assert {text, reasoning} - {""} <= set(streamed.texts.values())


def _plain(seen: Any) -> dict[str, str]:
    """Texts that are not empty, arguments without the spaces that JSON allows."""
    return {
        name: "".join(text.split()) if name.startswith("tool") else text for name, text in seen.texts.items() if text
    }


@pytest.mark.parametrize(("chunk", "sizes"), [(1, {1}), (7, {7, 1, 2, 3, 4, 5, 6})])
def test_a_chunk_size_cuts_wherever_events_end(chunk: int, sizes: set[int]) -> None:
    """A script that asks for tiny writes gets them, inside characters and between the two newlines of an event."""
    answer = Answer(text="naïve café", chunk=chunk)
    cut = list(writes(answer, DIALECTS["openai_chat"].events(answer, "m")))
    assert {len(part) for part in cut} <= sizes
    assert b"".join(DIALECTS["openai_chat"].events(answer, "m")) == b"".join(cut)


def test_choices_come_interleaved() -> None:
    """Two answers to one question arrive by turns, as servers send them."""
    answer = Answer(text="one two", choices=["three four"])
    stream = b"".join(DIALECTS["openai_chat"].events(answer, "m"))
    order = [json.loads(line[6:])["choices"] for line in stream.decode().split("\n\n") if "content" in line]
    assert [choices[0]["index"] for choices in order] == [0, 1, 0, 1, 0, 1]
    seen = read(stream, 200, "text/event-stream")
    assert seen.texts == {"content/0": "one two", "content/1": "three four"}
