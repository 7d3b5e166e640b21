"""A client's official SDK, a real Envoy, the filter, a real Triton, a model server: what each of them gets to see.

Every test plays both dialects, and the model's answer comes in chunks of 1, 7 and 1000 bytes and as a whole.
"""

from __future__ import annotations

import contextlib

import pytest

from safeguards_extproc.core.redact import placeholder
from tests.envoy import scenes
from tests.envoy.background import until
from tests.envoy.rig import Rig
from tests.envoy.scenes import CHUNKS, DIALECTS, WHOLE, Scene
from tests.envoy.sdk import REFUSED, Client, client

pytestmark = [pytest.mark.real, pytest.mark.parametrize("dialect", DIALECTS)]
chunked = pytest.mark.parametrize("chunk", CHUNKS, ids=lambda size: "whole" if size == WHOLE else f"{size} B")


def at(rig: Rig, dialect: str) -> Client:
    return client(dialect, rig.urls["ingress"])


def cancelled(rig: Rig, scene: Scene, dialect: str, chunk: int) -> None:
    """The model server was told to stop, long before its end; a stream that was one write had ended by then."""
    name = scene.id(dialect, chunk)
    if chunk == WHOLE:
        until(lambda: rig.served(name)["finished"] + rig.served(name)["cancelled"], "the end of the upstream's answer")
        return
    until(lambda: rig.served(name)["cancelled"], "the model server hears that nobody listens")
    served = rig.served(name)
    assert (1, 0, 1) == (served["received"], served["finished"], served["cancelled"])
    assert served["bytes_sent"] < len(scene.text) / 2


@chunked
def test_a_blocked_request_never_reaches_the_model(rig: Rig, dialect: str, chunk: int) -> None:
    """The SDK raises its own error with our code, asks once, and the model server never hears of it."""
    ours, scene = at(rig, dialect), scenes.ATTACKED
    before = rig.came_in("ingress")
    with pytest.raises(REFUSED) as caught:
        ours.stream(scene.id(dialect, chunk), scene.asks)
    assert {"openai_chat": "content_policy_violation", "anthropic_messages": "invalid_request_error"}[
        dialect
    ] == ours.code(caught.value)
    assert (1, 1) == (ours.wire.requests, rig.came_in("ingress") - before)
    assert 0 == rig.served(scene.id(dialect, chunk))["received"]
    record = rig.main.record(ours.wire.id)
    assert ("block", "refused", "jailbreak", 400) == (record.outcome, record.termination, record.rule, record.status)
    assert "screen" in record.versions


@chunked
def test_an_answer_that_begins_badly_is_a_clean_error(rig: Rig, dialect: str, chunk: int) -> None:
    """Nothing has left, so the status can still say no; the model is told to stop."""
    ours, scene = client(dialect, rig.urls["ingress"], "patient.test"), scenes.AT_ONCE
    with pytest.raises(REFUSED):
        ours.stream(scene.id(dialect, chunk), scene.asks)
    assert 1 == ours.wire.requests
    assert scenes.BAD.encode() not in ours.wire.seen
    cancelled(rig, scene, dialect, chunk)
    record = rig.main.record(ours.wire.id)
    assert ("block", "refused", "codename", 0) == (
        record.outcome,
        record.termination,
        record.rule,
        record.response.account.bytes_released,
    )


@chunked
def test_a_stream_that_turns_bad_ends_as_its_dialect_ends(rig: Rig, dialect: str, chunk: int) -> None:
    """The application has a part of the answer, and is told by the dialect's own last events that it was cut."""
    ours, scene = at(rig, dialect), scenes.MIDWAY
    said = ours.stream(scene.id(dialect, chunk), scene.asks)
    assert ours.refused == said.finish
    assert ours.ended()
    assert scene.text.startswith(said.text)
    assert 0 < len(said.text) <= scene.text.index(scenes.BAD)
    assert scenes.BAD[:6].encode() not in ours.wire.seen
    cancelled(rig, scene, dialect, chunk)
    record = rig.main.record(ours.wire.id)
    assert ("stop", "stopped", "codename", "phase") == (
        record.outcome,
        record.termination,
        record.rule,
        record.response.cause,
    )


@chunked
def test_what_is_personal_is_redacted_across_events(rig: Rig, dialect: str, chunk: int) -> None:
    """An address and a card number that are spread over many events never get out, in no piece of the stream."""
    ours, scene = at(rig, dialect), scenes.PERSONAL
    said = ours.stream(scene.id(dialect, chunk), scene.asks)
    assert scene.text.replace(scenes.MAIL, placeholder("email")).replace(scenes.CARD, placeholder("card")) == said.text
    assert said.finish in ("stop", "end_turn")
    assert ours.ended()
    for piece in (b"tom", b"kel", b"4111", b" 1111"):
        assert piece not in ours.wire.seen
    assert {"card": 1, "email": 1} == rig.main.record(ours.wire.id).response.redactions


@chunked
def test_a_harmless_call_arrives_as_it_was(rig: Rig, dialect: str, chunk: int) -> None:
    """A tool call that passes is the model's own, to the byte."""
    ours, scene = at(rig, dialect), scenes.HARMLESS
    said = ours.stream(scene.id(dialect, chunk), scene.asks)
    assert [(call.name, call.arguments, call.id) for call in scene.calls] == said.calls
    assert (scene.text, True) == (said.text, said.finish in ("tool_calls", "tool_use"))
    record = rig.main.record(ours.wire.id)
    assert ("allow", "full") == (record.outcome, record.response.account.coverage)
    assert record.response.account.bytes_in == record.response.account.bytes_written == len(ours.wire.seen)


@chunked
def test_of_a_dangerous_call_nothing_is_seen(rig: Rig, dialect: str, chunk: int) -> None:
    """The text before it arrives; of the call there is no name, no id and no argument, whole or half."""
    ours, scene = at(rig, dialect), scenes.DANGEROUS
    said = ours.stream(scene.id(dialect, chunk), scene.asks)
    assert (ours.refused, []) == (said.finish, said.calls)
    assert len(said.text) > 0
    assert scene.text.startswith(said.text)
    assert ours.ended()
    for piece in (b"run_shell", b"call_wipe", b"rm -", b"preserve", b"tool_use", b"tool_calls"):
        assert piece not in ours.wire.seen
    assert "destructive-call" == rig.main.record(ours.wire.id).rule


@pytest.mark.parametrize("scene", [scenes.MIDWAY, scenes.DANGEROUS], ids=lambda scene: scene.name)
def test_the_helpers_say_that_an_answer_was_cut(rig: Rig, dialect: str, scene: Scene) -> None:
    """OpenAI's stream helper raises at the final completion, Anthropic's gives a message that was refused."""
    ours = at(rig, dialect)
    assert ours.refused == ours.helper(scene.id(dialect, take="again"), scene.asks)


PARITY = [
    scenes.PLAIN,
    scenes.ATTACKED,
    scenes.AT_ONCE,
    scenes.MIDWAY,
    scenes.PERSONAL,
    scenes.HARMLESS,
    scenes.DANGEROUS,
]


@pytest.mark.parametrize("scene", PARITY, ids=lambda scene: scene.name)
def test_streamed_or_not_the_verdict_is_the_same(rig: Rig, dialect: str, scene: Scene) -> None:
    """The same words get the same verdict for the same reasons; only what can still be done about it differs."""
    records = []
    for stream in (True, False):
        ours = at(rig, dialect)
        with contextlib.suppress(*REFUSED):
            (ours.stream if stream else ours.whole)(scene.id(dialect, take="again"), scene.asks)
        records.append(rig.main.record(ours.wire.id))
    streamed, whole = records
    assert (streamed.streamed, whole.streamed) == (True, False)
    for one, other in ((streamed.request, whole.request), (streamed.response, whole.response)):
        assert (one.decided, one.action, one.fired) == (other.decided, other.action, other.fired)
        assert one.redactions == other.redactions
        assert one.account.uninspectable == other.account.uninspectable == ""
    assert (streamed.rule, streamed.category, streamed.policy) == (whole.rule, whole.category, whole.policy)
    if whole.outcome != "block":
        assert streamed.outcome == whole.outcome
        assert streamed.response.account.channels.keys() == whole.response.account.channels.keys()
        assert streamed.response.account.coverage == whole.response.account.coverage == "full"
    else:
        assert streamed.outcome in ("block", "stop")
