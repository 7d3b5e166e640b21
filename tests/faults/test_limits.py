"""Bodies and events too large, packed too well, too deep, in too many pieces: a clean no or a whole answer, in bounded
time and memory, while others are served."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import pytest

from safeguards_extproc.core.decision import Limits
from safeguards_extproc.core.record import Record
from safeguards_extproc.replay.answers import DIALECTS as ANSWERS
from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from safeguards_extproc.replay.traffic import Answer
from tests.envoy import rules, scenes
from tests.envoy.background import PATIENCE_S
from tests.envoy.recorder import Reply
from tests.envoy.rig import BLIND, UPSTREAM, Filter, Rig
from tests.envoy.scenes import DIALECTS, WHOLE
from tests.envoy.sdk import client
from tests.envoy.traffic import Traffic
from tests.faults.conftest import Blind

pytestmark = [pytest.mark.real, pytest.mark.parametrize("dialect", DIALECTS)]

MOST = Limits().request_bytes
assert MOST == Limits().response_bytes

ROOM = 8 * MOST
"""Bytes by which a filter's memory may grow for one exchange; it grows by a third of that, and a bomb is twice it."""

OTHERS_S = 2.0
"""How long a small exchange may take beside a large one; on an idle machine it is a twentieth of that."""

TOO_LARGE = {
    "openai_chat": ("invalid_request_error", "request_too_large"),
    "anthropic_messages": ("request_too_large", None),
}
"""What a client is told in `error`: its type, and its code where there is one."""

MALFORMED = {
    "openai_chat": ("invalid_request_error", "malformed_body"),
    "anthropic_messages": ("invalid_request_error", None),
}

_number = itertools.count()


@dataclass
class Small:
    """A filter whose policy forbids one word in answers and asks no model."""

    one: Filter
    blind: Blind

    def policy(self, too_large: str = "block") -> rules.Rules:
        return rules.words(scenes.BAD) | {"uninspectable": {"too-large": too_large}}


@pytest.fixture(scope="module")
def small(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with ExitStack() as ends:
        blind = Blind(rig, tmp_path_factory.mktemp("limits"), ends)
        yield Small(blind.start(rules.words(scenes.BAD)), blind)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the client got (`whole`: to the end of the transfer), the record, whether the upstream was asked."""

    status: int
    body: bytes
    whole: bool
    record: Record
    forwarded: bool

    @property
    def error(self) -> tuple[str, str | None]:
        said = json.loads(self.body)["error"]
        return said["type"], said.get("code")


class Talk:
    """One exchange with the recorder as the model."""

    def __init__(self, rig: Rig, small: Small, dialect: str) -> None:
        self._rig, self._one, self._dialect = rig, small.one, dialect
        self._asked, self._name = client(dialect, rig.urls[BLIND]), f"limits-{next(_number)}"

    def question(self, text: str = scenes.QUESTION, *, stream: bool = False, **more: Any) -> bytes:
        return json.dumps(self._asked.body(text, stream=stream) | more, separators=(",", ":")).encode()

    def whole(self, text: str) -> bytes:
        return json.dumps(ANSWERS[self._dialect].whole(Answer(text=text), "demo")).encode()

    def events(self, *texts: str) -> bytes:
        """A stream with an event for each text."""
        parts = [b"".join(ANSWERS[self._dialect].events(Answer(text=text, piece=WHOLE), "demo")) for text in texts]
        first, *others = (_around_text(part) for part in parts)
        return first[0] + b"".join(part[1] for part in (first, *others)) + first[2]

    def ask(self, body: bytes, coding: str = "") -> Seen:
        """Send a body; a client reads the answer that it gets while it is still sending."""
        host, _, port = self._rig.urls[BLIND].removeprefix("http://").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        connection.putrequest("POST", self._asked.path)
        headers = {"content-type": "application/json", "content-length": str(len(body)), EXCHANGE_HEADER: self._name}
        for name, value in (headers | dict([UPSTREAM]) | ({"content-encoding": coding} if coding else {})).items():
            connection.putheader(name, value)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.endheaders(body)
        response, whole = connection.getresponse(), True
        try:
            seen = response.read()
        except http.client.IncompleteRead as error:
            seen, whole = error.partial, False
        connection.close()
        record = self._one.record(response.headers["x-safeguards-id"])
        return Seen(response.status, seen, whole, record, self._name in self._rig.recorder.received)

    def answered(self, body: bytes, *, stream: bool = False, coding: str = "") -> Seen:
        """Ask a harmless question that gets this answer."""
        kind = ("content-type", "text/event-stream" if stream else "application/json")
        self._rig.recorder.replies[self._name] = Reply(
            body, [kind, *([("content-encoding", coding)] if coding else [])]
        )
        return self.ask(self.question(stream=stream))


def _around_text(stream: bytes) -> tuple[bytes, bytes, bytes]:
    """A stream before its one event with text, that event, and the rest."""
    frames = stream.split(b"\n\n")
    [at] = [at for at, frame in enumerate(frames) if b"@" in frame]
    before, after = frames[:at], frames[at + 1 :]
    return b"".join(frame + b"\n\n" for frame in before), frames[at] + b"\n\n", b"\n\n".join(after)


@contextlib.contextmanager
def beside(rig: Rig, small: Small, *, within_s: float = OTHERS_S, room: int = ROOM) -> Iterator[None]:
    """What happens within keeps nobody else from being served soon, and costs no more memory than `room`."""
    before = peak(small.one, reset=True)
    with Traffic(rig, BLIND) as traffic:
        traffic.more(3)
        start = len(traffic.all)
        yield
        traffic.more(3)
    slowest, grown = max(each.seconds for each in traffic.all[start:]), peak(small.one) - before
    sys.stdout.write(f"others took {slowest:.3f} s at most, memory grew by {grown / 1e6:.0f} MB\n")
    assert {"whole": len(traffic.all)} == traffic.ended
    assert slowest < within_s
    assert grown < room


def peak(one: Filter, *, reset: bool = False) -> int:
    """The most memory that a filter has had, in bytes; since now if `reset`."""
    folder = Path(f"/proc/{one.part.process.pid}")
    if reset:
        (folder / "clear_refs").write_text("5")
    [line] = [line for line in (folder / "status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_a_question_over_the_limit(rig: Rig, small: Small, dialect: str) -> None:
    """The SDK raises its own error once; the model never hears of it."""
    ours, name = client(dialect, rig.urls[BLIND]), f"limits-{next(_number)}"
    with beside(rig, small), pytest.raises(Exception, match="too large") as caught:
        ours.whole(name, "a" * MOST)
    assert (413, 1) == (getattr(caught.value, "status_code", 0), ours.wire.requests)
    assert 0 == rig.served(name)["received"]
    record = small.one.record(ours.wire.id)
    assert ("block", "refused", "too-large", "none") == (
        record.outcome,
        record.termination,
        record.request.account.uninspectable,
        record.request.account.coverage,
    )


BOMB = 16 * MOST

BOMBS: dict[str, tuple[str, Callable[[], str], Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", lambda: "a" * BOMB, gzip.compress),
    "br": ("br", lambda: "a" * BOMB, lambda body: bytes(brotli.compress(body, quality=1))),
    # Packed no better than a text may well be.
    "dense": ("gzip", lambda: random.Random(1).randbytes(8000).hex() * (2 * MOST // 16_000), gzip.compress),
}
bombs = pytest.mark.parametrize("bomb", BOMBS)


@bombs
def test_a_bomb_is_a_question_over_the_limit(rig: Rig, small: Small, dialect: str, bomb: str) -> None:
    """What is too large once it is unpacked is never unpacked whole."""
    coding, text, pack = BOMBS[bomb]
    talk = Talk(rig, small, dialect)
    packed = pack(talk.question(text()))
    assert len(packed) < MOST / 8
    with beside(rig, small):
        seen = talk.ask(packed, coding)
    assert (413, TOO_LARGE[dialect], False) == (seen.status, seen.error, seen.forwarded)
    assert "too-large" == seen.record.request.account.uninspectable


@bombs
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_bomb_is_an_answer_over_the_limit(rig: Rig, small: Small, dialect: str, bomb: str, stream: bool) -> None:
    """Nothing of it reaches the client but that it was too large."""
    coding, text, pack = BOMBS[bomb]
    talk = Talk(rig, small, dialect)
    packed = pack(talk.events("@" + text()) if stream else talk.whole(text()))
    with beside(rig, small):
        seen = talk.answered(packed, stream=stream, coding=coding)
    assert (413, TOO_LARGE[dialect], 0) == (seen.status, seen.error, seen.record.response.account.bytes_released)
    assert "too-large" == seen.record.response.account.uninspectable


def test_an_answer_over_the_limit(rig: Rig, small: Small, dialect: str) -> None:
    """It is held no further than the limit, and none of it comes out."""
    talk = Talk(rig, small, dialect)
    with beside(rig, small):
        seen = talk.answered(talk.whole("a" * MOST))
    assert (413, TOO_LARGE[dialect], 0) == (seen.status, seen.error, seen.record.response.account.bytes_released)


MIB = "word " * ((1 << 20) // 5)


def test_a_large_event_passes_as_it_is(rig: Rig, small: Small, dialect: str) -> None:
    """A line of a megabyte is read whole, and goes on byte for byte."""
    talk = Talk(rig, small, dialect)
    sent = talk.events("@ Now. ", MIB.replace("word", "@"))
    with beside(rig, small):
        seen = talk.answered(sent, stream=True)
    assert (200, True, sent) == (seen.status, seen.whole, seen.body)
    assert ("allow", "full") == (seen.record.outcome, seen.record.response.account.coverage)


def test_a_large_event_is_stopped(rig: Rig, small: Small, dialect: str) -> None:
    """A word at its end is enough for none of it to come out; what came before it does, and then the dialect's end."""
    talk = Talk(rig, small, dialect)
    early = "@ early. " * 30
    sent = talk.events(early, f"{MIB.replace('word', '@ late')} {scenes.BAD}")
    with beside(rig, small):
        seen = talk.answered(sent, stream=True)
    assert (200, True) == (seen.status, seen.whole)
    assert (True, False) == (b"early" in seen.body, b"late" in seen.body)
    assert ("stop", "forbidden") == (seen.record.outcome, seen.record.rule)
    assert ENDS[dialect] in seen.body


ENDS = {"openai_chat": b'"finish_reason":"content_filter"', "anthropic_messages": b'"stop_reason":"refusal"'}


@pytest.mark.parametrize("too_large", ["block", "flag", "allow"])
def test_an_event_over_the_limit_is_never_let_through(rig: Rig, small: Small, dialect: str, too_large: str) -> None:
    """Whatever policy says of bodies that are too large: a stream that cannot be read any further ends there."""
    small.blind.change(small.one, small.policy(too_large))
    talk = Talk(rig, small, dialect)
    sent = talk.events(*["@ early. " * 10] * 9, "@ late. " * (Limits().event_bytes // 8 + 1))
    try:
        with beside(rig, small):
            seen = talk.answered(sent, stream=True)
    finally:
        small.blind.change(small.one, small.policy())
    assert (200, True) == (seen.status, seen.whole)
    assert (True, False) == (b"early" in seen.body, b"late" in seen.body)
    assert ("stop", "stopped", "too-large") == (
        seen.record.outcome,
        seen.record.termination,
        seen.record.response.account.uninspectable,
    )
    assert ENDS[dialect] in seen.body


DEEP = 100_000
DEPTHS = {
    "lists": b"[" * DEEP + b"]" * DEEP,
    "objects": b'{"a":' * (MOST // 200) + b"1" + b"}" * (MOST // 200),
    "open": b"[" * DEEP,
}


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_deep_body_is_refused(rig: Rig, small: Small, dialect: str, depth: str) -> None:
    """A hundred thousand levels are no reason to fall over, in either direction, in a body or in an event."""
    spot, deep = b'"@"', DEPTHS[depth]
    with beside(rig, small):
        talk = Talk(rig, small, dialect)
        asked = talk.ask(talk.question(messages="@").replace(spot, deep))
        whole = Talk(rig, small, dialect).answered(talk.whole("@").replace(spot, deep))
        stream = Talk(rig, small, dialect).answered(talk.events("@").replace(spot, deep), stream=True)
    assert (asked.status, asked.error) in ((400, MALFORMED[dialect]), (413, TOO_LARGE[dialect]))
    assert (False, 400, 400) == (asked.forwarded, whole.status, stream.status)
    assert ("malformed", "unread") == tuple(seen.record.response.account.uninspectable for seen in (whole, stream))


def many(one: bytes) -> bytes:
    """So many of one thing as a body may hold."""
    return b"[" + b",".join([one] * ((MOST - 1000) // (len(one) + 1))) + b"]"


def test_a_question_of_many_pieces_is_refused(rig: Rig, small: Small, dialect: str) -> None:
    """Eight megabytes of tiny messages or of bare values take longer to read than others can wait."""
    spot = b'"@"'
    with beside(rig, small):
        talk = Talk(rig, small, dialect)
        messages = talk.ask(talk.question(messages="@").replace(spot, many(b'{"role":"user","content":"a"}')))
        values = Talk(rig, small, dialect).ask(talk.question(tools="@").replace(spot, many(b"1")))
    for seen in (messages, values):
        assert (413, TOO_LARGE[dialect], False) == (seen.status, seen.error, seen.forwarded)


PIECES = {
    "openai_chat": ("choices", b'{"index":0,"message":{"role":"assistant","content":"a"}}'),
    "anthropic_messages": ("content", b'{"type":"text","text":"a"}'),
}
"""Where the smallest texts of a whole answer stand, and one of them."""


def test_a_stream_of_many_pieces_is_read(rig: Rig, small: Small, dialect: str) -> None:
    """Eight megabytes in events of one character go on byte for byte, and others take their turns among them."""
    talk = Talk(rig, small, dialect)
    before, event, after = _around_text(talk.events("@"))
    events = before + event * (MOST // len(event)) + after
    with beside(rig, small):
        seen = talk.answered(events, stream=True)
    assert (200, True, events) == (seen.status, seen.whole, seen.body)
    assert "full" == seen.record.response.account.coverage


def test_a_whole_answer_of_many_pieces_is_read(rig: Rig, small: Small, dialect: str) -> None:
    """Sixty thousand tiny texts go on byte for byte, and others do not wait for them."""
    name, piece = PIECES[dialect]
    body = json.dumps({name: "@"}).encode().replace(b'"@"', b"[" + b",".join([piece] * 60_000) + b"]")
    with beside(rig, small):
        seen = Talk(rig, small, dialect).answered(body)
    assert (200, True, body) == (seen.status, seen.whole, seen.body)
    assert ("allow", "full") == (seen.record.outcome, seen.record.response.account.coverage)


def test_a_whole_answer_of_countless_pieces_is_refused(rig: Rig, small: Small, dialect: str) -> None:
    """Eight megabytes of them are more than anyone can read in time."""
    name, piece = PIECES[dialect]
    body = json.dumps({name: "@"}).encode().replace(b'"@"', many(piece))
    with beside(rig, small):
        seen = Talk(rig, small, dialect).answered(body)
    assert (413, TOO_LARGE[dialect], 0) == (seen.status, seen.error, seen.record.response.account.bytes_released)
