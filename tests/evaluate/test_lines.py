"""The line format: what is read, and what is said of a line that cannot be used."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.evaluate.lines import read, sample

SECRET = "the words of a person"
LINE = {"text": SECRET, "role": "tool", "labels": {"attack": 1, "weird/label-2": False}, "source": "s", "id": "1"}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def test_a_text_with_its_labels() -> None:
    """Any label is kept, members that nobody knows are not read, and what is not said has a default."""
    found = sample(encoded({**LINE, "split": "dev"}), "f:1", "file")
    assert ("tool", {"attack": 1, "weird/label-2": 0}, {"source": "s"}) == (found.role, found.labels, found.groups)
    assert found.text == SECRET
    assert found.answer is None
    assert SECRET not in repr(found)
    bare = sample(b'{"text": "x"}', "f:1", "file")
    assert ("user", {}, {"source": "file"}) == (bare.role, bare.labels, bare.groups)


def test_an_exchange() -> None:
    """A question and its answer."""
    found = sample(encoded({"prompt": "q", "response": "a", "labels": {"unsafe": 0}, "category": "c"}), "f:1", "file")
    assert ("q", "a", {"unsafe": 0}) == (found.text, found.answer, found.labels)
    assert {"source": "file", "category": "c"} == found.groups


BROKEN = {
    "not JSON": b'{"text": "the words of a person"',
    "a key twice": b'{"text": "the words of a person", "text": "y"}',
    "a list": b'["the words of a person"]',
    "half a pair": b'{"text": "\\ud800 the words of a person"}',
    "not UTF-8": b'{"text": "the words of a person \xff"}',
    "no text": encoded({"labels": {}, "note": SECRET}),
    "text that is none": encoded({"text": [SECRET]}),
    "nothing said": encoded({"text": "  ", "note": SECRET}),
    "both shapes": encoded({**LINE, "response": SECRET}),
    "half an exchange": encoded({"prompt": SECRET}),
    "an unknown role": encoded({**LINE, "role": SECRET}),
    "labels that are none": encoded({**LINE, "labels": [SECRET]}),
    "a label that is a word": encoded({**LINE, "labels": {"attack": SECRET}}),
    "a label of two": encoded({**LINE, "labels": {"attack": 2}}),
    "a label that is a share": encoded({**LINE, "labels": {"attack": 0.5}}),
    "a label that is null": encoded({**LINE, "labels": {"attack": None}}),
    "a label called as nothing is": encoded({**LINE, "labels": {SECRET: 1}}),
    "a source that is a number": encoded({**LINE, "source": 1}),
    "a category with a line in it": encoded({**LINE, "category": SECRET + "\n"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_used_is_said_with_its_line(name: str, tmp_path: Path) -> None:
    """File, line and what to mend; never the text."""
    file = tmp_path / "lines.jsonl"
    file.write_bytes(encoded(LINE) + b"\n\n" + BROKEN[name] + b"\n")
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert f"{file}:3" == caught.value.where
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("limit", [0, 2])
def test_plain_and_packed_files_say_the_same(limit: int, tmp_path: Path) -> None:
    """The digest is that of the lines that were read."""
    lines = b"".join(encoded({**LINE, "id": str(number)}) + b"\n" for number in range(3))
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    plain.write_bytes(lines)
    packed.write_bytes(gzip.compress(lines))
    one, samples = read(plain, limit)
    other, _ = read(packed, limit)
    assert (limit or 3) == len(samples) == one.lines
    assert one.digest == other.digest
    assert samples[1].where == f"{plain}:2"


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """Missing, empty, or not what its name says."""
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(gzip.compress(encoded(LINE) * 100)[:-9])
    spoilt = tmp_path / "spoilt.jsonl.gz"
    spoilt.write_bytes(gzip.compress(b"")[:10] + b"\xff" * 20)
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"\n")
    for file in (torn, spoilt, empty, tmp_path / "none.jsonl"):
        with pytest.raises(ConfigError, match=file.name):
            read(file)
