"""Decision records as bytes: one line of JSON each, or the protobuf message safeguards.v1.Decision.

The one rule: what is read back equals what was written, and every record can be written. record.schema.json describes
a line for readers elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from google.protobuf.json_format import ParseDict

from safeguards_extproc.core.decision import Value
from safeguards_extproc.core.record import Record
from safeguards_extproc.pb.decision_pb2 import Decision

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def to_json(record: Record) -> bytes:
    """The record as JSON in UTF-8, without the line's end. A lone surrogate, which UTF-8 cannot say, becomes "?":
    no client may choose a name that keeps its record from being written."""
    try:
        return _encoder.encode(record)
    except UnicodeEncodeError:
        return _encoder.encode(_sayable(msgspec.to_builtins(record)))


def from_json(line: bytes) -> Record:
    """A record from one line. ValueError if it is none; the message names the field, never its content."""
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a decision record: {error}") from None
    except UnicodeDecodeError:
        raise ValueError("not a decision record: not UTF-8") from None


def to_proto(record: Record) -> Decision:
    """The record as a message: all that `to_json` says, at fifty times its cost."""
    fields = msgspec.json.decode(to_json(record))
    for phase in (fields["request"], fields["response"]):
        phase["features"] = {name: _feature(value) for name, value in phase["features"].items()}
        phase["scores"] = {kind: {"scores": scores} for kind, scores in phase["scores"].items()}
        items = phase["item_facts"]
        items["failed"] = {detector: {"items": at} for detector, at in items["failed"].items()}
        for of in items["scores"].values():
            of["scores"] = {name: {"numbers": numbers} for name, numbers in of["scores"].items()}
    return ParseDict(fields, Decision())


def _feature(value: Value) -> Mapping[str, Any]:
    match value:
        case bool():
            return {"truth": value}
        case int():
            return {"integer": value}
        case float():
            return {"number": value}
        case _:
            return {"name": value}


def _sayable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case dict():
            return {_sayable(key): _sayable(item) for key, item in value.items()}
        case list():
            return [_sayable(item) for item in value]
        case _:
            return value
