"""Legacy completions: every place where text can stand is read, on the channel it belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from safeguards_extproc.core.text import Channel, Kind
from safeguards_extproc.wire import completions_read
from tests.contract.wire_contract import texts

CONTENT, LOGPROBS = (Kind.CONTENT, "0"), (Kind.OTHER, "0.logprobs")


def test_a_prompt_and_what_follows_the_gap_are_the_users() -> None:
    """The rest is fields."""
    body = {"model": "m", "prompt": "a", "suffix": "b", "stop": ["c"], "user": "d", "n": 3, "echo": True, "logprobs": 0}
    document = completions_read.request({**body, "stream": True})
    assert texts(document.segments) == {
        (Kind.USER, "0"): "a",
        (Kind.USER, "suffix"): "b",
        (Kind.OTHER, "fields"): "c\nd\n",
    }
    assert (document.model, document.streamed) == ("m", True)
    features = {"messages": 1, "tools": 0, "n": 3, "prefill": False, "logprobs": True, "echo": True}
    assert document.features == features


def test_token_ids_are_named() -> None:
    """Evasion 27."""
    document = completions_read.request({"prompt": [[1, 2], [3]]})
    assert (texts(document.segments), set(document.unread), document.features["messages"]) == ({}, {"token-ids"}, 2)


@pytest.mark.parametrize("body", [{}, {"prompt": None}, {"prompt": ""}, {"prompt": []}])
def test_no_prompt_is_no_text(body: dict[str, Any]) -> None:
    """The server has a prompt of its own then."""
    document = completions_read.request(body)
    assert (document.segments, document.unread, document.features["messages"]) == ([], frozenset(), 0)


def test_messages_on_the_wrong_path_are_read() -> None:
    """Nothing that a server may read is passed over."""
    said = texts(completions_read.request({"messages": [{"role": "user", "content": "x y"}]}).segments)
    assert "x y\n" in said[(Kind.OTHER, "fields")]


def logprobs(*tokens: Any, **more: Any) -> dict[str, Any]:
    return {"tokens": list(tokens), "token_logprobs": [-1.0], "top_logprobs": [{"z": -1.0}, None], **more}


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"text": "ab"}, {CONTENT: "ab"}),
        ({"text": ["a b"]}, {CONTENT: "a b\n"}),
        ({"text": "ab", "logprobs": logprobs("a", "b")}, {CONTENT: "ab"}),
        ({"text": "ab", "logprobs": logprobs("a", "x")}, {CONTENT: "ab", LOGPROBS: "ax"}),
        ({"text": "ab", "logprobs": logprobs("a", ["b"])}, {CONTENT: "ab", LOGPROBS: "a\nb\n"}),
        ({"text": "ab", "logprobs": logprobs(top_logprobs=["x"])}, {CONTENT: "ab", LOGPROBS: "x\n"}),
        ({"text": "", "logprobs": logprobs(top_logprobs=[{"z": "x"}])}, {LOGPROBS: "x\n"}),
        ({"text": "", "logprobs": logprobs(more="x")}, {LOGPROBS: "x\n"}),
        ({"text": "", "logprobs": "x"}, {LOGPROBS: "x\n"}),
        ({"message": {"role": "assistant", "content": "x"}}, {CONTENT: "x"}),
        ({"delta": "x"}, {CONTENT: "x\n"}),
        ({"text": "", "invented": "x"}, {(Kind.OTHER, "0"): "x\n"}),
        ({"text": "", "stop_reason": "the end."}, {(Kind.OTHER, "0"): "the end.\n"}),
        ({"text": "", "stop_reason": 2, "finish_reason": "stop"}, {}),
        ("x", {CONTENT: "x\n"}),
    ],
)
def test_every_part_of_a_choice_is_read(choice: object, said: dict[Channel, str]) -> None:
    """Evasion 33: log-probabilities are a replica only while they repeat the text."""
    assert texts(completions_read.response({"choices": [choice]}).segments) == said


def test_choices_go_by_their_index_and_others_are_beside_them() -> None:
    """Evasion 32; and an error among them is the provider's."""
    body = {"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}], "error": "no", "note": "x"}
    document = completions_read.response({**body, "model": "m"})
    assert texts(document.segments) == {
        (Kind.CONTENT, "1"): "b",
        CONTENT: "a",
        (Kind.ERROR, "error"): "no\n",
        (Kind.OTHER, "fields"): "x\n",
    }
    assert (document.model, document.features) == ("m", {"choices": 2})
