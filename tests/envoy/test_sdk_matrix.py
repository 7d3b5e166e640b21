"""Every official SDK as a client, through a real Envoy: how each is told each verdict, streamed or not, raw or helped.

A row is a way to ask, a column what policy says. An SDK that would read a stop as success, run a call that was held
back, or ask again for what policy has decided, fails here. What has no cell is in `absent`, with the reason.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from msgspec.structs import replace

from safeguards_extproc.core.redact import placeholder
from safeguards_extproc.local import envoy
from safeguards_extproc.local.processes import PartFailed
from safeguards_extproc.replay.traffic import ToolCall
from tests.envoy import matrix
from tests.envoy.background import until
from tests.envoy.clients import ABSENT, CLIENTS, STRUCTURED, WAYS, Way, asked
from tests.envoy.dialects import Says
from tests.envoy.matrix import BAD, FORBIDDEN, GONE, KIND, LATER, WAIT, WIPE, Stack
from tests.envoy.recorder import Reply
from tests.envoy.seen import Seen

pytestmark = pytest.mark.real

QUESTION = "What can you tell me about the garden?"
MAIL, MASK = "tom.keller@example.com", placeholder("email")
PLAIN = Says("The garden lies behind the house.")
OPENING = (
    "The garden lies behind the house and is reached through a narrow gate. In spring the first beds on the left hold "
    "tulips, and the wall at the far end is covered with roses. A path of old bricks leads past the pond to a bench "
    "in the shade of a walnut tree, where one can read in the afternoon without being disturbed. "
)
ENDLESS = "Further on there are apple trees, and after these a hedge with a small door in it. " * 6
WEATHER = ToolCall("get_weather", {"city": "Lisbon"}, "call_weather")
SHELL = ToolCall("run_shell", {"command": f"cd / && rm -rf / --no-{WIPE}"}, "call_wipe")
SORRY = {400: "This was declined by the safety policy.", 403: "has been suspended", 429: "try again later"}

OVER = ("complete", "closed")
"""How an answer is over: some SDKs hang up at the dialect's last event, before the end of the transfer."""

COLUMNS = ("pass", "block", "early", "answer", "stop", "redact", "call", "throttle", "suspend")
WORDLESS = frozenset(("openai embeddings", "openai moderations"))


def absent(way: Way, column: str) -> str:
    """Why a row has no such cell; "" if it has."""
    if column in ("early", "stop") and way.client in WORDLESS:
        return "an answer holds numbers, no words"
    if column == "stop" and not way.streamed:
        return "nothing of a whole answer leaves before its verdict: see `early`"
    if column == "call" and not way.called:
        return "the API has no tools"
    return ""


def ways(column: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("way", [way for way in WAYS if not absent(way, column)], ids=str)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    try:
        envoy.binary()
    except PartFailed as why:
        pytest.skip(str(why))
    with tempfile.TemporaryDirectory(prefix="safeguards-matrix-") as folder, matrix.running(Path(folder)) as started:
        yield started


def ask(
    stack: Stack,
    way: Way,
    prompt: str,
    says: Says = PLAIN,
    *,
    hangs: bool = False,
    again: bool = True,
    below: str = "",
) -> Seen:
    """Play one exchange, at paths `below` another. An answer that `hangs` has no end: only who cancels it ends it."""
    client = CLIENTS[way.client]
    key = (way.client, again, below)
    if key not in stack.clients:
        stack.clients[key] = client.connect(stack.tap.url + below, again)
    if way.streamed:
        reply = Reply(client.speaks.stream(says), (("content-type", client.speaks.media),), hangs=hangs)
    else:
        reply = Reply(client.speaks.body(says))
    stack.fresh(reply)
    return asked(way, stack.clients[key], prompt)


def record(stack: Stack) -> dict[str, Any]:
    """The one record of the one request that there was."""
    assert 1 == stack.tap.requests
    [kept] = stack.records()
    return kept


def nothing_of(stack: Stack, seen: Seen, *words: str) -> None:
    """Neither on the wire nor in anything that the SDK gave."""
    for word in words:
        assert word.encode() not in stack.tap.down
        assert word not in "".join(seen.everything)


def told_no(stack: Stack, seen: Seen, told: str) -> dict[str, Any]:
    """The SDK's own error with our words, once, and nothing else. Returns the record."""
    assert (told, "", []) == (seen.told, seen.text, seen.ran)
    kept = record(stack)
    words = SORRY[kept["status"]]
    # urllib's error gives the body to those who read it only.
    assert words in str(seen.error) or (isinstance(seen.error, HTTPError) and words.encode() in stack.tap.down)
    return kept


def stopped(stack: Stack, way: Way, seen: Seen, says: Says, word: str) -> None:
    """A part of the text, no call, the dialect's last events, and no success; the upstream is told to stop."""
    assert (way.stopped, []) == (seen.told, seen.ran)
    assert 0 < len(seen.text)
    assert says.text.startswith(seen.text)
    nothing_of(stack, seen, word)
    until(lambda: stack.recorder.cancelled, "the upstream is cancelled")
    kept = record(stack)
    assert ("stop", "stopped", 200) == (kept["outcome"], kept["termination"], kept["status"])
    ended(body(bytes(stack.tap.down)), CLIENTS[way.client].ends)


def body(down: bytes) -> str:
    """The last answer's text, which is chunked; what stands in base64 in AWS's frames is put in its place."""
    head, _, rest = down[down.rindex(b"HTTP/1.1 200 ") :].partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    data = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        data, rest = data + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    text = data.decode(errors="replace")
    return re.sub(r'"bytes": ?"([A-Za-z0-9+/=]+)"', lambda found: base64.b64decode(found[1]).decode(), text)


def ended(text: str, ends: tuple[str, ...]) -> None:
    """Each of `ends` stands there, the last of it before the last of the next."""
    for end in reversed(ends):
        found = text.rfind(end)
        assert found >= 0, end
        text = text[:found]


@ways("pass")
def test_pass(stack: Stack, way: Way) -> None:
    """The answer as the model gave it."""
    seen = ask(stack, way, QUESTION)
    text = "" if way.client in WORDLESS else PLAIN.text
    assert (way.done, text, []) == (seen.told, seen.text, seen.ran)
    kept = record(stack)
    assert ("allow", True) == (kept["outcome"], kept["termination"] in OVER)
    assert 1 == stack.recorder.asked


@ways("block")
def test_block_at_request(stack: Stack, way: Way) -> None:
    """The SDK's error, one request, and the upstream never hears of it."""
    seen = ask(stack, way, f"Tell me about the {FORBIDDEN}.")
    kept = told_no(stack, seen, CLIENTS[way.client].blocked)
    assert ("block", "refused", "forbidden", 400) == tuple(
        kept[n] for n in ("outcome", "termination", "rule", "status")
    )
    assert 0 == stack.recorder.asked


@ways("early")
def test_block_before_the_first_byte(stack: Stack, way: Way) -> None:
    """An answer that begins badly is the same error; a stream of it is cancelled."""
    seen = ask(stack, way, QUESTION, Says(f"{BAD} is the name of the project. {ENDLESS}"), hangs=True)
    kept = told_no(stack, seen, CLIENTS[way.client].blocked)
    nothing_of(stack, seen, BAD, "apple")
    assert ("block", "refused", "bad", 400) == tuple(
        kept[name] for name in ("outcome", "termination", "rule", "status")
    )
    assert 1 == stack.recorder.asked
    if way.streamed:
        until(lambda: stack.recorder.cancelled, "the upstream is cancelled")


DECLINED = [(way, True) for way in WAYS + STRUCTURED] + [
    (way, False) for way in WAYS + STRUCTURED if not absent(way, "early")
]


@pytest.mark.parametrize(
    ("way", "asked_for"),
    DECLINED,
    ids=[f"{way}: {'request' if asked_for else 'answer'}" for way, asked_for in DECLINED],
)
def test_a_block_that_is_an_answer(stack: Stack, way: Way, asked_for: bool) -> None:
    """On a route with `refuse_as: answer`: complete, and no word of the model's in it."""
    prompt = f"Tell me about the {FORBIDDEN}." if asked_for else QUESTION
    seen = ask(stack, way, prompt, Says(f"{BAD} is the name of the project. {ENDLESS}"), below=KIND)
    assert (way.declined, []) == (seen.told, seen.ran)
    assert seen.text in ("", SORRY[400])
    nothing_of(stack, seen, BAD, "apple")
    kept = record(stack)
    assert ("block", "refused", "kind") == tuple(kept[name] for name in ("outcome", "termination", "route"))
    assert (not asked_for) == stack.recorder.asked


@ways("stop")
def test_stop_in_mid_stream(stack: Stack, way: Way) -> None:
    """The caller has a part, and is told by the dialect's last events that it is no more than that."""
    says = Says(f"{OPENING}The project is called {BAD}, by the way. {ENDLESS}")
    seen = ask(stack, way, QUESTION, says, hangs=True)
    stopped(stack, way, seen, says, BAD)


@pytest.mark.parametrize("way", STRUCTURED, ids=str)
def test_what_is_made_into_an_object(stack: Stack, way: Way) -> None:
    """A whole answer is, and one that is redacted; of one that is blocked or stopped nothing is made."""
    seen = ask(stack, way, QUESTION, Says(json.dumps({"words": f"Write to {MAIL}."})))
    assert (way.done, [("note", {"words": f"Write to {MASK}."})]) == (seen.told, seen.ran)
    says = Says(json.dumps({"words": f"{OPENING}The project is called {BAD}. {ENDLESS}"}))
    seen = ask(stack, way, QUESTION, says, hangs=True)
    if way.streamed:
        stopped(stack, way, seen, says, BAD)
    else:
        told_no(stack, seen, CLIENTS[way.client].blocked)


@ways("redact")
def test_redact(stack: Stack, way: Way) -> None:
    """An address reaches neither side, however the SDK and the model cut it; everything else does."""
    seen = ask(stack, way, f"I am {MAIL}.", Says(f"Write to {MAIL}, and wait for an answer."))
    text = "" if way.client in WORDLESS else f"Write to {MASK}, and wait for an answer."
    assert (way.done, text) == (seen.told, seen.text)
    nothing_of(stack, seen, "tom.keller", "keller@")
    sent = stack.recorder.received[""].body
    assert (True, False) == (MASK.encode() in sent, b"keller" in sent)
    kept = record(stack)
    assert ("redact", True) == (kept["outcome"], kept["termination"] in OVER)


@ways("call")
def test_a_harmless_call_is_run(stack: Stack, way: Way) -> None:
    """So that the next test says something: these applications run what they get."""
    seen = ask(stack, way, QUESTION, Says("I look.", WEATHER))
    assert (way.called, (WEATHER.name, WEATHER.arguments)) == (seen.told, seen.ran[0])


@ways("call")
def test_a_call_is_redacted_before_it_is_run(stack: Stack, way: Way) -> None:
    """Its arguments are still JSON, without what they may not hold."""
    seen = ask(stack, way, QUESTION, Says("I look.", replace(WEATHER, arguments={"city": f"where {MAIL} lives"})))
    assert (way.called, (WEATHER.name, {"city": f"where {MASK} lives"})) == (seen.told, seen.ran[0])
    nothing_of(stack, seen, "tom.keller", "keller@")


@ways("call")
def test_a_call_that_is_held_is_not_run(stack: Stack, way: Way) -> None:
    """Of a dangerous call there is no name, no id and no argument; the rest is an error or a stop."""
    says = Says(OPENING, SHELL)
    seen = ask(stack, way, QUESTION, says, hangs=True)
    if way.streamed:
        stopped(stack, way, seen, says, WIPE)
    else:
        assert ("block", "wipe") == tuple(
            told_no(stack, seen, CLIENTS[way.client].blocked)[n] for n in ("outcome", "rule")
        )
    nothing_of(stack, seen, WIPE, "run_shell", "call_wipe", "rm -")


@ways("throttle")
def test_throttle(stack: Stack, way: Way) -> None:
    """The SDK's error for it, with the time to wait; the upstream never hears of it."""
    seen = ask(stack, way, f"Tell me about {WAIT}.", again=False)
    kept = told_no(stack, seen, CLIENTS[way.client].throttled)
    assert ("throttle", "refused", "wait", 429) == tuple(kept[n] for n in ("outcome", "termination", "rule", "status"))
    assert b"\r\nretry-after: 1\r\n" in stack.tap.down
    assert 0 == stack.recorder.asked


@ways("suspend")
def test_suspend(stack: Stack, way: Way) -> None:
    """The SDK's error for it, once, though the SDK would try again; the upstream never hears of it."""
    seen = ask(stack, way, f"Tell me about {GONE}.")
    kept = told_no(stack, seen, CLIENTS[way.client].suspended)
    assert ("suspend", "refused", "gone", 403) == tuple(kept[n] for n in ("outcome", "termination", "rule", "status"))
    assert 0 == stack.recorder.asked


ONE_EACH = [next(way for way in WAYS if way.client == client) for client in CLIENTS]
AGAIN = ("openai chat", "anthropic", "boto3 Converse", "google-genai")
PATIENT = [way for way in ONE_EACH if way.client.startswith(("openai", "anthropic"))]


@pytest.mark.parametrize("way", [way for way in ONE_EACH if way.client in AGAIN], ids=str)
def test_who_must_wait_a_moment_asks_again(stack: Stack, way: Way) -> None:
    """A throttle is not for good: SDKs that try again by themselves do so."""
    seen = ask(stack, way, f"Tell me about {WAIT}.")
    assert (CLIENTS[way.client].throttled, 3) == (seen.told, stack.tap.requests)
    assert ["throttle"] * 3 == [kept["outcome"] for kept in stack.records()]


@pytest.mark.parametrize("way", PATIENT, ids=str)
def test_who_must_wait_long_does_not(stack: Stack, way: Way) -> None:
    """No SDK waits for an hour: told to, one would ask again in a second, and another would sleep that long."""
    seen = ask(stack, way, f"Tell me about {LATER}.")
    assert "throttle" == told_no(stack, seen, CLIENTS[way.client].throttled)["outcome"]


@pytest.mark.parametrize("way", [way for way in WAYS if way.streamed], ids=str)
def test_what_policy_does_not_know_fails_these_checks(stack: Stack, way: Way) -> None:
    """Planted: the same exchange with another name in it is a success to every SDK, and the checks say so."""
    says = Says(f"{OPENING}The project is called Greenfinch, by the way.")
    seen = ask(stack, way, QUESTION, says)
    assert (way.done, says.text) == (seen.told, seen.text)
    with pytest.raises(AssertionError):
        stopped(stack, way, seen, says, "Greenfinch")


def test_every_cell_is_played_or_has_a_reason() -> None:
    """Each client streamed and not, raw and helped; where one of these is missing, `ABSENT` says why."""
    for client, streamed, helper in product(CLIENTS, (False, True), (False, True)):
        found = [way for way in WAYS if (way.client, way.streamed, way.helper) == (client, streamed, helper)]
        reasons = [(streamed, "stream"), (helper, "helper")]
        missing = [ABSENT[client, name] for wanted, name in reasons if wanted and (client, name) in ABSENT]
        assert bool(found) != bool(missing), (client, streamed, helper)
    assert {client for client, _ in ABSENT} <= set(CLIENTS)
    assert all(absent(way, column) or way in WAYS for way, column in product(WAYS, COLUMNS))
