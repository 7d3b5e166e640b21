"""What all OpenAI APIs share: prompts, bodies that are no objects, the form of an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc.core.text import Channel, Kind, Refusal
from safeguards_extproc.wire import openai_api
from safeguards_extproc.wire.leaves import Leaves
from tests.contract.wire_contract import texts

USER_0, USER_1 = (Kind.USER, "0"), (Kind.USER, "1")


@pytest.mark.parametrize(
    ("value", "count", "said", "unread"),
    [
        ("x", 1, {USER_0: "x"}, set()),
        (["x", "y"], 2, {USER_0: "x", USER_1: "y"}, set()),
        ([1, 2], 1, {}, {"token-ids"}),
        ([[1, 2], [3]], 2, {}, {"token-ids"}),
        (["x", [1]], 2, {USER_0: "x"}, {"token-ids"}),
        (["x", 7], 2, {USER_0: "x"}, {"token-ids"}),
        ([{"type": "text", "text": "x"}], 1, {USER_0: "x"}, set()),
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}], 1, {}, {"image"}),
        ({"prompt": "x"}, 1, {USER_0: "x\n"}, set()),
        ([[["x"]], ["y"]], 2, {USER_0: "x\n", USER_1: "y\n"}, set()),
        ([], 0, {}, set()),
        (7, 1, {}, {"token-ids"}),
    ],
)
def test_a_prompt_is_text_or_token_ids(value: Any, count: int, said: dict[Channel, str], unread: set[str]) -> None:
    """Evasion 27: every prompt is a text of its own, or is named."""
    leaves = Leaves()
    assert openai_api.prompts(leaves, value, ("prompt",)) == count
    assert (texts(leaves.segments), leaves.unread) == (said, unread)


def test_prompts_stand_at_their_places() -> None:
    """So that they can be edited."""
    leaves = Leaves()
    openai_api.prompts(leaves, ["x", "y"], ("input",))
    assert [segment.path for segment in leaves.segments] == [("input", 0), ("input", 1)]


def test_any_json_may_come_with_an_error_status() -> None:
    """It is the provider's word, and text."""
    assert texts(openai_api.read_error(b'["over quota"]').segments) == {(Kind.ERROR, "error"): "over quota\n"}


def test_azure_has_a_form_of_its_own_for_content_and_no_other() -> None:
    """Its clients look for code "content_filter"; a throttle is as everywhere."""
    error = json.loads(openai_api.refuse(Refusal("policy", "No.", "harm"), azure=True).body)["error"]
    assert error == {
        "message": "No.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"harm": {"filtered": True}},
        },
    }
    throttled = Refusal("throttled", "No.")
    assert openai_api.refuse(throttled, azure=True) == openai_api.refuse(throttled)
    assert openai_api.verdict(throttled) == {}
