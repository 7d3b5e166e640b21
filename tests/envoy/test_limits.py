"""Limits and standings through a real Envoy, with the official SDK as the client: nothing here is a stand-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from safeguards_extproc.local import envoy, processes
from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from tests.enforcement.test_pseudonyms import SECRETS, entry
from tests.envoy.background import Background, until
from tests.envoy.recorder import Recorder, Reply
from tests.envoy.rig import ROOT, Filter, end, http2, serve

pytestmark = pytest.mark.real

POLICY = """\
version: 1
name: limits
detectors:
  words: {kind: patterns, lists: {codename: {keywords: [bluefinch]}}}
rules: []
identity:
  key: [{header: authorization, secret: true, prefix: "Bearer "}]
limits:
  - {name: requests, per: [key], budget: 3/1m, message: Three a minute.}
  - {name: tokens, per: [key], count: tokens, budget: 10000/1h, reserve: 100}
  - {name: trial, per: [key], budget: 1/1h, mode: shadow}
enforcement: {ladder: [{at: 5.0, step: suspend}]}
"""
QUESTION: list[Any] = [{"role": "user", "content": "hello"}]
SAID = {"choices": [{"index": 0, "delta": {"content": "some words"}, "finish_reason": None}]}
ENDED = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USED = {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}}


@dataclass(slots=True)
class World:
    url: str
    filter: Filter
    recorder: Recorder
    ledger: str

    def client(self, key: str) -> openai.OpenAI:
        """The SDK, which tells of a refusal at once."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)

    def ask(self, key: str) -> Mapping[str, str]:
        """The headers of an answer; the SDK's error if there is none."""
        answer = self.client(key).chat.completions.with_raw_response.create(model="m", messages=QUESTION)
        assert answer.parse().choices[0].message.content == "Hello"
        return answer.headers

    def say(self, *arguments: str) -> None:
        """Run the command line on the ledger."""
        argv = [sys.executable, "-m", "safeguards_extproc", "account", *arguments, "--ledger", self.ledger]
        subprocess.run(argv, check=True, capture_output=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("limits")
    keys, policy, socket = folder / "pseudonyms.json", folder / "policy.yaml", folder / "f.sock"
    keys.write_text(json.dumps([entry("eu-1", SECRETS[0])]))
    policy.write_text(POLICY)
    ledger = f"sqlite:///{folder}/ledger.db"
    background = Background()
    filter_ = serve(policy, socket, options=["--identity-keys", str(keys), "--ledger", ledger])
    try:
        recorder = Recorder(background)
        document = envoy.load(ROOT / "envoy" / "demo.yaml")
        upstream = next(
            each for each in document["static_resources"]["clusters"] if each["name"] == envoy.MODEL_CLUSTER
        )
        upstream["typed_extension_protocol_options"] = http2()
        places = envoy.Addresses(recorder.address, (f"unix://{socket}",))
        running = envoy.start(document, places, folder, workers=1)
        try:
            yield World(running.url, filter_, recorder, ledger)
        finally:
            processes.stop(running.part)
    finally:
        end(filter_.part)
        background.close()


def left(headers: Mapping[str, str], limit: str) -> int:
    """What a limit has left, by the header."""
    [state] = [each for each in headers["ratelimit"].split(", ") if each.startswith(f'"{limit}"')]
    return int(state.split(";")[1].removeprefix("r="))


def test_the_fourth_of_three_is_refused(world: World) -> None:
    """In the dialect, with when to come again; it never reaches the model, and another key is another count."""
    answers = [world.ask("sk-three") for _ in range(3)]
    assert [left(headers, "requests") for headers in answers] == [2, 1, 0]
    assert '"requests";q=3;w=60' in answers[0]["ratelimit-policy"]
    assert "trial" not in answers[0]["ratelimit-policy"]
    asked = world.recorder.asked
    with pytest.raises(openai.RateLimitError) as caught:
        world.ask("sk-three")
    told = caught.value.response
    assert told.status_code == 429
    assert 1 <= int(told.headers["retry-after"]) <= 61  # the window, and the 64th of it that is counted as one
    assert left(told.headers, "requests") == 0
    assert "Three a minute." in str(caught.value)
    assert asked == world.recorder.asked
    record = world.filter.record(told.headers["x-safeguards-id"])
    assert (record.outcome, record.rule) == ("throttle", "limit:requests")
    assert {limit.name: limit.allowed for limit in record.limits}["trial"] is False
    assert left(world.ask("sk-other"), "requests") == 2


def test_the_tokens_of_a_stream_are_those_that_the_provider_counted(world: World) -> None:
    """What was reserved for the answer comes back."""
    frames = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (SAID, ENDED, USED))
    world.recorder.replies["counted"] = Reply(frames + b"data: [DONE]\n\n", [("content-type", "text/event-stream")])
    client = world.client("sk-stream")
    raw = client.chat.completions.with_raw_response.create(
        model="m", messages=QUESTION, stream=True, extra_headers={EXCHANGE_HEADER: "counted"}
    )
    said = [choice.delta.content for chunk in raw.parse() for choice in chunk.choices]
    assert said[0] == "some words"
    record = world.filter.record(raw.headers["x-safeguards-id"])
    assert (record.usage.input_tokens, record.usage.output_tokens, record.usage.exact) == (12, 34, True)
    assert left(raw.headers, "tokens") - left(world.ask("sk-stream"), "tokens") == 46


def test_who_is_suspended_is_refused_until_that_is_undone(world: World) -> None:
    """A step in the ledger reaches the filter by itself, and so does its end."""
    key = world.filter.record(world.ask("sk-banned")["x-safeguards-id"]).identity["key"]
    world.say("suspend", key, "--kind", "key", "--reason", "Played in a test.")

    def refused() -> bool:
        try:
            world.client("sk-banned").models.list()
        except openai.PermissionDeniedError:
            return True
        except openai.APIError:
            return False
        return False

    until(refused, "the filter hears of the suspension")
    asked = world.recorder.asked
    with pytest.raises(openai.PermissionDeniedError) as caught:
        world.ask("sk-banned")
    assert caught.value.code == "account_suspended"
    assert asked == world.recorder.asked
    record = world.filter.record(caught.value.response.headers["x-safeguards-id"])
    assert (record.account, record.rule, record.outcome) == ("suspended", "account:suspended", "suspend")
    world.say("reinstate", key, "--reason", "It was a test.")
    until(lambda: not refused(), "the filter hears of the reinstatement")
