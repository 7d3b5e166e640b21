"""Azure's additions: verdicts are identifiers, sources are requests of their own, what was found is a tool's result."""

from __future__ import annotations

from typing import Any

import pytest

from safeguards_extproc.core.text import Kind
from safeguards_extproc.wire import azure_read, openai_read
from safeguards_extproc.wire.leaves import Leaves
from tests.contract.wire_contract import texts

SAFE = {"hate": {"filtered": False, "severity": "safe"}, "jailbreak": {"detected": False, "filtered": False}}


def choice(**more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop", **more}]}


@pytest.mark.parametrize("name", ["content_filter_results", "content_filter_result", "content_filter_offsets"])
def test_a_verdict_is_no_text(name: str) -> None:
    """Severities and block lists' ids are from closed sets."""
    verdict = {**SAFE, "custom_blocklists": {"filtered": True, "details": [{"id": "team-names", "filtered": True}]}}
    assert texts(openai_read.response(choice(**{name: verdict})).segments) == {(Kind.CONTENT, "0"): "x"}


@pytest.mark.parametrize(
    "verdict",
    [
        {"hate": {"severity": "read me"}},
        {"read me": {"filtered": False}},
        {"protected_material_code": {"citation": {"URL": "read me", "license": "MIT"}}},
        "read me",
        ["read me"],
    ],
)
@pytest.mark.parametrize("name", ["content_filter_results", "prompt_filter_results", "prompt_annotations"])
def test_a_verdict_is_no_blind_spot(name: str, verdict: object) -> None:
    """Planted: words where Azure has none are read, wherever a filter reports."""
    said = choice(**{name: verdict}) if name.startswith("content") else {**choice(), name: [verdict]}
    assert texts(openai_read.response(said).segments)[(Kind.OTHER, "fields")] == "read me\n"


def test_the_error_of_a_filtered_prompt_is_read() -> None:
    """Its message is text; the verdict inside is not."""
    error = {
        "message": "The response was filtered.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
        },
    }
    leaves = Leaves()
    openai_read.error(leaves, {"error": error}, ())
    assert texts(leaves.segments) == {(Kind.ERROR, "error"): "The response was filtered.\n"}


def test_data_sources_speak_to_the_model() -> None:
    """`role_information` is a system instruction; the rest is fields; keys and names are identifiers."""
    parameters = {
        "endpoint": "https://search.example",
        "index_name": "harbour",
        "authentication": {"type": "api_key", "key": "0f1e2d"},
        "role_information": "Answer in rhyme.",
        "filter": "year eq 2025",
    }
    document = openai_read.request({"data_sources": [{"type": "azure_search", "parameters": parameters}]})
    assert texts(document.segments) == {
        (Kind.SYSTEM, "data_sources"): "Answer in rhyme.\n",
        (Kind.OTHER, "fields"): "https://search.example\nyear eq 2025\n",
    }
    assert document.unread == {"documents"}


@pytest.mark.parametrize("sources", ["read me", ["read me"], [{"parameters": "read me"}], {"a": ["read me"]}])
@pytest.mark.parametrize("name", ["data_sources", "dataSources"])
def test_sources_of_odd_shapes_are_read(name: str, sources: object) -> None:
    """No shape is a blind spot, under either name."""
    document = openai_read.request({name: sources})
    assert (texts(document.segments), set(document.unread)) == ({(Kind.OTHER, "fields"): "read me\n"}, {"documents"})


def test_a_role_of_an_odd_shape_is_still_the_systems() -> None:
    """A list or an object of words."""
    document = openai_read.request({"dataSources": [{"parameters": {"roleInformation": ["read me"]}}]})
    assert texts(document.segments) == {(Kind.SYSTEM, "dataSources"): "read me\n"}


def test_no_sources_hide_nothing() -> None:
    """An empty list searches nowhere."""
    assert openai_read.request({"data_sources": []}).unread == frozenset()


def test_what_was_found_is_a_tools_result() -> None:
    """Citations in an answer, in a delta and in earlier turns; the search itself is the model's."""
    context = {
        "citations": [{"content": "Forty euros.", "title": "Dues", "filepath": "a b.pdf", "chunk_id": "3"}],
        "all_retrieved_documents": [{"content": "More.", "filter_reason": "score"}],
        "intent": '["dues"]',
    }
    expected = {
        (Kind.TOOL, "0.context"): "More.\nForty euros.\nDues\na b.pdf\n",
        (Kind.OTHER, "0.context"): '["dues"]\n',
    }
    assert texts(openai_read.response({"choices": [{"message": {"context": context}}]}).segments) == expected
    assert texts(openai_read.response({"choices": [{"delta": {"context": context}}]}).segments) == expected
    assert texts(openai_read.request({"messages": [{"role": "assistant", "context": context}]}).segments) == expected


def test_only_the_members_that_are_named_are_read() -> None:
    """The caller reads the others."""
    leaves = Leaves()
    azure_read.verdicts(leaves, {"other": "x"}, (), azure_read.VERDICTS)
    assert leaves.segments == []
