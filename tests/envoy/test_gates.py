"""How a request waits, how an answer waits, and what is done to either: each on a real Envoy."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from safeguards_extproc.core.redact import placeholder
from safeguards_extproc.replay.answers import DIALECTS as ANSWERS
from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from safeguards_extproc.replay.traffic import Answer
from tests.envoy import rules, scenes
from tests.envoy.background import PATIENCE_S, until
from tests.envoy.recorder import Received, Reply
from tests.envoy.rig import UPSTREAM, Rig, post
from tests.envoy.scenes import DIALECTS, Scene
from tests.envoy.sdk import REFUSED, Said, client

pytestmark = [pytest.mark.real, pytest.mark.parametrize("dialect", DIALECTS)]

LISTENERS = ["ingress", "buffered"]
listeners = pytest.mark.parametrize("listener", LISTENERS)


def test_overlap_asks_the_model_at_once_and_tells_the_client_nothing(rig: Rig, dialect: str) -> None:
    """The model server has the request while the classifier still thinks; then the client gets the refusal."""
    ours, scene = client(dialect, rig.urls["gates"], "overlap.test"), scenes.ATTACKED
    name = scene.id(dialect, take="overlap")
    rig.relay.hold()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ours.stream, name, scene.asks)
        try:
            until(lambda: rig.served(name)["received"], "the model server has the request")
            assert (False, b"") == (asking.done(), bytes(ours.wire.seen))
        finally:
            rig.relay.flow()
        with pytest.raises(REFUSED):
            asking.result(PATIENCE_S)
    assert scene.text.encode() not in ours.wire.seen
    record = rig.gates.record(ours.wire.id)
    assert ("overlap", "block", "refused", 400) == (record.gate, record.outcome, record.termination, record.status)
    assert (True, 0) == (record.request.account.released_unscanned, record.response.account.bytes_released)


def test_overlap_lets_a_good_answer_through(rig: Rig, dialect: str) -> None:
    """A harmless request gets the model's whole answer."""
    ours, scene = client(dialect, rig.urls["gates"], "overlap.test"), scenes.PLAIN
    assert scene.text == ours.stream(scene.id(dialect), scene.asks).text
    assert "allow" == rig.gates.record(ours.wire.id).outcome


def test_an_observed_request_is_never_in_the_way(rig: Rig, dialect: str) -> None:
    """Even an attack gets its answer; the record says what would have been."""
    ours, scene = client(dialect, rig.urls["gates"], "unseen.test"), scenes.ATTACKED
    assert scene.text == ours.stream(scene.id(dialect, take="observed"), scene.asks).text
    request = rig.gates.record(ours.wire.id).request
    assert ("block", "allow", "observe") == (request.decided, request.applied, request.cause)


def test_follow_stops_a_stream_after_the_fact(rig: Rig, dialect: str) -> None:
    """Frames leave before their verdict; the bad one still ends the stream and the upstream."""
    ours, scene = client(dialect, rig.urls["gates"], "follow.test"), scenes.MIDWAY
    name = scene.id(dialect, 7, "follow")
    said = ours.stream(name, scene.asks)
    assert (ours.refused, True) == (said.finish, ours.ended())
    assert scene.text.startswith(said.text)
    assert len(said.text) < len(scene.text) / 2
    until(lambda: rig.served(name)["cancelled"], "the model server hears that nobody listens")
    record = rig.gates.record(ours.wire.id)
    assert ("follow", "stop", True) == (record.release, record.outcome, record.response.account.released_unscanned)


def test_a_watched_answer_is_never_in_the_way(rig: Rig, dialect: str) -> None:
    """The whole answer arrives, byte for byte; the record says what would have been."""
    ours, scene = client(dialect, rig.urls["gates"], "watch.test"), scenes.MIDWAY
    assert scene.text == ours.stream(scene.id(dialect, take="observed"), scene.asks).text
    response = rig.gates.record(ours.wire.id).response
    assert ("block", "allow", "observe") == (response.decided, response.applied, response.cause)
    assert response.account.bytes_in == len(ours.wire.seen)


@listeners
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_refusal_can_be_an_answer(rig: Rig, dialect: str, listener: str, stream: bool) -> None:
    """Where policy says so the SDK raises nothing: the answer is a refusal, in the shape that was asked for."""
    ours = client(dialect, rig.urls[listener], "answer.test")
    name = scenes.ATTACKED.id(dialect, take="answer")
    said = (ours.stream if stream else ours.whole)(name, scenes.ATTACKED.asks)
    assert Said(finish=ours.refused, refusal=rules.full()["message"]) == said
    if stream:
        assert ours.ended()
    assert 0 == rig.served(name)["received"]
    assert "block" == rig.main.record(ours.wire.id).outcome


def recorded(rig: Rig, dialect: str, listener: str, text: str, answer: str = "Hello", **headers: str) -> Received:
    """A question that goes to the recorder, and what arrived there."""
    ours, name = client(dialect, rig.urls[listener], **headers), f"recorded-{len(rig.recorder.received)}"
    body = json.dumps(ANSWERS[dialect].whole(Answer(text=answer), "demo")).encode()
    rig.recorder.replies[name] = Reply(body)
    assert answer == ours.whole(name, text).text
    return rig.recorder.received[name]


@listeners
def test_a_steered_request_holds_the_instruction(rig: Rig, dialect: str, listener: str) -> None:
    """The model reads how to answer, and the user's own words after it."""
    received = recorded(rig, dialect, listener, scenes.DISTRESS, **{UPSTREAM[0]: UPSTREAM[1]})
    body = json.loads(received.body)
    instruction = next(rule["instruction"] for rule in rules.full()["rules"] if rule["name"] == "distress")
    if dialect == "openai_chat":
        system = [message["content"] for message in body["messages"] if message["role"] == "system"]
    else:
        system = [body["system"]] if isinstance(body["system"], str) else [block["text"] for block in body["system"]]
    assert [instruction] == system
    assert scenes.DISTRESS == body["messages"][-1]["content"]
    assert str(len(received.body)) == received.headers.get("content-length", str(len(received.body)))


@listeners
def test_a_rerouted_request_takes_another_route(rig: Rig, dialect: str, listener: str) -> None:
    """Envoy chooses its route anew, by the header that the rule sets; the client named no upstream."""
    received = recorded(rig, dialect, listener, "Tell me about the wisteria.")
    name, value = rules.CAREFUL
    assert value == received.headers[name]


@listeners
def test_a_clients_own_tier_is_not_taken_away(rig: Rig, dialect: str, listener: str) -> None:
    """The header belongs to the operator's routes: a rule overwrites it, it is not added twice."""
    received = recorded(rig, dialect, listener, "Tell me about the wisteria.", x_model_tier="careful")
    assert "careful" == received.headers["x-model-tier"]


@listeners
def test_an_annotated_request_says_so_to_the_upstream(rig: Rig, dialect: str, listener: str) -> None:
    """The verdict travels in a header of ours."""
    received = recorded(rig, dialect, listener, "Tell me about the marigold.", **{UPSTREAM[0]: UPSTREAM[1]})
    assert "marigold" == received.headers["x-safeguards-topic"]


def test_an_annotated_answer_says_so_to_the_client(rig: Rig, dialect: str) -> None:
    """A held answer's verdict is in its headers."""
    name = f"marigold-{dialect}"
    body = json.dumps(ANSWERS[dialect].whole(Answer(text="It is a marigold."), "demo")).encode()
    rig.recorder.replies[name] = Reply(body)
    ours = client(dialect, rig.urls["ingress"], **{UPSTREAM[0]: UPSTREAM[1]})
    assert "It is a marigold." == ours.whole(name, "Which flower?").text
    assert ("marigold", "annotate") == (
        ours.wire.headers["x-safeguards-topic"],
        ours.wire.headers["x-safeguards-response"],
    )


def test_what_a_user_must_not_send_is_redacted_before_the_model_reads_it(rig: Rig, dialect: str) -> None:
    """In both body modes the upstream gets a whole, valid body with the marks in it."""
    for listener in LISTENERS:
        received = recorded(rig, dialect, listener, f"Mail {scenes.MAIL}.", **{UPSTREAM[0]: UPSTREAM[1]})
        assert f"Mail {placeholder('email')}." == json.loads(received.body)["messages"][-1]["content"]


FALLBACK = [
    (scenes.PLAIN, "allow", "allow"),
    (scenes.ATTACKED, "block", "block"),
    (scenes.AT_ONCE, "block", "stop"),
    (scenes.MIDWAY, "stop", "stop"),
    (scenes.PERSONAL, "redact", "redact"),
    (scenes.HARMLESS, "allow", "allow"),
    (scenes.DANGEROUS, "stop", "stop"),
]


@pytest.mark.parametrize(("scene", "full", "fallback"), FALLBACK, ids=lambda given: getattr(given, "name", ""))
def test_the_fallback_gives_the_same_verdicts(rig: Rig, dialect: str, scene: Scene, full: str, fallback: str) -> None:
    """BUFFERED request, STREAMED answer: headers leave first, so an early no is said in the stream."""
    records = []
    for listener in LISTENERS:
        ours = client(dialect, rig.urls[listener], "patient.test")
        body = json.dumps(ours.body(scene.asks, stream=True)).encode()
        headers = {
            "content-type": "application/json",
            "host": "patient.test",
            EXCHANGE_HEADER: scene.id(dialect, take="other"),
        }
        status, answered, seen = post(rig.urls[listener], ours.path, body, headers)
        record = rig.main.record(answered["x-safeguards-id"])
        assert (status, 0) == (record.status, seen.count(scenes.BAD.encode()))
        records.append(record)
    one, other = records
    assert (full, fallback) == (one.outcome, other.outcome)
    for mine, theirs in ((one.request, other.request), (one.response, other.response)):
        assert (mine.decided, mine.fired, mine.redactions) == (theirs.decided, theirs.fired, theirs.redactions)
