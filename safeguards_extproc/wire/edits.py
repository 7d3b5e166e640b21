"""Edits touch only the literals they name; every other byte of the body stays as it was.

A path is a `core.text.Path`. Two steps of our own may end one: `strict_json.KEY` is a member's name, `DECODED` is the
text inside a base64 string. The empty path is a separator that the reader put between two texts: it stands nowhere
in the body, and edits of it are dropped.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterable, Sequence

from safeguards_extproc.core.text import Edit, Path
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import strict_json

DECODED = -2
"""The last step of a path that means the text a base64 string or data URL holds."""

_EMPTY = re.compile(rb"[ \t\n\r]*[\]}]").match
_DATA_URL = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),", re.ASCII).match
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]").search
_URL_SAFE = str.maketrans("-_", "+/")
_Splice = tuple[int, int, bytes]


def apply(body: bytes, edits: Sequence[Edit], *, erase: Collection[Path] = ()) -> bytes:
    """`body` with `edits` applied and the values at the paths in `erase` replaced by null.

    Raises MalformedBody("shape") if an edit names no place, overlaps another, or would leave no valid JSON.
    """
    grouped: dict[Path, list[Edit]] = {}
    for edit in edits:
        if edit.path:
            grouped.setdefault(edit.path, []).append(edit)
    places = {path: path[:-1] if path[-1] == DECODED else path for path in grouped}
    found = strict_json.spans(body, {*places.values(), *erase})
    splices: list[_Splice] = [(*found[path], b"null") for path in erase if path in found]
    for path, changes in grouped.items():
        span = found.get(places[path])
        if span is None:
            raise MalformedBody("shape")
        start, end = span
        literal = body[start:end].decode()
        splices.append((start, end, _changed(literal, changes, decoded=path[-1] == DECODED).encode()))
    return splice(body, splices)


def splice(body: bytes, splices: Iterable[_Splice]) -> bytes:
    """`body` with bytes [start, end) replaced; raises MalformedBody("shape") where two replacements overlap."""
    pieces: list[bytes] = []
    at = 0
    for start, end, replacement in sorted(splices):
        if start < at:
            raise MalformedBody("shape")
        pieces += (body[at:start], replacement)
        at = end
    pieces.append(body[at:])
    return b"".join(pieces)


def insert_first(body: bytes, path: Path, item: bytes) -> bytes:
    """Put `item`, JSON text (an array's element, or `"name":value`), first into the container at `path`."""
    start, _ = _container(body, path)
    comma = b"" if _EMPTY(body, start + 1) else b","
    return body[: start + 1] + item + comma + body[start + 1 :]


def append_item(body: bytes, path: Path, item: bytes) -> bytes:
    """Put `item`, JSON text, last into the array at `path`."""
    start, end = _container(body, path)
    comma = b"" if _EMPTY(body, start + 1) else b","
    return body[: end - 1] + comma + item + body[end - 1 :]


def replace(body: bytes, path: Path, value: bytes) -> bytes:
    """Put `value`, JSON text, in the place of the value at `path`."""
    span = strict_json.spans(body, [path]).get(path)
    if span is None:
        raise MalformedBody("shape")
    return splice(body, [(*span, value)])


def dumps(value: object) -> bytes:
    """Compact JSON, in ASCII so that it fits any body."""
    return json.dumps(value, separators=(",", ":")).encode()


def decoded(data: str) -> tuple[str, str] | None:
    """What stands before the base64 in `data` (a data URL's head, or nothing), and the text in it; None if no text.

    Base64 may be written for URLs and without padding, as protobuf's JSON reads it. Text is UTF-8 without control
    characters; a media type other than text or JSON says itself that it is none.
    """
    head = ""
    match = _DATA_URL(data)
    if match is not None:
        head = match[0]
        if not match[2].endswith(";base64") or not _textual(match[1]):
            return None
    try:
        text = base64.b64decode(_standard(data[len(head) :]), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return None if not text or text.startswith("%PDF-") or _UNPRINTABLE(text) else (head, text)


def _standard(data: str) -> str:
    return data.translate(_URL_SAFE) + "=" * (-len(data) % 4)


def _textual(media_type: str) -> bool:
    kind = media_type.strip().lower()
    return not kind or kind.startswith("text/") or kind.endswith(("json", "xml", "yaml", "octet-stream"))


def _container(body: bytes, path: Path) -> tuple[int, int]:
    span = strict_json.spans(body, [path]).get(path)
    if span is None or body[span[0]] not in b"{[":
        raise MalformedBody("shape")
    return span


def _changed(literal: str, changes: Sequence[Edit], *, decoded: bool) -> str:
    """A JSON literal, edited. Where it is a string the offsets count its decoded characters, else those of the text."""
    if literal[0] != '"':
        return _raw(literal, changes)
    value: str = json.loads(literal)
    value = _encoded(value, changes) if decoded else rewrite(value, changes)
    return json.dumps(value, ensure_ascii=literal.isascii())


def _raw(literal: str, changes: Sequence[Edit]) -> str:
    before, text = strict_json.loads(literal.encode()), rewrite(literal, changes)
    try:
        after = strict_json.loads(text.encode())
    except MalformedBody:
        raise MalformedBody("shape") from None
    if type(after) is not type(before):
        raise MalformedBody("shape")
    return text


def _encoded(data: str, changes: Sequence[Edit]) -> str:
    known = decoded(data)
    if known is None:
        raise MalformedBody("shape")
    rest = data[len(known[0]) :]
    encode = base64.urlsafe_b64encode if "-" in rest or "_" in rest else base64.b64encode
    return known[0] + encode(rewrite(known[1], changes).encode()).decode()


def rewrite(text: str, changes: Sequence[Edit]) -> str:
    """`text` with edits of one path applied; raises MalformedBody("shape") where they overlap or lie outside."""
    pieces: list[str] = []
    at = 0
    for edit in sorted(changes, key=lambda edit: (edit.start, edit.end)):
        if not at <= edit.start <= edit.end <= len(text):
            raise MalformedBody("shape")
        pieces += (text[at : edit.start], edit.replacement)
        at = edit.end
    pieces.append(text[at:])
    return "".join(pieces)
