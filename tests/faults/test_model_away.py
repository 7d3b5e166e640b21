"""The model server killed, hung, slow, confused, or another: what each `on_failure` makes of it, and the way back."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2
from tritonclient.grpc import service_pb2  # type: ignore[import-untyped]

from safeguards_extproc.core.record import Record
from safeguards_extproc.local import triton
from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from tests.adapters.kserve_fake import KServeFake, elements
from tests.envoy import rules, scenes
from tests.envoy.background import until
from tests.envoy.relay import Relay
from tests.envoy.rig import BLIND, UPSTREAM, Filter, Rig, post
from tests.envoy.scenes import DIALECTS
from tests.envoy.sdk import client
from tests.faults.conftest import Blind

pytestmark = pytest.mark.real

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING

TOLD = {
    "block": (503, "block", "detector:screen", "failure"),
    "degrade": (400, "block", "attack", "missing"),
    "flag": (200, "annotate", "detector:screen", "failure"),
    "allow": (200, "allow", "", ""),
}
"""What comes of a harmless question when there is no score: status, outcome, the rule that led to it, and its cause."""


_number = itertools.count()


def policy(on_failure: str) -> rules.Rules:
    """A rule that takes a missing score for a bad one, where `on_failure` lets rules say: "degrade"."""
    document = rules.words("nothing", screen=on_failure)
    document["detectors"]["screen"]["budget_ms"] = 500
    document["rules"][-1]["on_missing"] = "fire"
    return document


class Talk:
    """Questions, each with the recorder as the model."""

    def __init__(self, rig: Rig, one: Filter) -> None:
        self._rig, self._one = rig, one

    def ask(self, dialect: str) -> tuple[int, dict[str, str], dict[str, str] | None, Record]:
        """Status and headers of an answer, the headers with which the question reached the model, the record."""
        rig, asked = self._rig, client(dialect, self._rig.urls[BLIND])
        name = f"model-away-{next(_number)}"
        body = json.dumps(asked.body(scenes.QUESTION, stream=False)).encode()
        headers = {"content-type": "application/json", EXCHANGE_HEADER: name, UPSTREAM[0]: UPSTREAM[1]}
        status, answered, _ = post(rig.urls[BLIND], asked.path, body, headers)
        received = rig.recorder.received.get(name)
        return status, answered, received.headers if received else None, self._one.record(answered["x-safeguards-id"])

    def scored(self) -> bool:
        """Whether a question passes, and everything about it was looked at."""
        status, _, _, record = self.ask("openai_chat")
        full = {record.request.account.coverage, record.response.account.coverage} == {"full"}
        return (status, full, record.request.failed, record.response.failed) == (200, True, {}, {})


def without_a_score(rig: Rig, blind: Blind, one: Filter, failures: set[str], *, seen: bool) -> None:
    """Under every policy: the verdict, the record and the health of a filter whose model has just been taken away.

    `failures` are those that a record may name, "circuit-open" aside; `seen`: it is seen from outside, too.
    """
    talk = Talk(rig, one)
    for on_failure, told in TOLD.items():
        blind.change(one, policy(on_failure))
        for dialect in DIALECTS:
            status, answered, received, record = talk.ask(dialect)
            request, response = record.request, record.response
            [cause] = [fired.cause for fired in request.fired] or [""]
            assert told == (status, record.outcome, record.rule, cause), on_failure
            checks = request.account.checks
            assert {"screen"} == request.failed.keys()
            assert request.failed["screen"] in {*failures, "circuit-open"}
            assert (0, request.account.windows, request.account.windows) == (
                checks["screen"].run,
                checks["screen"].failed,
                checks["lists"].run,
            )
            assert "none" == request.account.coverage
            assert (status == 200) is (received is not None)
            if status == 200:
                assert (["screen"], "none") == (list(response.failed), response.account.coverage)
                mark = "screen" if on_failure == "flag" else None
                assert received is not None
                assert [mark, mark] == [fields.get("x-safeguards-degraded") for fields in (received, answered)]
        if seen:
            until(lambda: one.metric("safeguards_degraded", what="model:screen"), "the model is missed")
            away = NOT_SERVING if on_failure == "block" else SERVING
            until(lambda away=away: one.check("") == away, "health says what can be done")  # type: ignore[misc]
        else:
            assert (0, SERVING) == (one.metric("safeguards_degraded", what="model:screen"), one.check(""))


def recovers(rig: Rig, one: Filter) -> None:
    """Soon, and without help, texts are looked at again."""
    until(Talk(rig, one).scored, "the model answers again")
    until(lambda: not one.metric("safeguards_degraded", what="model:screen"), "nothing is missed")
    assert SERVING == one.check("")


def test_triton_hangs_and_dies(rig: Rig, blind: Blind, tmp_path: Path) -> None:
    """SIGSTOP, then SIGKILL, of a real one: no answer in time, no answer at all. Then there is another."""
    own = triton.start(rules.ROOT / "triton_models", tmp_path, only=["screen"])
    try:
        relay = Relay(rig.background, own.grpc)
        one = blind.start(policy("allow"), relay.address)
        recovers(rig, one)
        os.killpg(own.pid, signal.SIGSTOP)
        without_a_score(rig, blind, one, {"timeout"}, seen=True)
        os.killpg(own.pid, signal.SIGCONT)
        recovers(rig, one)
        os.killpg(own.pid, signal.SIGKILL)
        without_a_score(rig, blind, one, {"unavailable"}, seen=True)
    finally:
        own.stop()
    relay.lead_to(rig.triton)
    recovers(rig, one)
    relay.cut()


def test_something_else_is_there(rig: Rig, blind: Blind) -> None:
    """An HTTP server where Triton should be: it is not taken for one."""
    relay = Relay(rig.background, rig.model)
    one = blind.start(policy("allow"), relay.address)
    without_a_score(rig, blind, one, {"unavailable"}, seen=True)
    relay.lead_to(rig.triton)
    recovers(rig, one)
    relay.cut()


class Confused(KServeFake):
    """A server that is ready, whatever its model "screen" does: harmless scores, once `go` is set, as `spoil` says."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = ",".join(rules.demo()["detectors"]["screen"]["labels"])

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=True)

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.go.wait()
        size = len(elements(request.raw_input_contents[0])), len(self.labels.split(","))
        response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=self.version)
        response.outputs.add(name="SCORES", datatype="FP32", shape=size)
        response.raw_output_contents.append(bytes(4 * size[0] * size[1]))
        self.spoil(response)
        return response


@contextmanager
def confused(rig: Rig) -> Iterator[Confused]:
    model = Confused()
    rig.background.run(model.start())
    try:
        yield model
    finally:
        rig.background.run(model.stop())


def test_a_model_is_slow(rig: Rig, blind: Blind) -> None:
    """Ready, says the server, and answers after everybody has left: nobody waits longer than policy allows."""
    with confused(rig) as model:
        one = blind.start(policy("allow"), model.address)
        recovers(rig, one)
        rig.background.loop.call_soon_threadsafe(model.go.clear)
        without_a_score(rig, blind, one, {"timeout"}, seen=False)
        rig.background.loop.call_soon_threadsafe(model.go.set)
        recovers(rig, one)


def _shape(response: Any) -> None:
    response.outputs[0].shape[1] = 1


def _name(response: Any) -> None:
    response.outputs[0].name = "OTHER"


def _type(response: Any) -> None:
    response.outputs[0].datatype = "INT32"


def _short(response: Any) -> None:
    response.raw_output_contents[0] = response.raw_output_contents[0][:-1]


def _empty(response: Any) -> None:
    response.Clear()


def _not_numbers(response: Any) -> None:
    response.raw_output_contents[0] = b"\xff" * len(response.raw_output_contents[0])


def _over_one(response: Any) -> None:
    response.raw_output_contents[0] = b"\x00\x00\x80\x40" * (len(response.raw_output_contents[0]) // 4)


GARBAGE: tuple[Callable[[Any], None], ...] = (_shape, _name, _type, _short, _empty, _not_numbers, _over_one)


def test_a_model_answers_garbage(rig: Rig, blind: Blind) -> None:
    """An answer that cannot be scores is no answer; the next good one is."""
    with confused(rig) as model:
        one = blind.start(policy("allow"), model.address)
        for spoil in GARBAGE:
            model.spoil = spoil
            blind.change(one, policy("allow"))
            record = Talk(rig, one).ask("openai_chat")[-1]
            assert {"screen": "bad-response"} == record.request.failed == record.response.failed, spoil.__name__
        without_a_score(rig, blind, one, {"bad-response"}, seen=False)
        model.spoil = lambda _: None
        recovers(rig, one)


@pytest.mark.parametrize(
    ("on_failure", "dialect"), [("block", "openai_chat"), ("block", "anthropic_messages"), ("allow", "openai_chat")]
)
def test_triton_hangs_in_mid_stream(rig: Rig, blind: Blind, on_failure: str, dialect: str) -> None:
    """block: the dialect's own end, after nothing but what had its scores. allow: the rest, and a record of it."""
    relay = Relay(rig.background, rig.triton)
    one = blind.start(policy(on_failure), relay.address)
    recovers(rig, one)
    scene, ours = scenes.SLOW, client(dialect, rig.urls[BLIND])
    pieces = ours.pieces(scene.id(dialect, 7), scene.asks)
    said = next(pieces) + next(pieces)
    relay.hold()
    said += "".join(pieces)
    assert ours.ended()
    record = one.record(ours.wire.id)
    assert "screen" in record.response.failed
    account = record.response.account
    assert min(account.checks["screen"].run, account.checks["screen"].failed) > 0
    if on_failure == "block":
        assert scene.text.startswith(said)
        assert len(said) <= account.channels["content"].scanned < len(scene.text)
        assert ("stop", "stopped", "detector:screen") == (record.outcome, record.termination, record.rule)
    else:
        assert scene.text == said
        # "closed" is the SDK's doing: it hangs up once it has read [DONE].
        assert ("allow", "partial", True) == (
            record.outcome,
            account.coverage,
            record.termination in ("complete", "closed"),
        )
    relay.flow()
    recovers(rig, one)
    relay.cut()
