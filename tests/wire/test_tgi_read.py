"""Text Generation Inference: every place where text can stand is read, and copies of it are known as copies."""

from __future__ import annotations

from typing import Any

import pytest

from safeguards_extproc.core.text import Channel, Kind
from safeguards_extproc.wire import tgi_read
from safeguards_extproc.wire.leaves import Leaves
from tests.contract.wire_contract import texts

USER, CONTENT, FIELDS = (Kind.USER, "0"), (Kind.CONTENT, "0"), (Kind.OTHER, "fields")
TOKENS = (Kind.OTHER, "0.tokens")


def tok(text: Any, special: bool = False, **more: Any) -> dict[str, Any]:
    return {"id": 1, "text": text, "logprob": -0.5, "special": special, **more}


@pytest.mark.parametrize(
    ("body", "said", "unread"),
    [
        ({"inputs": "x"}, {USER: "x"}, set()),
        ({"inputs": [1, 2]}, {}, {"token-ids"}),
        ({"inputs": "![](data:image/png;base64,AA)x"}, {USER: "![](data:image/png;base64,AA)x"}, {"image"}),
        ({"inputs": "x", "parameters": {"stop": ["a", "b"], "seed": 1}}, {USER: "x", FIELDS: "a\nb\n"}, set()),
        ({"parameters": {"adapter_id": "team/lora"}}, {}, set()),
        ({"parameters": {"adapter_id": "say this"}}, {FIELDS: "say this\n"}, set()),
        ({"parameters": {"grammar": {"type": "regex", "value": "a b"}}}, {FIELDS: "a b\n"}, set()),
        ({"parameters": {"grammar": {"type": "json", "value": {"properties": {"p": {}}}}}}, {FIELDS: "p\n"}, set()),
        ({"parameters": "say this"}, {FIELDS: "say this\n"}, set()),
        ({"note": "say this"}, {FIELDS: "say this\n"}, set()),
    ],
)
def test_every_member_of_a_request_is_read(body: dict[str, Any], said: dict[Channel, str], unread: set[str]) -> None:
    """Stop words, grammars, adapters; pictures in Markdown are named."""
    leaves = Leaves()
    tgi_read.request(leaves, body)
    assert (texts(leaves.segments), leaves.unread) == (said, unread)


def answer(text: Any, **details: Any) -> dict[str, Any]:
    return {"generated_text": text, "details": {"finish_reason": "length", "seed": None, **details}}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"generated_text": "ab"}, {CONTENT: "ab"}),
        ({"generated_text": ["a b"]}, {CONTENT: "a b\n"}),
        (answer("ab", tokens=[tok("a"), tok("b"), tok("</s>", True)]), {CONTENT: "ab"}),
        (answer("ab", tokens=[tok("a"), tok("x")]), {CONTENT: "ab", TOKENS: "ax"}),
        (answer("a", tokens=[tok("a"), tok("say this", True)]), {CONTENT: "a", TOKENS: "asay this"}),
        (answer("a", tokens=[tok("a", note="say this")]), {CONTENT: "a", TOKENS: "a\nsay this\n"}),
        (answer("a", tokens=[tok("a", logprob="say this")]), {CONTENT: "a", TOKENS: "a\nsay this\n"}),
        (answer("a", tokens="say this"), {CONTENT: "a", TOKENS: "say this\n"}),
        (answer("a", top_tokens=[[tok("a"), tok("b")]]), {CONTENT: "a"}),
        (answer("a", top_tokens=["say this"]), {CONTENT: "a", TOKENS: "say this\n"}),
        (answer("a", prefill=[tok("bo"), tok("mb")]), {CONTENT: "a", (Kind.OTHER, "0.prefill"): "bomb"}),
        (answer("a", prefill=["say this"]), {CONTENT: "a", (Kind.OTHER, "0.prefill"): "say this\n"}),
        (
            answer("a", best_of_sequences=[{"generated_text": "b", "tokens": [tok("b")]}, "c"]),
            {CONTENT: "a", (Kind.CONTENT, "1"): "b", (Kind.CONTENT, "2"): "c\n"},
        ),
        (answer("a", best_of_sequences="c"), {CONTENT: "a", FIELDS: "c\n"}),
        (answer("a", finish_reason="say this"), {CONTENT: "a", FIELDS: "say this\n"}),
        ({"generated_text": "a", "details": "say this"}, {CONTENT: "a", FIELDS: "say this\n"}),
        ({"generated_text": "a", "note": "say this"}, {CONTENT: "a", FIELDS: "say this\n"}),
        ({"error": "no", "error_type": "generation"}, {(Kind.ERROR, "error"): "no\n"}),
    ],
)
def test_every_part_of_an_answer_is_read(body: dict[str, Any], said: dict[Channel, str]) -> None:
    """Evasion 33: details are a replica only while they repeat the text; the rest of them is read."""
    leaves = Leaves()
    tgi_read.sequence(leaves, body, (), 0)
    assert texts(leaves.segments) == said


@pytest.mark.parametrize("text", ["</s>", "<|eot_id|>", "<pad>", "[EOS]", "<|endoftext|>"])
def test_a_special_token_is_no_text(text: str) -> None:
    """It is of the model's own alphabet."""
    leaves = Leaves()
    assert tgi_read.token(leaves, tok(text, True), ("token",)) == ""
    assert leaves.segments == []


@pytest.mark.parametrize(
    ("fields", "said", "part"),
    [
        (tok("a"), {CONTENT: "a"}, "a"),
        (tok("say this", True), {(Kind.OTHER, "0.special"): "say this\n"}, ""),
        (tok("a", note="say this"), {CONTENT: "a", FIELDS: "say this\n"}, "a"),
        (tok("a", id="say this"), {CONTENT: "a", FIELDS: "say this\n"}, "a"),
        (tok(["a b"]), {CONTENT: "a b\n"}, ""),
        ({"text": "a"}, {CONTENT: "a"}, "a"),
    ],
)
def test_a_token_is_no_blind_spot(fields: dict[str, Any], said: dict[Channel, str], part: str) -> None:
    """Planted: words in a token that calls itself special, and beside its text."""
    leaves = Leaves()
    assert tgi_read.token(leaves, fields, ("token",)) == part
    assert texts(leaves.segments) == said
