"""Messages of Envoy as plain values, as its YAML has them: defaults left out, but for those that people must see.

protobuf's own `MessageToDict` leaves every default out, and `failure_mode_allow: false` is the line that matters most.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.symbol_database import Default

SPELLED = {
    "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor": ("failure_mode_allow",),
    "envoy.type.v3.Percent": ("value",),
    "envoy.config.cluster.v3.Cluster": ("type",),
    "envoy.config.cluster.v3.CircuitBreakers.Thresholds": ("priority",),
}
"""Fields that are written even where they have their default."""

FIRST = ("@type", "name", "priority", "grpc_service", "failure_mode_allow", "status_on_error")
"""Fields that are written before the others, which come in the order of their numbers."""


def plain(message: Message) -> dict[str, Any]:
    """A message as nested dicts and lists, with `@type` where one is packed into another."""
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return _spelled(message, found)


def _spelled(message: Message, found: dict[str, Any]) -> dict[str, Any]:
    if isinstance(message, Packed):
        inner = Default().GetSymbol(message.TypeName())()
        message.Unpack(inner)
        message = inner
    for name in SPELLED.get(message.DESCRIPTOR.full_name, ()):
        if name not in found:
            field, value = message.DESCRIPTOR.fields_by_name[name], getattr(message, name)
            found[name] = field.enum_type.values_by_number[value].name if field.enum_type else value
    for field, value in message.ListFields():
        match value, found.get(field.name):
            case Message(), dict(rows):
                found[field.name] = _spelled(value, rows)
            case _, dict(rows):
                found[field.name] = {
                    key: _spelled(value[key], rows[key]) if isinstance(rows[key], dict) else rows[key]
                    for key in sorted(rows)
                }
            case _, list(rows):
                pairs = zip(value, rows, strict=True)
                found[field.name] = [_spelled(each, row) if isinstance(row, dict) else row for each, row in pairs]
            case _:
                pass
    return {
        name: found[name] for name in sorted(found, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    }
