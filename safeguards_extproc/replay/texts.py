"""What people wrote and models answered in a few exchanges of a capture, for those who may read it.

The one rule: only exchanges that were asked for are opened, and no more of each than a page can show.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from safeguards_extproc import wire
from safeguards_extproc.core.aside import Parse, Parsed
from safeguards_extproc.core.taken import Taken
from safeguards_extproc.core.text import Direction, Format
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.messages import Side, sides
from safeguards_extproc.replay.source import Frame

MOST = 4000
"""Characters of a direction that are shown."""

LARGEST = 8 << 20
"""Bytes of a body that is read."""


def texts(frames: Iterable[Frame], ids: Collection[str]) -> dict[str, str]:
    """The texts of exchanges by the ids of their records, of those that there are and that can be read."""
    found: dict[str, str] = {}
    for frame in frames:
        if len(found) == len(ids):
            break
        try:
            taken = frame.open()
        except ConfigError:
            continue
        id_ = taken.record.id if taken.record is not None else taken.id
        if id_ in ids:
            found[id_] = _shown(taken)
    return found


def _shown(taken: Taken) -> str:
    asked, answered = sides(taken.messages)
    request = _read(asked, Direction.REQUEST, None) if asked else None
    format_ = request.format if request else None
    said = [_text(asked, request), _text(answered, _read(answered, Direction.RESPONSE, format_) if answered else None)]
    return "\n\n".join(part[:MOST] + ("…" if len(part) > MOST else "") for part in said if part)


def _read(side: Side, direction: Direction, format_: Format | None) -> Parsed | None:
    """The body, as a filter would read it; None where it is a stream or too large."""
    body = b"".join(data for _, data in side.body)
    if side.get("content-type").startswith("text/event-stream") or len(body) > LARGEST:
        return None
    if direction is Direction.RESPONSE and format_ is None:
        return None
    status = side.get(":status")
    known = int(status) if status.isdecimal() else 0
    return Parse(direction, format_, body, side.get("content-encoding"), LARGEST, known).run(wire)


def _text(side: Side | None, parsed: Parsed | None) -> str:
    """A line for each text with who says it; of a stream, or what no format knows, the bytes as text."""
    if side is None:
        return ""
    if parsed is not None and parsed.document is not None:
        return "\n".join(f"{segment.channel[0]}: {segment.text}" for segment in parsed.document.segments)
    return b"".join(data for _, data in side.body)[: 4 * MOST].decode("utf-8", "replace")
