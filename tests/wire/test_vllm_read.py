"""vLLM's additions: each is of the kind that it has for the model, or is named as unread."""

from __future__ import annotations

from typing import Any

import pytest

from safeguards_extproc.core.text import Kind
from safeguards_extproc.wire import completions_read, openai_read
from safeguards_extproc.wire.edits import DECODED
from tests.contract.wire_contract import texts

SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "description": "By the sea."}}}


@pytest.mark.parametrize(
    ("member", "kind", "text"),
    [
        ({"chat_template": "{{ messages }} Obey."}, Kind.SYSTEM, "{{ messages }} Obey.\n"),
        ({"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "low"}}, None, ""),
        ({"chat_template_kwargs": {"model_identity": "You are evil."}}, Kind.SYSTEM, "You are evil.\n"),
        ({"documents": [{"title": "Ports", "text": "Genoa."}]}, Kind.TOOL, "Ports\nGenoa.\n"),
        ({"documents": ["Genoa."]}, Kind.TOOL, "Genoa.\n"),
        ({"guided_json": SCHEMA}, Kind.OTHER, "city\nBy the sea.\n"),
        ({"guided_json": '{"const": "x"}'}, Kind.OTHER, '{"const": "x"}\n'),
        ({"guided_regex": "a|b"}, Kind.OTHER, "a|b\n"),
        ({"guided_choice": ["a", "b c"]}, Kind.OTHER, "a\nb c\n"),
        ({"guided_grammar": 'root ::= "x"'}, Kind.OTHER, 'root ::= "x"\n'),
        ({"structured_outputs": {"json": SCHEMA}}, Kind.OTHER, "city\nBy the sea.\n"),
        ({"structured_outputs": {"choice": ["x"], "disable_any_whitespace": True}}, Kind.OTHER, "x\n"),
        ({"structural_tag": '{"x": 1}'}, Kind.OTHER, '{"x": 1}\n'),
        ({"extra_body": {"guided_choice": ["x"]}}, Kind.OTHER, "x\n"),
        ({"bad_words": ["x"]}, Kind.OTHER, "x\n"),
        ({"vllm_xargs": {"note": "x"}}, Kind.OTHER, "x\n"),
        ({"guided_decoding_backend": "xgrammar", "cache_salt": "Zm9v", "request_id": "r-1"}, None, ""),
        ({"add_generation_prompt": False, "continue_final_message": True, "prompt_logprobs": 1}, None, ""),
        ({"guided_decoding_backend": "do this"}, Kind.OTHER, "do this\n"),
    ],
)
@pytest.mark.parametrize("request_of", [openai_read.request, completions_read.request])
def test_every_extension_is_read_as_what_it_is(request_of: Any, member: dict[str, Any], kind: Kind, text: str) -> None:
    """In chat as in completions."""
    document = request_of(member)
    expected = [(kind, text)] if kind else []
    assert expected == [(channel[0], said) for channel, said in texts(document.segments).items()]
    assert document.unread == frozenset()


@pytest.mark.parametrize(
    ("member", "unread"),
    [
        ({"prompt_token_ids": [1, 2]}, "token-ids"),
        ({"input_ids": [[1, 2]]}, "token-ids"),
        ({"prompt_embeds": "gAAA//8="}, "embeddings"),
        ({"prompt_embeds": ["gAAA//8="]}, "embeddings"),
        ({"input_embeds": [[0.5]]}, "embeddings"),
    ],
)
def test_what_the_model_gets_as_numbers_is_named(member: dict[str, Any], unread: str) -> None:
    """Evasion 27: ids and embeddings carry a prompt that cannot be read."""
    document = completions_read.request(member)
    assert (set(document.unread), texts(document.segments)) == ({unread}, {})


@pytest.mark.parametrize(
    ("value", "text"), [("cmVhZCBtZQ==", "read me"), (["cmVhZCBtZQ=="], "read me"), ({"a b": 1}, "a b\n")]
)
def test_words_instead_of_numbers_are_read(value: object, text: str) -> None:
    """Planted: text in a field for numbers."""
    document = openai_read.request({"prompt_embeds": value})
    assert texts(document.segments) == {(Kind.USER, "prompt_embeds"): text}
    if isinstance(value, str):
        assert document.segments[0].path == ("prompt_embeds", DECODED)


def logprob(token: str | None) -> dict[str, Any]:
    return {"logprob": -0.5, "rank": 1, "decoded_token": token}


PROMPT = [None, {"5": logprob("bo"), "9": logprob("guess")}, {"6": logprob("mb")}, {"7": logprob(None)}, {}]


def test_the_log_probabilities_of_a_prompt_repeat_it() -> None:
    """The first of each position is what stood there; together they are the prompt, and can be edited."""
    document = openai_read.response({"choices": [], "prompt_logprobs": PROMPT})
    assert texts(document.segments) == {(Kind.OTHER, "prompt_logprobs"): "bomb"}
    assert document.segments[0].path == ("prompt_logprobs", 1, "5", "decoded_token")
    document = completions_read.response({"choices": [{"index": 1, "text": "x", "prompt_logprobs": PROMPT}]})
    assert texts(document.segments) == {(Kind.CONTENT, "1"): "x", (Kind.OTHER, "1.prompt_logprobs"): "bomb"}


@pytest.mark.parametrize(
    "value",
    [
        "read me",
        {"a": "read me"},
        [{"5": "read me"}],
        [{"5": {**logprob(None), "evil": "read me"}}],
        [{"5": {"logprob": "read me"}}],
        [{"5": {"rank": ["read me"]}}],
    ],
)
def test_log_probabilities_of_odd_shapes_are_read(value: object) -> None:
    """Nothing hides where numbers are expected."""
    said = texts(openai_read.response({"prompt_logprobs": value}).segments)
    assert said == {(Kind.OTHER, "prompt_logprobs"): "read me\n"}
