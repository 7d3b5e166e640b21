"""Bodies as the network has them: compressed, over HTTP/2, with trailers. Read, they get the verdict of plain ones."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from safeguards_extproc.core.redact import placeholder
from safeguards_extproc.replay.answers import DIALECTS as ANSWERS
from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from safeguards_extproc.replay.traffic import Answer
from tests.envoy import http2, scenes
from tests.envoy.recorder import Received, Reply
from tests.envoy.rig import UPSTREAM, Rig
from tests.envoy.scenes import DIALECTS
from tests.envoy.sdk import client

pytestmark = pytest.mark.real
both = pytest.mark.parametrize("dialect", DIALECTS)

CODINGS: dict[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (gzip.compress, gzip.decompress),
    "br": (brotli.compress, brotli.decompress),
    "zstd": (
        zstandard.ZstdCompressor().compress,
        lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    ),
    "deflate": (zlib.compress, zlib.decompress),
}
codings = pytest.mark.parametrize("coding", CODINGS)
listeners = pytest.mark.parametrize("listener", ["ingress", "buffered"])
ended_by_trailers = pytest.mark.parametrize(
    ("listener", "stream"), [("ingress", False), ("ingress", True), ("buffered", True)]
)
TRAILER = ("x-checksum", "abc123")


class Talk:
    """One exchange with the recorder as the model."""

    def __init__(self, rig: Rig, dialect: str, listener: str = "ingress") -> None:
        self._rig, self._url, self._client = rig, rig.urls[listener], client(dialect, rig.urls[listener])
        self.name = f"bodies-{len(rig.recorder.replies)}-{dialect}"
        self.dialect = ANSWERS[dialect]

    def reply(self, text: str, *, stream: bool = False, coding: str = "", trailers: http2.Fields = ()) -> bytes:
        """What the model will answer, as it leaves it."""
        answer = Answer(text=text, piece=7)
        body = b"".join(self.dialect.events(answer, "demo"))
        if not stream:
            body = json.dumps(self.dialect.whole(answer, "demo")).encode()
        headers = [("content-type", "text/event-stream" if stream else "application/json")]
        if coding:
            body = CODINGS[coding][0](body)
            headers.append(("content-encoding", coding))
        self._rig.recorder.replies[self.name] = Reply(body, headers, trailers)
        return body

    def ask(
        self, text: str, *, stream: bool = False, coding: str = "", trailers: http2.Fields = ()
    ) -> tuple[bytes, http2.Answer]:
        """The request's body as it was sent, and the answer."""
        if self.name not in self._rig.recorder.replies:
            self.reply("Hello.")
        headers = [("content-type", "application/json"), (EXCHANGE_HEADER, self.name), UPSTREAM]
        body = json.dumps(self._client.body(text, stream=stream)).encode()
        if coding:
            headers.append(("content-encoding", coding))
            body = CODINGS[coding][0](body) if coding in CODINGS else body
        return body, http2.post(self._url, self._client.path, body, headers, trailers)

    @property
    def received(self) -> Received | None:
        return self._rig.recorder.received.get(self.name)


def verdict(rig: Rig, answer: http2.Answer) -> tuple[str, str, str]:
    record = rig.main.record(answer.headers["x-safeguards-id"])
    return record.outcome, record.rule, record.request.account.uninspectable or record.response.account.uninspectable


@both
@listeners
@codings
def test_a_compressed_request_is_read(rig: Rig, dialect: str, listener: str, coding: str) -> None:
    """An attack in gzip is an attack; a question in gzip goes on in gzip, byte for byte."""
    attack, question = Talk(rig, dialect, listener), Talk(rig, dialect, listener)
    _, answer = attack.ask(scenes.ATTACK, coding=coding)
    assert (400, None) == (answer.status, attack.received)
    assert ("block", "jailbreak", "") == verdict(rig, answer)
    sent, answer = question.ask(scenes.QUESTION, coding=coding)
    assert ("allow", "", "") == verdict(rig, answer)
    assert question.received is not None
    assert (sent, coding) == (question.received.body, question.received.headers["content-encoding"])


@both
@listeners
@codings
def test_a_compressed_request_is_edited_in_the_clear(rig: Rig, dialect: str, listener: str, coding: str) -> None:
    """Where something is redacted the upstream gets a plain body, and is told no coding and no wrong length."""
    talk = Talk(rig, dialect, listener)
    _, answer = talk.ask(f"Mail {scenes.MAIL}.", coding=coding)
    assert 200 == answer.status
    assert talk.received is not None
    assert f"Mail {placeholder('email')}." == json.loads(talk.received.body)["messages"][-1]["content"]
    assert "content-encoding" not in talk.received.headers
    assert talk.received.headers.get("content-length") in (None, str(len(talk.received.body)))


@both
@pytest.mark.parametrize("coding", ["compress", "snappy", "gzip, br"])
def test_a_coding_that_cannot_be_read_is_refused(rig: Rig, dialect: str, coding: str) -> None:
    """What we cannot read does not go on; where the body is not what the header says it does not either."""
    talk = Talk(rig, dialect)
    _, answer = talk.ask(scenes.QUESTION, coding=coding)
    assert (True, None) == (answer.status in (400, 415), talk.received)
    assert ("block", "encoding") == verdict(rig, answer)[::2] or ("block", "malformed") == verdict(rig, answer)[::2]


@both
@listeners
@codings
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_compressed_answer_is_read(rig: Rig, dialect: str, listener: str, coding: str, stream: bool) -> None:
    """A server that compresses unasked hides nothing: the bad word is found and personal data is redacted."""
    bad, personal = Talk(rig, dialect, listener), Talk(rig, dialect, listener)
    bad.reply(f"It is called {scenes.BAD}.", stream=stream, coding=coding)
    _, answer = bad.ask(scenes.QUESTION, stream=stream)
    assert scenes.BAD.encode() not in answer.body
    assert verdict(rig, answer)[0] in ("block", "stop")
    assert (listener == "ingress") is (answer.status == 400)
    personal.reply(f"Write to {scenes.MAIL}.", stream=stream, coding=coding)
    _, answer = personal.ask(scenes.QUESTION, stream=stream)
    assert ("redact", "personal-data", "") == verdict(rig, answer)
    assert "[REDACTED" in plain(answer).decode().replace('"}', "")


def plain(answer: http2.Answer) -> bytes:
    """The body as its headers say that it is to be read."""
    coding = answer.headers.get("content-encoding", "")
    return CODINGS[coding][1](answer.body) if coding else answer.body


@both
@codings
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_good_compressed_answer_says_the_same(rig: Rig, dialect: str, coding: str, stream: bool) -> None:
    """A whole answer stays as it was, byte for byte; a stream arrives decoded, and its headers say so."""
    talk = Talk(rig, dialect)
    sent = talk.reply("All is well.", stream=stream, coding=coding)
    _, answer = talk.ask(scenes.QUESTION, stream=stream)
    assert (200, CODINGS[coding][1](sent)) == (answer.status, plain(answer))
    assert (None if stream else coding) == answer.headers.get("content-encoding")
    assert stream or answer.body == sent


@both
@ended_by_trailers
def test_trailers_arrive_on_both_sides(rig: Rig, dialect: str, listener: str, stream: bool) -> None:
    """A body that ends by trailers is whole: it is read, it goes on, and its trailers with it."""
    talk = Talk(rig, dialect, listener)
    sent = talk.reply("All is well.", stream=stream, trailers=[TRAILER])
    asked, answer = talk.ask(scenes.QUESTION, stream=stream, trailers=[TRAILER])
    assert talk.received is not None
    assert (asked, dict([TRAILER])) == (talk.received.body, talk.received.trailers)
    assert (200, sent, dict([TRAILER])) == (answer.status, answer.body, answer.trailers)
    assert ("allow", "", "") == verdict(rig, answer)


@both
@listeners
def test_an_attack_that_ends_by_trailers_is_refused(rig: Rig, dialect: str, listener: str) -> None:
    """The end of a body is found wherever it is said."""
    talk = Talk(rig, dialect, listener)
    _, answer = talk.ask(scenes.ATTACK, trailers=[TRAILER])
    assert (400, None) == (answer.status, talk.received)
    assert ("block", "jailbreak", "") == verdict(rig, answer)


@both
@ended_by_trailers
def test_redaction_keeps_trailers(rig: Rig, dialect: str, listener: str, stream: bool) -> None:
    """Edited bodies end as the others do."""
    talk = Talk(rig, dialect, listener)
    talk.reply(f"Write to {scenes.MAIL}.", stream=stream, trailers=[TRAILER])
    _, answer = talk.ask(f"Mail {scenes.MAIL}.", stream=stream, trailers=[TRAILER])
    assert (200, dict([TRAILER])) == (answer.status, answer.trailers)
    assert scenes.MAIL.encode() not in answer.body
    assert talk.received is not None
    assert scenes.MAIL.encode() not in talk.received.body
    assert dict([TRAILER]) == talk.received.trailers


@both
@ended_by_trailers
def test_a_bad_answer_that_ends_by_trailers_is_stopped(rig: Rig, dialect: str, listener: str, stream: bool) -> None:
    """Neither the text nor a broken transfer: a refusal, or the dialect's own end."""
    talk = Talk(rig, dialect, listener)
    talk.reply(f"It is called {scenes.BAD}.", stream=stream, trailers=[TRAILER])
    _, answer = talk.ask(scenes.QUESTION, stream=stream)
    assert scenes.BAD.encode() not in answer.body
    assert (True, None) == (answer.ended, answer.reset)
    assert verdict(rig, answer)[0] in ("block", "stop")


def test_the_fallback_refuses_what_it_cannot_wait_for(rig: Rig) -> None:
    """A whole answer that ends by trailers: Envoy in STREAMED mode would have us answer before the end. We do not."""
    talk = Talk(rig, "openai_chat", "buffered")
    talk.reply(f"It is called {scenes.BAD}.", trailers=[TRAILER])
    _, answer = talk.ask(scenes.QUESTION)
    assert (504, b"") == (answer.status, answer.body)
