"""An HTTP Archive becomes exchanges."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import messages
from safeguards_extproc.replay.imports import har


def entry(**answer: Any) -> dict[str, Any]:
    return {
        "startedDateTime": "2026-01-01T00:00:00.000Z",
        "time": 40.5,
        "timings": {"send": 1, "wait": 12.5, "receive": 27},
        "request": {
            "method": "POST",
            "url": "https://models.test:8443/v1/chat/completions?x=1",
            "headers": [{"name": "Content-Type", "value": "application/json"}],
            "postData": {"mimeType": "application/json", "text": '{"é":1}'},
        },
        "response": {
            "status": 200,
            "headers": [{"name": "Content-Encoding", "value": "br"}, {"name": "X-A", "value": "1"}],
            "content": {"size": 2, "mimeType": "application/json", "text": "{}"},
            **answer,
        },
    }


def write(path: Path, *entries: dict[str, Any]) -> Path:
    data = json.dumps({"log": {"version": "1.2", "creator": {"name": "x"}, "entries": list(entries)}}).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.har", "a.har.gz"])
def test_an_entry_is_an_exchange(tmp_path: Path, name: str) -> None:
    """Bodies stand in it decoded, and times are of its answer's first and last byte."""
    (taken,) = har.exchanges(write(tmp_path / name, entry()))
    asked, answered = messages.sides(taken.messages)
    assert asked is not None
    assert answered is not None
    assert ("har-0", "2026-01-01T00:00:00.000Z") == (taken.id, taken.time)
    assert ("models.test:8443", "/v1/chat/completions?x=1") == (asked.get(":authority"), asked.get(":path"))
    assert [(0, '{"é":1}'.encode())] == asked.body
    assert ([(":status", "200"), ("x-a", "1")], [(40_500, b"{}")], 12_500) == (
        answered.headers,
        answered.body,
        answered.at,
    )


def test_bytes_stand_in_base64(tmp_path: Path) -> None:
    """As browsers write what is no text."""
    content = {"text": base64.b64encode(b"\xff\x00").decode(), "encoding": "base64"}
    (taken,) = har.exchanges(write(tmp_path / "a.har", entry(content=content)))
    answered = messages.sides(taken.messages)[1]
    assert answered is not None
    assert [b"\xff\x00"] == [data for _, data in answered.body]


def test_a_request_may_have_no_answer(tmp_path: Path) -> None:
    """A browser writes status 0 where none came."""
    (taken,) = har.exchanges(write(tmp_path / "a.har", entry(status=0)))
    assert messages.sides(taken.messages)[1] is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"log": {}}', "entries"),
        (b"xyzzy", "malformed"),
        (b'{"log": {"entries": [{"request": 1}]}}', "Expected"),
        (b"\xff\xfe", "a.har"),
    ],
)
def test_what_is_no_archive_is_said(tmp_path: Path, data: bytes, said: str) -> None:
    """With its place, and no word of it."""
    (tmp_path / "a.har").write_bytes(data)
    with pytest.raises(ConfigError, match=said) as caught:
        list(har.exchanges(tmp_path / "a.har"))
    assert "xyzzy" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"entry 0: a URL or a body"):
        list(har.exchanges(write(tmp_path / "b.har", entry(content={"text": "é", "encoding": "base64"}))))
