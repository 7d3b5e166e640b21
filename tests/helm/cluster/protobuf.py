"""Bodies in Kubernetes' protobuf form, in which Helm 4 sends the Secrets that it keeps releases in.

Field numbers are those of k8s.io/apimachinery/pkg/runtime/generated.proto (Unknown), pkg/apis/meta/v1 (ObjectMeta) and
k8s.io/api/core/v1 (Secret).
"""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

MAGIC = b"k8s\x00"
_STRING, _BYTES, _MESSAGE = 9, 12, 11


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="k8s.proto", package="k8s", syntax="proto2")

    def message(name: str, fields: dict[str, tuple[int, int, str]], maps: dict[str, tuple[int, int]]) -> None:
        made = file.message_type.add(name=name)
        for field, (number, kind, of) in fields.items():
            made.field.add(name=field, number=number, type=kind, label=1, type_name=of or None)
        for field, (number, value) in maps.items():
            entry = made.nested_type.add(name=f"{field.capitalize()}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=_STRING, label=1)
            entry.field.add(name="value", number=2, type=value, label=1)
            made.field.add(name=field, number=number, type=_MESSAGE, label=3, type_name=f".k8s.{name}.{entry.name}")

    message("Unknown", {"raw": (2, _BYTES, "")}, {})
    meta = {"name": 1, "generateName": 2, "namespace": 3, "uid": 5, "resourceVersion": 6}
    strings = {name: (number, _STRING, "") for name, number in meta.items()}
    message("ObjectMeta", strings, {"labels": (11, _STRING), "annotations": (12, _STRING)})
    secret = {"metadata": (1, _MESSAGE, ".k8s.ObjectMeta"), "type": (3, _STRING, "")}
    message("Secret", secret, {"data": (2, _BYTES)})
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"k8s.{name}"))
        for name in ("Unknown", "Secret")
    }


_CLASSES = _classes()


def secret(body: bytes) -> dict[str, Any]:
    """The Secret in a protobuf body."""
    found = _CLASSES["Secret"].FromString(_CLASSES["Unknown"].FromString(body.removeprefix(MAGIC)).raw)
    meta: dict[str, Any] = {
        name: getattr(found.metadata, name)
        for name in ("name", "generateName", "namespace", "uid", "resourceVersion")
        if getattr(found.metadata, name)
    }
    meta |= {name: dict(value) for name in ("labels", "annotations") if (value := getattr(found.metadata, name))}
    data = {key: base64.b64encode(value).decode() for key, value in found.data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": found.type, "data": data}
