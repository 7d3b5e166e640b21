"""Items leave a list with the comma and the space on one side of them; every other byte of the body stays.

The numbers that count the items go down with them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby

from safeguards_extproc.core.text import Path
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits, strict_json

_NUMBER = re.compile(rb'("?)(0|[1-9][0-9]{0,17})("?)').fullmatch


def without(body: bytes, path: Path, length: int, gone: Collection[int], counts: Sequence[Path] = ()) -> bytes:
    """`body` without the items at the positions `gone` of the list at `path`, which has `length` items, and with each
    number at one of `counts` less by so many, but not below 0. A count may be written in quotes; what is no whole
    number stays. `body` must be a JSON text that `strict_json.loads` accepts.

    Raises MalformedBody("shape") if the list has not so many items, or one that goes is not among them.
    """
    if not gone:
        return body
    places: list[Path] = [(*path, at) for at in range(length + 1)]
    found = strict_json.spans(body, [*places, *counts])
    spans = [found[place] for place in places if place in found]
    if len(spans) != length or not 0 <= min(gone) <= max(gone) < length:
        raise MalformedBody("shape")
    splices = list(_gaps(spans, gone))
    for count in counts:
        start, end = found.get(count, (0, 0))
        if (number := _NUMBER(body[start:end])) is not None:
            left = max(int(number[2]) - len(set(gone)), 0)
            splices.append((start, end, b"%s%d%s" % (number[1], left, number[3])))
    return edits.splice(body, splices)


def _gaps(spans: Sequence[tuple[int, int]], gone: Collection[int]) -> Iterator[tuple[int, int, bytes]]:
    """What to cut out: of each run of items, up to the item that follows, or from the end of the one before."""
    wanted = set(gone)
    for leaves, run in groupby(range(len(spans)), wanted.__contains__):
        if leaves:
            places = list(run)
            first, last = places[0], places[-1]
            if last + 1 < len(spans):
                yield spans[first][0], spans[last + 1][0], b""
            else:
                yield spans[first - 1][1] if first else spans[0][0], spans[last][1], b""
