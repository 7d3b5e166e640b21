"""Our samples become exchanges as Envoy would tell of them."""

from __future__ import annotations

import json
from pathlib import Path

from safeguards_extproc.replay import messages
from safeguards_extproc.replay.imports import samples

STREAMED = {
    "id": "one",
    "format": "openai_chat",
    "stream": True,
    "messages": [{"role": "user", "content": "Hi"}],
    "answer": {"text": "Hello there", "delay_ms": 2},
    "expect": {"request": "allow", "response": "stop"},
}
WHOLE = {
    "id": "two",
    "format": "anthropic_messages",
    "messages": [{"role": "user", "content": "Hi"}],
    "answer": {"text": "Hello"},
}


def test_a_sample_with_its_answer(tmp_path: Path) -> None:
    """A stream in as many chunks as it has writes, each at its time; what should come of it stands beside."""
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, (STREAMED, WHOLE))))
    one, two = samples.exchanges(path)
    asked, answered = messages.sides(one.messages)
    assert asked is not None
    assert answered is not None
    assert ("/v1/chat/completions", "text/event-stream") == (asked.get(":path"), answered.get("content-type"))
    assert list(range(0, 2000 * len(answered.body), 2000)) == [at for at, _ in answered.body]
    assert b"data: [DONE]\n\n" == answered.body[-1][1]
    assert ({"request": "allow", "response": "stop"}, {}) == (one.expected, two.expected)
    answered = messages.sides(two.messages)[1]
    assert answered is not None
    assert "Hello" == json.loads(answered.body[0][1])["content"][0]["text"]


def test_a_file_of_samples_is_known_by_its_first_line(tmp_path: Path) -> None:
    """Dialogues name no format."""
    path = tmp_path / "a.jsonl"
    for text, found in ((json.dumps(WHOLE), True), ('{"id": "c"}', False), ("xyzzy", False), ("", False)):
        path.write_text(text)
        assert found == samples.recognise(path)
