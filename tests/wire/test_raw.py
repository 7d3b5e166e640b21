"""The JSON of a call is one text, as written, unless escapes could hide something in it."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.text import Kind, Segment
from safeguards_extproc.wire.raw import fill

CALL = (Kind.TOOL_CALL, "0.0")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"input": {"a":  1}}', ['{"a":  1}']),
        ('{"input": {"é": "ü"}}'.encode(), ['{"é": "ü"}']),
        (b'{"input": {"a": "\\u00fc b"}}', ["a", "\n", "ü b", "\n"]),
        (b'{"input": [ ]}', []),
        (b'{"input": {}}', []),
    ],
)
def test_a_raw_segment_gets_its_json(body: bytes, expected: list[str]) -> None:
    """An empty object says nothing, as in a stream; escapes are undone, and no other byte is read differently."""
    said = Segment((Kind.CONTENT, "0"), "text", ("text",))
    raw = Segment(CALL, "", ("input",), raw=True)
    segments = [said, raw]
    fill(body, [raw], segments)
    assert ["text", *expected] == [segment.text for segment in segments]
