"""Whose JSON a body is, and how each vendor says no."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc.core.text import Refusal
from safeguards_extproc.wire.invoke_dialects import (
    CONVERSATIONS,
    FLAT,
    METRICS,
    Dialect,
    choices,
    of_answer,
    of_model,
    of_request,
)
from tests.contract.wire_contract import GOLDEN

NO = Refusal("policy", "Not that.", "harm", "e1")
FOLDER = GOLDEN / "bedrock_invoke"

GOLDENS = {
    "anthropic": Dialect.ANTHROPIC,
    "anthropic_tools": Dialect.ANTHROPIC,
    "chat_tools": Dialect.CHAT,
    "claude": Dialect.CLAUDE,
    "deepseek": Dialect.DEEPSEEK,
    "llama": Dialect.LLAMA,
    "llama_guarded": Dialect.LLAMA,
    "mistral": Dialect.MISTRAL,
    "mistral_chat": Dialect.CHAT,
    "nova": Dialect.NOVA,
    "nova_tools": Dialect.NOVA,
    "titan": Dialect.TITAN,
}


@pytest.mark.parametrize("name", GOLDENS)
def test_recorded_bodies_are_of_their_vendors_dialect(name: str) -> None:
    """Answers and every chunk of them; requests too, though all prompts look alike."""
    request = of_request(json.loads((FOLDER / f"{name}.request.json").read_bytes()))
    assert (GOLDENS[name] if GOLDENS[name] in CONVERSATIONS else Dialect.LLAMA) == request
    assert GOLDENS[name] == of_answer(json.loads((FOLDER / f"{name}.response.json").read_bytes()))
    for line in (FOLDER / f"{name}.response.chunks").read_bytes().splitlines():
        assert GOLDENS[name] == of_answer(json.loads(line))


@pytest.mark.parametrize(
    ("body", "dialect"),
    [
        ({"anthropic_version": "x", "prompt": "x", "messages": []}, Dialect.ANTHROPIC),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, Dialect.NOVA),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": [{"text": "x"}]}]}, Dialect.NOVA),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, Dialect.CHAT),
        ({"messages": "x"}, None),
        ({"taskType": "TEXT_IMAGE"}, Dialect.LLAMA),
        ({"novel": "x"}, None),
        ({}, None),
    ],
)
def test_the_shape_of_a_request_tells(body: dict[str, Any], dialect: Dialect | None) -> None:
    """A dialect is what its server needs to see; what none would take is unknown."""
    assert dialect == of_request(body)


@pytest.mark.parametrize(
    ("body", "dialect"),
    [
        ({"type": "ping"}, Dialect.ANTHROPIC),
        ({"type": "invented"}, None),
        ({"generations": [{"text": "x"}]}, Dialect.COMMAND),
        ({"text": "x", "is_finished": False}, Dialect.COMMAND_R),
        ({"embedding": [0.1]}, Dialect.EMBEDDING),
        ({"images": ["aGk="]}, Dialect.IMAGE),
        ({"messageStart": {"role": "assistant"}}, Dialect.NOVA),
        ({"choices": []}, Dialect.CHAT),
        ({"message": "x"}, None),
        ({}, None),
    ],
)
def test_the_shape_of_an_answer_tells(body: dict[str, Any], dialect: Dialect | None) -> None:
    """Whole or a chunk."""
    assert dialect == of_answer(body)


@pytest.mark.parametrize(
    ("model", "dialect"),
    [
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", Dialect.ANTHROPIC),
        ("arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-opus-4-1-20250805-v1:0", Dialect.ANTHROPIC),
        ("anthropic.claude-v2:1", None),
        ("apac.amazon.nova-pro-v1:0", Dialect.NOVA),
        ("amazon.nova-canvas-v1:0", None),
        ("mistral.mixtral-8x7b-instruct-v0:1", Dialect.MISTRAL),
        ("mistral.pixtral-large-2502-v1:0", Dialect.CHAT),
        ("us.deepseek.r1-v1:0", Dialect.DEEPSEEK),
        ("deepseek.v3-v1:0", Dialect.CHAT),
        ("cohere.embed-multilingual-v3", None),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", None),
        ("", None),
    ],
)
def test_a_models_name_tells_where_there_is_no_body(model: str, dialect: Dialect | None) -> None:
    """A name that could be of two dialects, or of a profile of one's own, says nothing."""
    assert dialect == of_model(model)


@pytest.mark.parametrize("dialect", FLAT)
def test_what_a_vendor_says_of_a_refusal_is_of_its_dialect(dialect: Dialect) -> None:
    """Whole and as a last chunk, which has Bedrock's own mark of the end."""
    whole, chunk = FLAT[dialect].write("Not that.", chunk=False), FLAT[dialect].write("", chunk=True)
    likely = {dialect, Dialect.COMMAND_R} if dialect is Dialect.COMMAND else {dialect}
    assert of_answer(whole) in likely
    assert of_answer(chunk) in likely
    assert (METRICS in whole, METRICS in chunk) == (False, True)
    assert "Not that." in json.dumps(whole)


def test_refused_choices_name_both_reasons() -> None:
    """Some vendors look at one, some at the other; no choice reads as finished."""
    (choice,) = choices(NO, (3,), "delta")
    assert (3, "content_filter", "content_filter") == (
        choice["index"],
        choice["finish_reason"],
        choice["stop_reason"],
    )
    assert "Not that." == choice["delta"]["refusal"]
