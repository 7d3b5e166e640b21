"""Declared APIs: what is read of their bodies, and how items leave their lists."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.core.text import Edit, Kind
from safeguards_extproc.errors import MalformedBody
from tests.contract.wire_contract import golden, recorded, texts
from tests.declarations import DECLARED, RANKING, RECOMMENDATIONS, RETRIEVAL, SEARCH


def test_a_search_by_its_places() -> None:
    """Each item's title and snippet are one text, apart from those of the others; what stands beside is read too."""
    document = SEARCH.read_response(recorded("search", "pretty.response.json"), 200)
    found = texts(document.segments)
    assert {
        (Kind.CONTENT, "items.0"): "Sony WH-1000XM5\nOver-ear headphones that cancel noise.\n",
        (Kind.OTHER, "items.0.fields"): "Sound & Vision\nhifi-outlet\n",
        (Kind.CONTENT, "items.1"): "Bose QuietComfort\nThe classic.\n",
        (Kind.OTHER, "fields"): "did you mean\nwireless headphone\n",
    } == found
    assert document.listed is not None
    assert ["4711", "4712"] == [item.id for item in document.listed.items]
    assert [
        {(Kind.CONTENT, "items.0"), (Kind.OTHER, "items.0.fields")},
        {(Kind.CONTENT, "items.1")},
    ] == [item.channels for item in document.listed.items]
    assert {"items": 2} == document.features


def test_a_request_by_its_places() -> None:
    """The model, the query and the documents; a model's name that is none is text."""
    document = RANKING.read_request(recorded("ranking", "objects.request.json"))
    assert "rerank v3 (large)" == document.model
    assert {
        (Kind.OTHER, "fields"): "rerank v3 (large)\n",
        (Kind.USER, "0"): "refund",
        (Kind.TOOL, "1"): "Refunds take five days.\nen\nWir erstatten in fünf Tagen.\nde\n",
    } == texts(document.segments)
    assert not document.streamed


def test_items_of_any_shape_have_their_channels() -> None:
    """A string, numbers in the place of texts, lists and objects: all of it is read, as what belongs to its item."""
    document = SEARCH.read_response(recorded("search", "odd.response.json"), 200)
    assert {
        (Kind.OTHER, "items.0.fields"): "a title alone\n",
        (Kind.CONTENT, "items.1"): "42\n",
        (Kind.CONTENT, "items.2"): "two\ntitles\nnested snippet\nBest of 2026\nyes\n",
        (Kind.OTHER, "items.2.fields"): "x y\n",
        (Kind.OTHER, "fields"): "4\n",
    } == texts(document.segments)
    assert document.listed is not None
    assert ["", "", "x y", ""] == [item.id for item in document.listed.items]


@pytest.mark.parametrize("file", ["empty", "absent"])
def test_a_list_that_is_empty_or_absent_is_none(file: str) -> None:
    """The texts beside it are read."""
    document = SEARCH.read_response(recorded("search", file + ".response.json"), 200)
    assert document.listed is None
    assert (Kind.CONTENT, "0") in texts(document.segments)
    assert {"items": 0} == document.features


@pytest.mark.parametrize("value", [b'"a"', b"{}", b"7", b"false"])
def test_what_is_no_list_in_its_place_is_no_answer_of_the_api(value: bytes) -> None:
    """Policy is told, rather than that its items are read as something else."""
    with pytest.raises(MalformedBody, match="shape"):
        SEARCH.read_response(b'{"results":' + value + b"}", 200)


def test_an_error_is_any_json() -> None:
    """It has no list, whatever it looks like; a page is none of the API's."""
    body = recorded("search", "plain.response.json")
    document = SEARCH.read_response(body, 500)
    assert document.listed is None
    assert {Kind.ERROR} == {segment.channel[0] for segment in document.segments}
    with pytest.raises(MalformedBody, match="syntax"):
        SEARCH.read_response(b"<html>", 502)


@pytest.mark.parametrize("body", [b'"a text"', b"7", b"null"])
def test_a_body_is_an_object_or_a_list(body: bytes) -> None:
    """A text that is all of a body could not be edited."""
    with pytest.raises(MalformedBody, match="shape"):
        SEARCH.read_request(body)
    for status in (200, 500):
        with pytest.raises(MalformedBody, match="shape"):
            SEARCH.read_response(body, status)


def test_an_empty_body_says_nothing() -> None:
    """A GET with a body of no bytes, an answer without one."""
    assert [] == SEARCH.read_request(b"").segments == SEARCH.read_response(b"", 200).segments


@pytest.mark.parametrize("name", DECLARED)
def test_every_item_of_every_recorded_answer_can_go(name: str) -> None:
    """Alone, and with all others; what is left reads as it did."""
    for body in golden(name, "response.json"):
        document = DECLARED[name].read_response(body, 200)
        if document.listed is None:
            continue
        items, before = document.listed.items, texts(document.segments)
        for at, item in enumerate(items):
            rest = DECLARED[name].read_response(document.listed.drop(body, {at}), 200)
            outside = [text for channel, text in before.items() if channel not in item.channels]
            said = [text for text in texts(rest.segments).values() if text not in ('"3"\n', "3\n")]
            assert [text for text in outside if text != "4\n"] == said
        assert DECLARED[name].read_response(document.listed.drop(body, range(len(items))), 200).listed is None


def test_counts_go_down() -> None:
    """Those that are there."""
    document = SEARCH.read_response(body := recorded("search", "pretty.response.json"), 200)
    assert document.listed is not None
    left = json.loads(document.listed.drop(body, {0}))
    assert (1, 1, [4712]) == (left["total"], left["paging"]["count"], [item["id"] for item in left["results"]])


def test_items_go_from_an_edited_body() -> None:
    """Redaction comes first and moves no item."""
    body = recorded("retrieval", "plain.response.json")
    document = RETRIEVAL.read_response(body, 200)
    assert document.listed is not None
    edited = RETRIEVAL.edit(body, [Edit(("chunks", 1, "text"), 0, 6, "[X]")])
    left = document.listed.drop(edited, {0, 2})
    expected = {"doc_id": "hr/travel.md#9", "text": "[X] before planes.", "metadata": {"title": "Travel", "page": 9}}
    assert [expected] == json.loads(left)["chunks"]


def test_kinds_and_nested_texts_of_an_item() -> None:
    """Reviews are others' words: a kind of their own."""
    document = RECOMMENDATIONS.read_response(recorded("recommendations", "reviews.response.json"), 200)
    found = texts(document.segments)
    assert "Tent\nTwo people\nStands in five minutes.\n" == found[Kind.CONTENT, "items.0"]
    assert "Dry all night.\nA bit small for 1.90 m.\n" == found[Kind.TOOL, "items.0"]


def test_no_repr_holds_what_an_item_is_called() -> None:
    """Law 9."""
    document = SEARCH.read_response(b'{"results":[{"id":"my secret","title":"t"}]}', 200)
    assert "secret" not in repr(document.listed)
