"""One message by itself: parts, and a delta that reads as the message does."""

from __future__ import annotations

from typing import Any

import pytest

from safeguards_extproc.core.text import Channel, Kind
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.openai_message import message, part
from tests.contract.wire_contract import texts


@pytest.mark.parametrize(
    ("fields", "said", "unread"),
    [
        ({"type": "text", "text": "x"}, {(Kind.USER, "3"): "x"}, set()),
        ({"type": "refusal", "refusal": "x"}, {(Kind.REFUSAL, "3"): "x"}, set()),
        ({"type": "thinking", "thinking": "x"}, {(Kind.REASONING, "3.details"): "x\n"}, set()),
        ({"type": "image_embeds", "image_embeds": "AAAA"}, {(Kind.OTHER, "fields"): "AAAA\n"}, {"image"}),
        ({"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,AA"}}, {}, {"audio"}),
        ({"type": "file", "file": {"file_data": "cmVhZCBtZQ=="}}, {(Kind.USER, "3"): "read me"}, set()),
    ],
)
def test_a_part_is_text_or_is_named(fields: dict[str, Any], said: dict[Channel, str], unread: set[str]) -> None:
    """Members decide, whatever the type beside."""
    leaves = Leaves()
    part(leaves, fields, ("p",), "3", Kind.USER)
    assert (texts(leaves.segments), leaves.unread) == (said, unread)


def test_deltas_join_to_the_message() -> None:
    """Law 3, below the formats: pieces on the same channels give the same texts."""
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    whole, pieces = Leaves(), Leaves()
    message(whole, {"reasoning_content": "why", "content": "hello", "tool_calls": [call]}, (), "0", Kind.CONTENT)
    for delta in ({"reasoning_content": "w"}, {"reasoning_content": "hy", "content": "hel"}, {"content": "lo"}):
        message(pieces, delta, (), "0", Kind.CONTENT)
    message(pieces, {"tool_calls": [call]}, (), "0", Kind.CONTENT)
    assert texts(whole.segments) == texts(pieces.segments)
