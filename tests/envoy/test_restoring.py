"""What a client said, taken out before the model and put back for the client: a real Envoy, official SDKs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from safeguards_extproc.replay.answers import DIALECTS as ANSWERS
from safeguards_extproc.replay.traffic import Answer, ToolCall
from tests.envoy import rules, scenes
from tests.envoy.recorder import Reply
from tests.envoy.rig import UPSTREAM, Filter, Rig, lives
from tests.envoy.sdk import client

pytestmark = pytest.mark.real

KEY = 'KEY(one "two"\n\\three)'
ASKS = f"I am {scenes.MAIL} with {KEY}. Write to {scenes.MAIL}."
POLICY: rules.Rules = {
    "version": 1,
    "name": "restoring",
    "detectors": {
        "pii": {"kind": "pii", "entities": ["email"]},
        "lists": {"kind": "patterns", "lists": {"api_key": {"regex": [r"KEY\([^)]*\)"]}}},
    },
    "rules": [
        {
            "name": "back",
            "when": "scores.pii.email > 0.5 || scores.lists.api_key > 0",
            "then": "redact",
            "entities": ["email", "api_key"],
            "placeholder": "numbered",
            "restore": True,
        }
    ],
}
both = pytest.mark.parametrize("dialect", scenes.DIALECTS)
ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def restoring(rig: Rig) -> Iterator[Filter]:
    """A filter of this policy behind the listener "lives"."""
    with lives(rig) as start:
        yield start(rules.write(rig.folder / "restoring.yaml", POLICY))


@both
@ways
def test_an_echo_is_what_was_said(rig: Rig, restoring: Filter, dialect: str, stream: bool) -> None:
    """The model server quotes what reached it; its client reads its own words."""
    app = client(dialect, rig.urls["lives"])
    said = app.stream("echo", ASKS) if stream else app.whole("echo", ASKS)
    assert f'Your question reached me as: "{ASKS}"' in said.text
    record = restoring.record(app.wire.id)
    assert {"email": 2, "api_key": 1} == record.request.redactions == record.response.restored


@both
@ways
@pytest.mark.parametrize("listener", ["ingress", "buffered"])
def test_in_every_body_mode(rig: Rig, dialect: str, stream: bool, listener: str) -> None:
    """Also where Envoy hands over whole bodies: what comes back is longer than what the upstream sent."""
    asks = "TICKET-4711 is mine, TICKET-4712 is not, and neither is <TICKET_1>."
    app = client(dialect, rig.urls[listener])
    said = app.stream("ticket", asks) if stream else app.whole("ticket", asks)
    assert f'Your question reached me as: "{asks}"' in said.text
    record = rig.main.record(app.wire.id)
    assert {"ticket": 2} == record.request.redactions == record.response.restored


@both
@ways
def test_a_model_sees_placeholders_and_its_client_values(
    rig: Rig, restoring: Filter, dialect: str, stream: bool
) -> None:
    """Cut every three characters, in texts and in the arguments of a call, which stay JSON."""
    name, format_ = f"restoring-{dialect}-{stream}", ANSWERS[dialect]
    call = ToolCall("send", {"to": "<EMAIL_1>", "with": "<API_KEY_1>", "cc": "<EMAIL_2>"}, "call_send")
    answer = Answer(text="I write to <EMAIL_1>, not to <EMAIL_2>.", tool_calls=[call], piece=3)
    body = b"".join(format_.events(answer, "demo")) if stream else json.dumps(format_.whole(answer, "demo")).encode()
    media = "text/event-stream" if stream else "application/json"
    rig.recorder.replies[name] = Reply(body, [("content-type", media)])
    app = client(dialect, rig.urls["lives"], **dict([UPSTREAM]))
    said = app.stream(name, ASKS) if stream else app.whole(name, ASKS)
    assert f"I write to {scenes.MAIL}, not to <EMAIL_2>." == said.text
    ((_, arguments, _),) = said.calls
    assert {"to": scenes.MAIL, "with": KEY, "cc": "<EMAIL_2>"} == arguments
    sent = json.loads(rig.recorder.received[name].body)
    assert "I am <EMAIL_1> with <API_KEY_1>. Write to <EMAIL_1>." == sent["messages"][-1]["content"]
    record = restoring.record(app.wire.id)
    assert {"email": 2, "api_key": 1} == record.response.restored
    assert {} == record.response.redactions
    assert "keller" not in restoring.records.read_text() + restoring.part.log.read_text()
