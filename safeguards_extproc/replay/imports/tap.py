"""Envoy's tap filter (envoy/data/tap/v3): buffered traces, and streamed ones whose segments follow one another.

As JSON, one trace after the other in a file (`JSON_BODY_AS_STRING` and `_AS_BYTES`), or in protobuf: `.pb` is one
trace, `.pb_length_delimited` many.
"""

from __future__ import annotations

import codecs
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envoy.data.tap.v3.wrapper_pb2 import TraceWrapper  # type: ignore[import-untyped]
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from safeguards_extproc.core.taken import Taken
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import messages
from safeguards_extproc.replay.messages import Side
from safeguards_extproc.replay.traffic import opened

LARGEST = 64 << 20
"""Bytes of one trace."""

OPEN = 256
"""Streamed traces whose end has not come; of more, the one that began first ends."""

_SPACE = " \t\r\n"


def exchanges(path: Path) -> Iterator[Taken]:
    """Every exchange, as its trace ends; those that never end, at the file's end."""
    streamed: dict[int, tuple[Side, Side]] = {}
    number = 0
    for trace in _traces(path):
        kind = trace.WhichOneof("trace")
        if kind == "http_buffered_trace":
            found = _buffered(f"tap-{number}", trace.http_buffered_trace)
            number += 1
            yield found
        elif kind == "http_streamed_trace_segment":
            segment = trace.http_streamed_trace_segment
            asked, answered = streamed.setdefault(segment.trace_id, (Side(), Side()))
            _add(segment, asked, answered)
            if len(streamed) > OPEN:
                yield _streamed(*streamed.pop(next(iter(streamed))), f"tap-{number}")
                number += 1
    for asked, answered in streamed.values():
        yield _streamed(asked, answered, f"tap-{number}")
        number += 1


def _buffered(id: str, trace: Any) -> Taken:
    asked = Side(_headers(trace.request.headers), _body(trace.request.body))
    answered = None
    if trace.HasField("response"):
        started, came = trace.request.headers_received_time, trace.response.headers_received_time
        after = max((came.ToNanoseconds() - started.ToNanoseconds()) // 1000, 0)
        body = [(after, data) for _, data in _body(trace.response.body)]
        answered = Side(_headers(trace.response.headers), body, after)
    said = trace.request.headers_received_time
    return Taken(id, said.ToJsonString() if said.ByteSize() else "", messages.messages(asked, answered))


def _add(segment: Any, asked: Side, answered: Side) -> None:
    match segment.WhichOneof("message_piece"):
        case "request_headers":
            asked.headers = _headers(segment.request_headers.headers)
        case "response_headers":
            answered.headers = _headers(segment.response_headers.headers)
        case "request_body_chunk":
            asked.body += _body(segment.request_body_chunk)
        case "response_body_chunk":
            answered.body += _body(segment.response_body_chunk)


def _streamed(asked: Side, answered: Side, id: str) -> Taken:
    return Taken(id, "", messages.messages(asked, answered if answered.headers else None))


def _headers(headers: Any) -> list[tuple[str, str]]:
    found = [(each.key.lower(), each.value or each.raw_value.decode("latin-1")) for each in headers]
    return [pair for pair in found if pair[0] not in messages.HOP_BY_HOP]


def _body(body: Any) -> list[tuple[int, bytes]]:
    data: bytes = body.as_bytes or body.as_string.encode("utf-8", "replace")
    return [(0, data)] if data else []


def _traces(path: Path) -> Iterator[Any]:
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".pb_length_delimited"):
            yield from _delimited(path)
        elif name.endswith(".pb"):
            with opened(path) as file:
                yield TraceWrapper.FromString(file.read(LARGEST))
        else:
            yield from _json(path)
    except OSError as error:
        raise ConfigError("cannot be read", where=str(path), hint=type(error).__name__) from None
    except (DecodeError, json_format.ParseError, ValueError, struct.error):
        raise ConfigError("not traces of Envoy's tap filter", where=str(path)) from None


def _delimited(path: Path) -> Iterator[Any]:
    """Messages that each have their length before them, as a varint. ValueError where one is cut short."""
    with opened(path) as file:
        while first := file.read(1):
            length, shift = first[0] & 0x7F, 7
            while first[:1] >= b"\x80":
                first = file.read(1)
                length |= (ord(first or b"\0") & 0x7F) << shift
                shift += 7
            data = file.read(min(length, LARGEST))
            if len(data) < length or not first:
                raise ValueError
            yield TraceWrapper.FromString(data)


def _json(path: Path) -> Iterator[Any]:
    """JSON values that follow one another, whatever stands between them: Envoy writes them over many lines."""
    decoder, text, held = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")(errors="replace"), ""
    with opened(path) as file:
        while piece := file.read(1 << 20):
            held += text.decode(piece)
            while held := held.lstrip(_SPACE):
                try:
                    value, end = decoder.raw_decode(held)
                except ValueError:
                    if len(held) > LARGEST:
                        raise
                    break
                held = held[end:]
                yield json_format.ParseDict(value, TraceWrapper(), ignore_unknown_fields=True)
    if held.strip(_SPACE):
        raise ValueError
