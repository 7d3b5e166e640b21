"""What an exchange leaves behind: headers, Envoy's access log, metrics and the record, all joined by one id."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from tests.envoy import http2, scenes
from tests.envoy.background import until
from tests.envoy.recorder import HELLO, Reply
from tests.envoy.rig import UPSTREAM, Rig, post
from tests.envoy.scenes import DIALECTS
from tests.envoy.sdk import REFUSED, client

pytestmark = pytest.mark.real

LISTENERS = ["ingress", "buffered"]
FORGED = {
    "x-safeguards-id": "mine",
    "x-safeguards-outcome": "allow",
    "X-Safeguards-Topic": "none",
    "x-safeguards-anything": "1",
}


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("text", ["Which flower is this?", "Which flower is this marigold?"])
def test_what_a_client_forges_never_reaches_the_upstream(rig: Rig, listener: str, text: str) -> None:
    """The upstream may believe x-safeguards-*: only we write it."""
    name = f"forged-{listener}-{len(text)}"
    sent = {"content-type": "application/json", EXCHANGE_HEADER: name, **dict([UPSTREAM]), **FORGED}
    body = client("openai_chat", rig.urls[listener]).body(text, stream=False)
    status, _, _ = post(rig.urls[listener], "/v1/chat/completions", json.dumps(body).encode(), sent)
    got = {name: value for name, value in rig.recorder.received[name].headers.items() if "safeguards" in name}
    assert (200, {"x-safeguards-topic": "marigold"} if "marigold" in text else {}) == (status, got)


@pytest.mark.parametrize("listener", LISTENERS)
def test_what_an_upstream_forges_never_reaches_the_client(rig: Rig, listener: str) -> None:
    """An upstream that speaks in our name is not believed either; each answer has one id, and it is ours."""
    name = f"upstream-forges-{listener}"
    forged = [("x-safeguards-id", "theirs"), ("x-safeguards-response", "block"), ("x-safeguards-new", "1")]
    rig.recorder.replies[name] = Reply(headers=[("content-type", "application/json"), *forged])
    body = json.dumps(client("openai_chat", rig.urls[listener]).body("Hello", stream=False)).encode()
    answer = http2.post(
        rig.urls[listener],
        "/v1/chat/completions",
        body,
        [("content-type", "application/json"), (EXCHANGE_HEADER, name), UPSTREAM],
    )
    assert (200, HELLO) == (answer.status, json.loads(answer.body))
    record = rig.main.record(answer.headers["x-safeguards-id"])
    told = {"x-safeguards-id": record.id, "x-safeguards-policy": record.policy[:12]}
    if listener == "ingress":  # the fallback's headers leave before the verdict
        told["x-safeguards-response"] = "allow"
    assert told == {name: value for name, value in answer.headers.items() if name.startswith("x-safeguards")}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("scene", "stream", "outcome", "termination", "status", "rule"),
    [
        (scenes.PLAIN, False, "allow", "complete", 200, ""),
        (scenes.PLAIN, True, "allow", "complete", 200, ""),
        (scenes.PERSONAL, True, "redact", "complete", 200, "personal-data"),
        (scenes.ATTACKED, False, "block", "refused", 400, "jailbreak"),
        (scenes.MIDWAY, True, "stop", "stopped", 200, "codename"),
    ],
    ids=lambda given: getattr(given, "name", str(given)),
)
def test_client_envoy_metrics_and_record_tell_the_same(
    rig: Rig,
    dialect: str,
    scene: scenes.Scene,
    stream: bool,
    outcome: str,
    termination: str,
    status: int,
    rule: str,
) -> None:
    """From the id in a client's ticket to Envoy's line, to the counter that moved, to the record with the reasons."""
    ours = client(dialect, rig.urls["ingress"])
    route = {"openai_chat": "chat", "anthropic_messages": "messages"}[dialect]
    labels = {"route": route, "outcome": outcome, "termination": termination}
    before = rig.main.metric("safeguards_exchanges_total", **labels)
    name = scene.id(dialect, take="again")
    if outcome == "block":
        with pytest.raises(REFUSED) as caught:
            ours.whole(name, scene.asks)
        assert ours.wire.id == getattr(caught.value, "request_id", "")
    else:
        (ours.stream if stream else ours.whole)(name, scene.asks)

    record = rig.main.record(ours.wire.id)
    assert (outcome, termination, status, rule, route) == (
        record.outcome,
        record.termination,
        record.status,
        record.rule,
        record.route,
    )
    until(lambda: rig.main.metric("safeguards_exchanges_total", **labels) == before + 1, "one more of these exchanges")
    line = rig.access_log(ours.wire.id)
    told = line["safeguards"]
    assert (status, "POST") == (line["status"], line["method"])
    phase = "request" if outcome == "block" else "response"
    assert getattr(record, phase).applied == told[phase]
    assert (route, record.policy) == (told["route"], told["policy"])
    assert scene.text[:20] not in json.dumps(line)
    assert line["ext_proc"]


def test_nothing_that_was_said_is_in_any_log(rig: Rig) -> None:
    """Whatever the other tests have sent: filters and Envoy log no word of it."""
    ours = client("openai_chat", rig.urls["ingress"])
    with pytest.raises(REFUSED):
        ours.whole(scenes.ATTACKED.id("openai_chat", take="other"), scenes.ATTACKED.asks)
    rig.access_log(ours.wire.id)
    for part in (rig.main.part, rig.gates.part, rig.envoy.part):
        text = part.log.read_text(errors="replace")
        for words in ("Do Anything Now", "walnut tree", scenes.MAIL, scenes.BAD):
            assert words not in text
