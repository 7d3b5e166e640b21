"""KServe v2 and Triton's generate extension: where text stands in tensors, and in the members that become tensors.

A model names its inputs as it likes, so an input is the user's text unless its name says otherwise. Channels: element n
of `text_input` is (USER, "n"), of `text_output` (CONTENT, "n"); of the tensor at another place p it is "p.n".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from safeguards_extproc.core.text import Channel, Kind, Path
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.leaves import Leaves, words
from safeguards_extproc.wire.strict_json import loads

FIELDS: Channel = (Kind.OTHER, "fields")
ERROR: Channel = (Kind.ERROR, "error")

_TEXTS = words("text_input text_output")
_INSTRUCTIONS = words("system system_prompt")
_PARAMETERS = words(
    "parameters sampling_parameters stop_words bad_words stop lora_name lora_path id request_id model model_name "
    "exclude_input_in_output return_log_probs finish_reason"
)
_MEDIA = {"image": "image", "images": "image", "audio": "audio", "video": "video", "multi_modal_data": "image"}
_IDENTIFIERS = words(
    "id name datatype model_name model_version shared_memory_region finish_reason request_id lora_name"
)
_TENSOR_READ = frozenset(("data",))


def read_object(body: bytes, max_values: int = 0) -> tuple[dict[str, Any], int]:
    """The JSON object that a body is or begins with, and how many bytes of tensors follow it.

    The binary tensor extension puts them behind the object, which says how many there are; any other number is
    MalformedBody("trailing-data"). Where the object ends can be read in one way only, whatever a header says.
    """
    end = len(body)
    try:
        value = loads(body, max_values=max_values)
    except MalformedBody as error:
        end = _object_end(body)
        if error.reason not in ("trailing-data", "encoding", "values") or not 0 < end < len(body):
            raise
        value = loads(body[:end], max_values=max_values)
    if not isinstance(value, dict):
        raise MalformedBody("shape")
    if sum(_binary_sizes(value)) != len(body) - end:
        raise MalformedBody("trailing-data", offset=end)
    return value, len(body) - end


def _object_end(body: bytes) -> int:
    """In bytes, for JSON's punctuation is one byte each in UTF-8; 0 where there is no whole object."""
    try:
        return json.JSONDecoder().raw_decode(body.decode("latin-1"))[1] if body.startswith(b"{") else 0
    except (ValueError, RecursionError):
        return 0


def _binary_sizes(value: dict[str, Any]) -> Iterator[int]:
    for name in ("inputs", "outputs"):
        for tensor in value[name] if isinstance(value.get(name), list) else ():
            match tensor:
                case {"parameters": {"binary_data_size": int(size)}} if size >= 0:
                    yield size


def request(leaves: Leaves, body: dict[str, Any], binary: int) -> int:
    """Read a request of either kind; returns how many texts it holds."""
    if isinstance(body.get("inputs"), list):
        _tensors(leaves, body, "inputs", Kind.USER, binary)
    else:
        for position, (name, value) in enumerate(body.items()):
            _input(leaves, name, value, (name,), Kind.USER, position)
    return len({segment.channel for segment in leaves.segments if segment.channel[0] is Kind.USER})


def response(leaves: Leaves, body: dict[str, Any], binary: int = 0) -> None:
    """Read an answer of either kind, or one event of a stream."""
    if "error" in body:
        leaves.tree(ERROR, body["error"], ("error",))
    if isinstance(body.get("outputs"), list):
        _tensors(leaves, body, "outputs", Kind.CONTENT, binary)
    else:
        if "text_output" in body:
            _elements(leaves, Kind.CONTENT, "", body["text_output"], ("text_output",))
        leaves.rest(FIELDS, body, (), _RESPONSE_KNOWN, _IDENTIFIERS)


_RESPONSE_KNOWN = frozenset(("text_output", "error"))


def _tensors(leaves: Leaves, body: dict[str, Any], member: str, kind: Kind, binary: int) -> None:
    if binary:
        leaves.unread.add("binary-tensors")
    for position, tensor in enumerate(body[member]):
        here: Path = (member, position)
        if not isinstance(tensor, dict):
            leaves.tree((kind, f"{position}.0"), tensor, here)
            continue
        name, parameters = tensor.get("name"), tensor.get("parameters")
        if isinstance(parameters, dict) and "shared_memory_region" in parameters:
            leaves.unread.add("shared-memory")
        _input(leaves, name if isinstance(name, str) else "", tensor.get("data"), (*here, "data"), kind, position)
        leaves.rest(FIELDS, tensor, here, _TENSOR_READ, _IDENTIFIERS)
    leaves.rest(FIELDS, body, (), frozenset((member, "error")), _IDENTIFIERS)


def _input(leaves: Leaves, name: str, value: object, path: Path, kind: Kind, position: int) -> None:
    """One tensor, or the member that becomes one, by its name."""
    if name in _MEDIA and value:
        leaves.unread.add(_MEDIA[name])
        for text, place in _strings(value, path):
            leaves.file(FIELDS, text, place, _MEDIA[name])
    elif name in _PARAMETERS:
        if len(path) > 1:
            leaves.tree(FIELDS, value, path)
        else:
            leaves.rest(FIELDS, {name: value}, (), frozenset(), _IDENTIFIERS)
    elif name in _INSTRUCTIONS:
        _elements(leaves, Kind.SYSTEM, f"{position}.", value, path)
    else:
        if len(path) == 1:
            leaves.rest(FIELDS, {name: None}, (), frozenset(), frozenset())
        _elements(leaves, kind, "" if name in _TEXTS else f"{position}.", value, path)
        if isinstance(value, list) and _holds_numbers(value):
            leaves.unread.add("token-ids" if "ids" in name.lower() else "tensors")


def _elements(leaves: Leaves, kind: Kind, prefix: str, value: object, path: Path) -> None:
    """Each string of a tensor is a text of its own."""
    if isinstance(value, dict):
        leaves.tree((kind, prefix + "0"), value, path)
        return
    for index, (text, place) in enumerate(_strings(value, path)):
        leaves.text((kind, f"{prefix}{index}"), text, place)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            leaves.tree((kind, f"{prefix}{index}"), item, (*path, index))


def _strings(value: object, path: Path) -> Iterator[tuple[str, Path]]:
    """Strings in lists within lists, in order."""
    if isinstance(value, str):
        yield value, path
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, str | list):
                yield from _strings(item, (*path, index))


def _holds_numbers(value: list[Any]) -> bool:
    """Whether a tensor has more than one number: one alone is a parameter."""
    while len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    return len(value) > 1 and any(isinstance(item, int | float | list) for item in value) and _has_number(value)


def _has_number(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_has_number, value))
    return isinstance(value, int | float) and not isinstance(value, bool)
