"""A search API that the policy declares, through a real Envoy: unsafe items leave the answer, and nothing else does."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from safeguards_extproc.core.record import Items
from safeguards_extproc.core.redact import placeholder
from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from tests.envoy.recorder import Reply
from tests.envoy.rig import UPSTREAM, Rig, post
from tests.envoy.scenes import ATTACK, MAIL

pytestmark = pytest.mark.real
listeners = pytest.mark.parametrize("listener", ["ingress", "buffered"])

PATH = "/garden/search?page=1"
PLANTS = [
    ("rose", "Climbs up the wall."),
    ("belladonna", "Also known as deadly nightshade."),
    ("tulip", f"Ask {MAIL} for bulbs."),
    ("black nightshade", "A weed."),
]


def garden(*plants: tuple[str, str], **more: Any) -> bytes:
    """An answer, printed as people print JSON."""
    listed = [{"id": 100 + at, "name": name, "about": about} for at, (name, about) in enumerate(plants)]
    return json.dumps(
        {"total": len(plants), "plants": listed, "summary": "What grows here.", **more}, indent=2
    ).encode()


def search(
    rig: Rig, listener: str, body: bytes, *, query: str = "plants for a shady garden", coding: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """Ask the recorder, which answers with `body`."""
    name = f"declared-{len(rig.recorder.replies)}"
    headers = [("content-type", "application/json")]
    if coding:
        body, headers = gzip.compress(body), [*headers, ("content-encoding", coding)]
    rig.recorder.replies[name] = Reply(body, headers)
    sent = dict([(EXCHANGE_HEADER, name), UPSTREAM, ("content-type", "application/json")])
    return post(rig.urls[listener], PATH, json.dumps({"query": query}).encode(), sent)


@listeners
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_unsafe_items_leave_the_answer(rig: Rig, listener: str, coding: str) -> None:
    """Redaction is done in those that stay; order, count and all other bytes are right; the record says what went."""
    status, headers, body = search(rig, listener, garden(*PLANTS), coding=coding)
    plain = gzip.decompress(body) if headers.get("content-encoding") else body
    kept = garden(*PLANTS).replace(MAIL.encode(), placeholder("email").encode()).replace(b'"total": 4', b'"total": 2')
    first, second = (kept.index(b'{\n      "id": 101'), kept.index(b'{\n      "id": 102'))
    third = kept.index(b',\n    {\n      "id": 103')
    end = kept.index(b"\n  ],")
    assert (200, kept[:first] + kept[second:third] + kept[end:]) == (status, plain)
    assert headers.get("x-safeguards-response") == ("drop" if listener == "ingress" else None)
    record = rig.main.record(headers["x-safeguards-id"])
    assert Items(4, 2, 2, ["101", "103"]) == record.response.items
    assert ("drop", "poison", "garden_search", "full") == (
        record.outcome,
        record.rule,
        record.format,
        record.response.account.coverage,
    )


@listeners
def test_a_safe_answer_stays_as_it_is(rig: Rig, listener: str) -> None:
    """Byte for byte."""
    body = garden(PLANTS[0])
    assert (200, body) == search(rig, listener, body)[::2]


@listeners
def test_a_refusal_is_an_error_object(rig: Rig, listener: str) -> None:
    """A bad query never leaves; what is bad in no item refuses the answer, in its body where the headers have left."""
    asked = rig.recorder.asked
    refused = search(rig, listener, garden(), query=ATTACK)
    assert asked == rig.recorder.asked
    outside = search(rig, listener, garden(PLANTS[0], note="nightshade grows here"))
    assert [400, 400 if listener == "ingress" else 200] == [refused[0], outside[0]]
    for _, _, body in (refused, outside):
        assert {"message", "type", "param", "code"} == json.loads(body)["error"].keys()
    assert "poison" == rig.main.record(outside[1]["x-safeguards-id"]).rule


def test_what_was_dropped_is_counted(rig: Rig) -> None:
    """For those who watch."""
    before = rig.main.metric("safeguards_items_total", state="dropped")
    search(rig, "ingress", garden(*PLANTS))
    assert before + 2 == rig.main.metric("safeguards_items_total", state="dropped")
