"""A form's text: fields, the names of files, and every file that is text, whatever its media type says.

A path is ("parts", n) for the content of part n, ("parts", n, "name") or ("parts", n, "filename"), and, in a file of
JSON or JSON lines, ("parts", n, line, …) with the path in that line's value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Channel, Document, Edit, Kind, Path
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.leaves import Leaves, identifier, words
from safeguards_extproc.wire.multipart import Part, parts, text
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads

FIELDS: Channel = (Kind.OTHER, "fields")
PROMPTS = words("prompt input instructions text")
"""Fields in which the user speaks."""

MOST_LINES = 20_000
"""Lines of JSON in one file."""

_IDENTIFIERS = words(
    "model response_format language temperature n size quality style user stream purpose background input_fidelity "
    "output_format output_compression partial_images moderation include timestamp_granularities chunking_strategy "
    "expires_after seed voice speed"
)
_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,64}(?:\[[A-Za-z0-9_-]{0,64}\]){0,4}").fullmatch
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]").search
_MEDIA = ("image", "audio", "video")


def read(body: bytes, boundary: bytes) -> Document:
    """What a form says. A field that is given twice, and is no list, is a MalformedBody: servers take one or the other.

    `unread` names files that are no text: "image", "audio", "video" by their media type, else "file".
    """
    leaves, fields = Leaves(), {}
    found = parts(body, boundary)
    for index, part in enumerate(found):
        start, end = part.at
        content = body[start:end]
        if not _NAME(part.name):
            leaves.alone(FIELDS, part.name, ("parts", index, "name"))
        if part.filename is None:
            if part.name in fields and not part.name.endswith("[]"):
                raise MalformedBody("duplicate-key", offset=part.name_at[0])
            fields[part.name] = said = text(content)
            _field(leaves, part.name, said, index)
        else:
            leaves.alone(FIELDS, part.filename, ("parts", index, "filename"))
            _file(leaves, part, content, index)
    return Document(
        leaves.segments,
        model=fields.get("model", ""),
        streamed=fields.get("stream", "").strip().lower() in ("true", "1"),
        features={"parts": len(found), "files": sum(part.filename is not None for part in found)},
        unread=frozenset(leaves.unread),
    )


def _field(leaves: Leaves, name: str, said: str, index: int) -> None:
    path: Path = ("parts", index)
    if name in PROMPTS:
        leaves.text((Kind.USER, str(index)), said, path)
    elif not (name.partition("[")[0] in _IDENTIFIERS and identifier(said)):
        leaves.alone(FIELDS, said, path)


def _file(leaves: Leaves, part: Part, content: bytes, index: int) -> None:
    if not content:
        return
    channel: Channel = (Kind.USER, str(index))
    said = _text(content)
    values = _values(content) if said is not None else None
    if said is None:
        kind = part.media.partition("/")[0]
        leaves.unread.add(kind if kind in _MEDIA else "file")
    elif values is None:
        leaves.text(channel, said, ("parts", index))
    else:
        for line, (_, _, value) in enumerate(values):
            leaves.tree(channel, value, ("parts", index, line))


def _text(content: bytes) -> str | None:
    try:
        said = content.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL(said) or said.startswith("%PDF-") else said


def _values(content: bytes) -> list[tuple[int, int, Any]] | None:
    """The values of a file of JSON, or of a value a line, and where each stands; None of any other text."""
    if content.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        return [(0, len(content), loads(content, max_values=MAX_VALUES))]
    except MalformedBody as error:
        if error.reason != "trailing-data":
            return None
    if content.count(b"\n") > MOST_LINES:
        raise MalformedBody("values")
    found, at = [], 0
    for line in content.splitlines(keepends=True):
        if line.strip():
            try:
                found.append((at, at + len(line), loads(line, max_values=MAX_VALUES)))
            except MalformedBody:
                return None
        at += len(line)
    return found


def edit(body: bytes, boundary: bytes, edits: Sequence[Edit]) -> bytes:
    """The form with `edits` applied; every other byte stays. Raises MalformedBody("shape") where it would be another
    form."""
    found = parts(body, boundary)
    grouped: dict[tuple[int, str | int | None], list[Edit]] = {}
    for change in edits:
        match change.path:
            case ():
                pass
            case ("parts", int(index)) if index < len(found):
                grouped.setdefault((index, None), []).append(change)
            case ("parts", int(index), ("name" | "filename" | int()) as step, *rest) if index < len(found):
                inner = Edit(tuple(rest), change.start, change.end, change.replacement)
                grouped.setdefault((index, step), []).append(inner)
            case _:
                raise MalformedBody("shape")
    splices = []
    for (index, where), changes in grouped.items():
        part = found[index]
        start, end = {"name": part.name_at, "filename": part.filename_at}.get(str(where), part.at)
        if isinstance(where, int):
            splices.append(_line(body, start, end, where, changes))
        else:
            splices.append((start, end, editing.rewrite(text(body[start:end]), changes).encode()))
    edited = editing.splice(body, splices)
    try:
        again = parts(edited, boundary)
    except MalformedBody:
        raise MalformedBody("shape") from None
    if len(again) != len(found):
        raise MalformedBody("shape")
    return edited


def _line(body: bytes, start: int, end: int, line: int, changes: Sequence[Edit]) -> tuple[int, int, bytes]:
    values = _values(body[start:end]) or []
    if line >= len(values):
        raise MalformedBody("shape")
    first, last = start + values[line][0], start + values[line][1]
    return first, last, editing.apply(body[first:last], changes)
