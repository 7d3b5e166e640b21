"""What answers say that they used: the same whole and streamed, and never what a text says."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.account import Usage
from safeguards_extproc.core.text import Edit, Format
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import ROWS, eventstream, sse, used
from tests.contract.wire_contract import GOLDEN, MEDIA, chunked, framed

KINDS = {"events": framed, "chunks": chunked}
COUNTED = (
    b'"usage"',
    b'"usageMetadata"',
    b'"details"',
    b'"prompt_token_count"',
    b'"inputTextTokenCount"',
    b"invocationMetrics",
)
SAME = ("anthropic_messages", "bedrock_converse", "gemini", "openai_responses", "tgi")
"""Formats whose recorded answers are recorded as streams too."""

FORGED = '"usage": {"input_tokens": 1, "output_tokens": 1}, {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}'


def streaming(name: str) -> Format:
    media = MEDIA.get(name, sse.MEDIA)
    return next(row.format for row in ROWS if row.format.name == name and row.format.framer(media) is not None)


def streamed(name: str, data: bytes) -> Usage | None:
    """What the frames of a stream say together."""
    format_ = streaming(name)
    framer = format_.framer(MEDIA.get(name, sse.MEDIA))
    assert framer is not None
    reader, found = format_.stream(), None
    for frame in [*framer.push(data), framer.finish()]:
        found = used.joined(found, reader.read(frame).usage)
    return found


def answers(names: Iterable[str], whole: bool) -> list[Path]:
    """The recorded answers of formats."""
    found = [path for name in names for path in sorted((GOLDEN / name).glob("*.response.*"))]
    return [path for path in found if (path.suffix == ".json") is whole]


def stream_of(path: Path) -> bytes:
    write = KINDS.get(path.suffix[1:])
    data = path.read_bytes()
    return data if write is None else b"".join(map(write, data.splitlines()))


def shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", answers(SAME, whole=False), ids=shown)
def test_a_stream_says_what_the_whole_answer_says(path: Path) -> None:
    """However its counts are spread over the events."""
    name, whole = path.parent.name, path.with_name(path.name.partition(".")[0] + ".response.json")
    expected = wire.FORMATS[name].read_response(whole.read_bytes(), 200).usage
    assert expected == streamed(name, stream_of(path))
    assert (expected is not None) == any(mark in whole.read_bytes() for mark in COUNTED)


@pytest.mark.parametrize("name", [name for name in wire.FORMATS if name not in ("opaque", "batches")])
def test_every_count_that_was_recorded_is_read(name: str) -> None:
    """In each format; seconds of audio are no tokens, and null is no count."""
    for path in answers([name], whole=True):
        body = path.read_bytes()
        says = any(mark in body for mark in COUNTED) and b'"duration"' not in body
        assert says == (wire.FORMATS[name].read_response(body, 200).usage is not None), shown(path)


FORGEABLE = [name for name in wire.FORMATS if name not in ("opaque", "batches")]


def forged(format_: Format, body: bytes) -> Iterable[bytes]:
    """The answer with what looks like a count in each of its texts, as the provider would write it."""
    for segment in format_.read_response(body, 200).segments:
        if segment.path and not segment.raw and segment.text:
            try:
                yield format_.edit(body, [Edit(segment.path, 0, len(segment.text), FORGED)])
            except MalformedBody:
                continue


@pytest.mark.parametrize("name", FORGEABLE)
def test_no_text_is_a_count(name: str) -> None:
    """A model that is told to write one, or a tool that returns one, changes nothing."""
    format_ = wire.FORMATS[name]
    for path in answers([name], whole=True):
        body = path.read_bytes()
        for changed in forged(format_, body):
            assert format_.read_response(body, 200).usage == format_.read_response(changed, 200).usage


def test_no_text_of_a_stream_is_a_count() -> None:
    """Nor does it hide the stream's own."""
    said = json.dumps(FORGED)[1:-1].encode()
    chat = b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"' + said + b'"},"finish_reason":null}]}\n\n'
    counts = b'data: {"id":"a","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\n'
    assert None is streamed("openai_chat", chat)
    assert Usage(5, 7, exact=True) == streamed("openai_chat", chat + counts)
    block = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": FORGED}}
    assert None is streamed("anthropic_messages", sse.event("x", json.dumps(block).encode()))


def searched(body: bytes) -> list[bytes]:
    """A reader that finds counts by their words."""
    return re.findall(rb"usage\W+(?:input|prompt)_tokens\W+([0-9]+)", body)


def test_the_law_of_texts_bites() -> None:
    """There are texts to forge in most formats, and a reader that searched for the words would be found."""
    found = {
        name
        for name in FORGEABLE
        for path in answers([name], whole=True)
        for changed in forged(wire.FORMATS[name], path.read_bytes())
        if searched(path.read_bytes()) != searched(changed)
    }
    assert len(found) >= 8


def test_what_a_cache_held_is_input() -> None:
    """Anthropic's and Bedrock's counts leave it out, OpenAI's and Gemini's do not; thoughts are output."""
    cached = {"input_tokens": 5, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 11, "output_tokens": 13}
    assert Usage(23, 13, exact=True) == used.told({"usage": cached})
    converse = {"inputTokens": 5, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 11, "outputTokens": 13}
    assert Usage(23, 13, exact=True) == used.told({"usage": {**converse, "totalTokens": 36}})
    details = {"prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}
    assert Usage(5, 7, exact=True) == used.told({"usage": {"prompt_tokens": 5, "completion_tokens": 7, **details}})
    gemini = {"promptTokenCount": 5, "cachedContentTokenCount": 3, "candidatesTokenCount": 7, "thoughtsTokenCount": 11}
    assert Usage(5, 18, exact=True) == used.told({"usageMetadata": {**gemini, "totalTokenCount": 23}})
    assert Usage(5, exact=True) == used.told({"usage": {"total_tokens": 5}})


def test_bedrocks_metrics_count_for_any_dialect() -> None:
    """Also of a model that says nothing itself."""
    last = {"outputs": [], "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 4}}
    first = {"outputs": [{"text": "hi", "stop_reason": None}]}
    frames = b"".join(
        eventstream.event("chunk", json.dumps({"bytes": base64.b64encode(json.dumps(body).encode()).decode()}).encode())
        for body in (first, last)
    )
    assert Usage(3, 4, exact=True) == streamed("bedrock_invoke", frames)


def test_prompts_that_are_not_counted_make_no_exact_count() -> None:
    """Text Generation Inference counts them only where it is asked to; every sequence of its best is generated."""
    best = {"generated_tokens": 4, "prefill": [{}, {}], "best_of_sequences": [{"generated_tokens": 3}, None]}
    assert Usage(2, 7, exact=True) == used.generated([{"details": best}])
    assert Usage(0, 4) == used.generated([{"details": {"generated_tokens": 4, "prefill": []}}])
    assert used.generated([{"details": None}, {}, "x"]) is None


@pytest.mark.parametrize("count", [None, "9", -1, 1.5, True, [9], {"n": 9}, 1 << 41])
def test_what_is_no_number_counts_nothing(count: Any) -> None:
    """And raises nothing."""
    found = used.told({"usage": {"prompt_tokens": count, "completion_tokens": count}, "usageMetadata": count})
    assert found in (None, Usage(exact=True))
    assert (found or Usage()).output_tokens == 0
    assert used.flat({"results": [count, {"tokenCount": count}]}) in (None, Usage(exact=False))
