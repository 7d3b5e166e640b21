"""Traces of Envoy's tap filter become exchanges, however it wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValue  # type: ignore[import-untyped]
from envoy.data.tap.v3.wrapper_pb2 import TraceWrapper  # type: ignore[import-untyped]
from google.protobuf import json_format

from safeguards_extproc.core.taken import Taken
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import messages
from safeguards_extproc.replay.imports import tap

ASKED = {":method": "POST", ":authority": "models.test", ":path": "/v1", "transfer-encoding": "chunked"}


def values(fields: dict[str, str]) -> list[HeaderValue]:
    return [HeaderValue(key=name, value=value) for name, value in fields.items()]


def buffered(question: str = "{}", *, as_bytes: bool = False, answer: bool = True) -> TraceWrapper:
    trace = TraceWrapper()
    found = trace.http_buffered_trace
    found.request.headers.extend(values(ASKED))
    found.request.headers_received_time.FromJsonString("2026-01-01T00:00:00Z")
    if as_bytes:
        found.request.body.as_bytes = question.encode()
    else:
        found.request.body.as_string = question
    if answer:
        found.response.headers.extend(values({":status": "200"}))
        found.response.headers_received_time.FromJsonString("2026-01-01T00:00:00.25Z")
        found.response.body.as_string = "hello"
    return trace


def segments(trace_id: int) -> list[TraceWrapper]:
    found = []
    for name, value in (
        ("request_headers", ASKED),
        ("request_body_chunk", "{"),
        ("request_body_chunk", "}"),
        ("response_headers", {":status": "200"}),
        ("response_body_chunk", "hello"),
    ):
        trace = TraceWrapper()
        segment = trace.http_streamed_trace_segment
        segment.trace_id = trace_id
        if isinstance(value, dict):
            getattr(segment, name).headers.extend(values(value))
        else:
            getattr(segment, name).as_bytes = value.encode()
        found.append(trace)
    return found


def delimited(*traces: TraceWrapper) -> bytes:
    out = bytearray()
    for trace in traces:
        data, length = trace.SerializeToString(), trace.ByteSize()
        while length > 0x7F:
            out.append(length & 0x7F | 0x80)
            length >>= 7
        out.append(length)
        out += data
    return bytes(out)


def said(taken: Taken) -> tuple[str, bytes, str, bytes]:
    asked, answered = messages.sides(taken.messages)
    assert asked is not None
    status = answered.get(":status") if answered else ""
    bodies = [b"".join(data for _, data in side.body) if side else b"" for side in (asked, answered)]
    return asked.get(":path"), bodies[0], status, bodies[1]


WHOLE = ("/v1", b"{}", "200", b"hello")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", json_format.MessageToJson(buffered()).encode()),
        ("a.pb", buffered(as_bytes=True).SerializeToString()),
        ("a.pb_length_delimited", delimited(buffered("{}" + " " * 300))),
    ],
)
def test_a_buffered_trace(tmp_path: Path, name: str, data: bytes) -> None:
    """With the time between question and answer."""
    (tmp_path / name).write_bytes(data)
    (taken,) = tap.exchanges(tmp_path / name)
    path, question, *answer = said(taken)
    assert ("/v1", b"{}", ["200", b"hello"]) == (path, question.strip(), answer)
    answered = messages.sides(taken.messages)[1]
    assert answered is not None
    assert ("2026-01-01T00:00:00Z", 250_000) == (taken.time, answered.at)


def test_streamed_traces_side_by_side(tmp_path: Path) -> None:
    """Their segments are told apart by the trace's number."""
    mixed = [piece for pair in zip(segments(1), segments(2), strict=True) for piece in pair]
    path = tmp_path / "a.pb_length_delimited"
    path.write_bytes(delimited(*mixed))
    assert [WHOLE, WHOLE] == [said(taken) for taken in tap.exchanges(path)]


def test_json_follows_json(tmp_path: Path) -> None:
    """Over many lines, or all on one; a letter of several bytes may lie across what is read at a time."""
    filler = "é" * (1 << 20)
    path = tmp_path / "a.json"
    one, two = (json_format.MessageToJson(trace, ensure_ascii=False) for trace in (buffered(filler), buffered()))
    path.write_text(f"{one}\n{two}{two}\n")
    assert [filler.encode(), b"{}", b"{}"] == [said(taken)[1] for taken in tap.exchanges(path)]


def test_a_request_without_an_answer(tmp_path: Path) -> None:
    """There is none to replay."""
    path = tmp_path / "a.pb"
    path.write_bytes(buffered(answer=False).SerializeToString())
    assert [("/v1", b"{}", "", b"")] == [said(taken) for taken in tap.exchanges(path)]


def test_streams_that_never_end_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that began first is let go."""
    monkeypatch.setattr(tap, "OPEN", 2)
    path = tmp_path / "a.pb_length_delimited"
    path.write_bytes(delimited(*(piece for number in range(5) for piece in segments(number))))
    assert [f"tap-{number}" for number in range(5)] == [taken.id for taken in tap.exchanges(path)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b"xyzzy"),
        ("a.json", b'{"httpBufferedTrace": 1}'),
        ("a.pb", b"\xff"),
        ("a.pb_length_delimited", b"\xff"),
    ],
)
def test_what_is_no_trace_is_said(tmp_path: Path, name: str, data: bytes) -> None:
    """And no word of it."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match="not traces of Envoy's tap filter") as caught:
        list(tap.exchanges(tmp_path / name))
    assert "xyzzy" not in str(caught.value)
