"""JSON that is read as it is written: a call's arguments, which a stream gives piece by piece."""

from __future__ import annotations

import re
from collections.abc import Sequence

from safeguards_extproc.core.text import Segment
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.strict_json import loads, spans

_EMPTY = re.compile(rb"[{\[]\s*[}\]]").fullmatch


def fill(body: bytes, raw: Sequence[Segment], segments: list[Segment]) -> None:
    """Give each raw segment the JSON at its path, as written. An empty object says nothing and goes, as a stream
    has no event for it. JSON with escapes is read by its decoded strings instead, so that none hides in them."""
    if not raw:
        return
    found = spans(body, [segment.path for segment in raw])
    instead: dict[int, list[Segment]] = {}
    for segment in raw:
        start, end = found[segment.path]
        written = body[start:end]
        if b"\\u" in written:
            leaves = Leaves()
            leaves.tree(segment.channel, loads(written), segment.path, words=frozenset())
            instead[id(segment)] = leaves.segments
        else:
            segment.text = written.decode()
            instead[id(segment)] = [] if _EMPTY(written) else [segment]
    segments[:] = [given for known in segments for given in instead.get(id(known), (known,))]
