"""What a request says beside its text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core.text import MAX_TOKENS
from safeguards_extproc.wire.asked import BOUNDS, DIGEST, LONGEST, MOST, pick

PATHS = ("$.user", "$.metadata.user_id", "$.tags[1]", "$['end user']")

BODY = {"model": "m", "user": "ann", "metadata": {"user_id": 7}, "tags": ["a", True], "end user": 1.5}


def test_scalars_are_told_as_text() -> None:
    """A string as it is, a number and a boolean as JSON writes them; an object, a list and null are no names."""
    expected = {"$.user": "ann", "$.metadata.user_id": "7", "$.tags[1]": "true", "$['end user']": "1.5"}
    assert expected == pick(json.dumps(BODY).encode(), PATHS)
    for nothing in (None, "", {"id": 1}, ["ann"]):
        assert {} == pick(json.dumps({"user": nothing}).encode(), ("$.user",))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b'{"user": "a", "user": "b"}',
        b'{"user": "a"} {"user": "b"}',
        b'{"user": "a"',
        b"[" * 5000,
        b'"user"',
    ],
    ids=["empty", "bytes", "twice", "two", "cut", "deep", "a string"],
)
def test_a_body_that_is_ambiguous_tells_nothing(body: bytes) -> None:
    """And raises nothing."""
    assert {} == pick(body, ("$.user", MAX_TOKENS))


@settings(max_examples=60)
@given(
    st.sampled_from(["", " ", "\n\t "]),
    st.sampled_from(["user", "end user", "a.b", 'na"me', "n(a", "字"]),
    st.booleans(),
)
def test_a_name_is_found_however_it_is_written(space: str, name: str, escaped: bool) -> None:
    """With spaces around its colon, with signs that mean something elsewhere; as a value it is none."""
    written = json.dumps(name, ensure_ascii=escaped)
    path = f"$[{json.dumps(name)}]"
    assert {path: "ann"} == pick(f'{{"role":{written},{written}{space}:{space}"ann"}}'.encode(), (path,))
    assert {} == pick(f'{{"role":{written}}}'.encode(), (path,))


def test_a_place_may_have_no_name() -> None:
    """In a list."""
    assert {"$[1]": "ann"} == pick(b'["a", "ann"]', ("$[1]",))


def test_an_escaped_name_is_the_same_name() -> None:
    """As every parser reads it; what merely stands in a text is none."""
    assert {"$.user": "ann"} == pick(rb'{"\u0075ser": "ann"}', ("$.user",))
    assert {} == pick(json.dumps({"content": '"user": "mallory"'}).encode(), ("$.user",))


@settings(max_examples=50)
@given(st.text(max_size=3, alphabet="aé字"), st.text(max_size=3, alphabet="aé字"))
def test_long_values_stand_as_digests_that_differ(one: str, other: str) -> None:
    """Cut short they would be the same; and no short value can claim to be a long one's digest."""
    start = "x" * LONGEST
    told = [pick(json.dumps({"user": start + end}).encode(), ("$.user",))["$.user"] for end in (one + "!", other + "!")]
    assert (one == other) == (told[0] == told[1])
    assert all(value.startswith(DIGEST) and len(value) < LONGEST for value in told)
    claimed = pick(json.dumps({"user": told[0]}).encode(), ("$.user",))["$.user"]
    assert claimed != told[0]
    assert claimed.startswith(DIGEST)


@pytest.mark.parametrize(
    ("format_", "body", "most"),
    [
        ("openai_chat", {"max_tokens": 10}, 10),
        ("openai_chat", {"max_tokens": 10, "max_completion_tokens": 20, "n": 3}, 60),
        ("openai_completions", {"max_tokens": 10, "n": 2, "best_of": 4}, 40),
        ("openai_responses", {"max_output_tokens": 30.0}, 30),
        ("anthropic_messages", {"max_tokens": 1024}, 1024),
        ("gemini", {"generationConfig": {"maxOutputTokens": 50, "candidateCount": 2}}, 100),
        ("bedrock_converse", {"inferenceConfig": {"maxTokens": 5}}, 5),
        ("bedrock_invoke", {"textGenerationConfig": {"maxTokenCount": 6}}, 6),
        ("bedrock_invoke", {"max_gen_len": 7}, 7),
        ("tgi", {"parameters": {"max_new_tokens": 8, "best_of": 2}}, 16),
        ("kserve_v2", {"max_tokens": 9}, 9),
        ("mine", {"maxTokens": 11}, 11),
        ("openai_chat", {"max_tokens": 1 << 80}, MOST),
    ],
)
def test_a_request_bounds_its_answer(format_: str, body: dict[str, Any], most: int) -> None:
    """In its own dialect, times the answers that are generated."""
    assert {MAX_TOKENS: str(most)} == wire.pick(json.dumps(body).encode(), (MAX_TOKENS,), format_)


@pytest.mark.parametrize("most", [0, -1, None, "10", True, 1.5, [], {}])
def test_what_is_no_number_of_tokens_bounds_nothing(most: object) -> None:
    """The policy's reserve counts then."""
    assert {} == pick(json.dumps({"max_tokens": most}).encode(), (MAX_TOKENS,), "openai_chat")


@pytest.mark.parametrize("format_", ["gemini", "tgi", "bedrock_converse"])
def test_another_dialects_bound_says_nothing(format_: str) -> None:
    """The provider would not heed it, so it would only make the request seem cheap."""
    assert {} == pick(json.dumps({"max_tokens": 1, "max_output_tokens": 1}).encode(), (MAX_TOKENS,), format_)


def test_bounds_are_of_formats_that_exist() -> None:
    """A name that is misspelt would read nothing."""
    assert wire.FORMATS.keys() >= BOUNDS.keys()
