"""CountTokens: a whole request of InvokeModel in base64, or one of Converse, within another body.

A path leads through the body into the request; DECODED in it stands for the base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Document, Edit, Kind, Path
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import bedrock_read, invoke_read
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.bedrock import FIELDS
from safeguards_extproc.wire.edits import DECODED
from safeguards_extproc.wire.invoke_dialects import of_request
from safeguards_extproc.wire.invoke_stream import edit_body
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.raw import fill
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads, spans

_BODY: Path = ("input", "invokeModel", "body")
_INSIDE: Path = (*_BODY, DECODED)
_CONVERSE: Path = ("input", "converse")


def request(body: dict[str, Any], data: bytes) -> Document:
    """What the request within `body` says, which stands in `data` as JSON, and what stands around it."""
    match body:
        case {"input": {"invokeModel": {"body": str(text), **beside}, **others}}:
            inner = _opened(text)
            value = loads(inner, max_values=MAX_VALUES)
            if not isinstance(value, dict):
                raise MalformedBody("shape")
            document, raw = invoke_read.request(value, of_request(value))
            inside, around = _INSIDE, {**others, "invokeModel": beside}
        case {"input": {"converse": dict(value), **others}}:
            start, end = spans(data, [_CONVERSE])[_CONVERSE]
            inner, inside, around = data[start:end], _CONVERSE, {**others}
            document, raw = bedrock_read.request(value)
        case _:
            leaves = Leaves()
            leaves.tree((Kind.USER, "0"), body, ())
            return Document(leaves.segments, unread=frozenset((*leaves.unread, invoke_read.UNKNOWN)))
    fill(inner, raw, document.segments)
    for segment in document.segments:
        if segment.path:
            segment.path = (*inside, *segment.path)
    leaves = Leaves()
    leaves.tree(FIELDS, {**body, "input": around}, ())
    document.segments += leaves.segments
    document.unread |= leaves.unread
    return document


def edit(body: bytes, edits: Sequence[Edit]) -> bytes:
    """The body with `edits` applied, those of the request in base64 within it."""
    inside = [change for change in edits if change.path[: len(_INSIDE)] == _INSIDE]
    if inside:
        match loads(body):
            case {"input": {"invokeModel": {"body": str(text)}}}:
                inner = [Edit(each.path[len(_INSIDE) :], each.start, each.end, each.replacement) for each in inside]
                written = base64.b64encode(edit_body(_opened(text), inner)).decode()
                body = editing.replace(body, _BODY, editing.dumps(written))
            case _:
                raise MalformedBody("shape")
    return editing.apply(body, [change for change in edits if change.path[: len(_INSIDE)] != _INSIDE])


def _opened(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise MalformedBody("encoding") from None
