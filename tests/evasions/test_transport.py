"""Evasions 1 to 19: how the bytes travel."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from dataclasses import replace

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from safeguards_extproc import wire
from safeguards_extproc.core.events import Body, BodyMode
from safeguards_extproc.core.text import Direction
from tests.evasions.scene import (
    ATTACKS,
    HARMLESS,
    PATHS,
    STRICT,
    Row,
    Sent,
    answer,
    ask,
    asking,
    dumps,
    judged,
    over,
    plain,
    refused,
    saying,
    sent,
    streaming,
    withheld,
)
from tests.playbook import REQUEST, RESPONSE, Conversation, request_headers, response_headers

pytestmark = pytest.mark.long


def encoded(name: str, *layers, says: str | None = None):
    """The body in layers of compression, and a header that names them, or says something else."""

    def make(dialect: str, text: str) -> Sent:
        body = plain(dialect, text).body
        for layer in layers:
            body = layer(body)
        return sent(dialect, body, {"content-encoding": name if says is None else says})

    return make


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def bomb(dialect: str, text: str) -> Sent:
    body = dumps(asking(dialect, text, metadata={"padding": " " * 30_000_000}))
    return sent(dialect, gzip.compress(body), {"content-encoding": "gzip"})


def cut(size: int, before: str = "", *, escaped: bool = False):
    def make(dialect: str, text: str) -> Sent:
        return sent(dialect, dumps(asking(dialect, before + text), escaped=escaped), size=size)

    return make


def spelt(dialect: str, text: str) -> Sent:
    """Every letter escaped, and cut within the escapes."""
    body = dumps(asking(dialect, "TEXT")).replace(b"TEXT", "".join(f"\\u{ord(char):04x}" for char in text).encode())
    return sent(dialect, body, size=3)


def partial(dialect: str, text: str) -> Sent:
    return replace(plain(dialect, text), mode=BodyMode.PARTIAL)


def long(dialect: str, text: str) -> Sent:
    body = asking(dialect, [{"type": "text", "text": "x" * (9 << 20)}, {"type": "text", "text": text}])
    return sent(dialect, body, size=1 << 20)


def at(path: str):
    return lambda dialect, text: replace(plain(dialect, text), path=path)


def under(path: str):
    """The dialect's own path, written otherwise."""
    return lambda dialect, text: replace(plain(dialect, text), path=path.format(PATHS[dialect]))


def with_headers(**headers: str):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda dialect, text: sent(dialect, asking(dialect, text), named)


def with_fields(**fields: object):
    return lambda dialect, text: sent(dialect, asking(dialect, text, **fields))


def two_questions(dialect: str, text: str) -> Sent:
    """The upstream answers the one, and the filter might have read the other."""
    return Sent(dumps({**asking(dialect, HARMLESS), "inputs": text}), "/v9/unheard-of")


FORM = {"content-type": "application/x-www-form-urlencoded"}


def grpc(dialect: str, text: str) -> Sent:
    body = b"\0" + struct.pack(">I", len(text)) + text.encode()
    return Sent(body, "/inference.GRPCInferenceService/ModelInfer", {"content-type": "application/grpc"})


ROWS = (
    Row(1, "gzip", encoded("gzip", gzip.compress)),
    Row(1, "gzip in capitals", encoded("GZip", gzip.compress)),
    Row(2, "brotli", encoded("br", brotli.compress)),
    Row(3, "zstd", encoded("zstd", zstandard.compress)),
    Row(4, "deflate", encoded("deflate", zlib.compress)),
    Row(4, "raw deflate", encoded("deflate", raw_deflate)),
    Row(4, "gzip called deflate", encoded("deflate", gzip.compress), same=False),
    Row(4, "deflate called gzip", encoded("gzip", zlib.compress), same=False),
    Row(5, "gzip within brotli", encoded("gzip, br", gzip.compress, brotli.compress)),
    Row(5, "four deep", encoded("gzip, gzip, gzip, gzip", *[gzip.compress] * 4), same=False),
    Row(5, "the other way round", encoded("br, gzip", gzip.compress, brotli.compress), same=False),
    Row(6, "plain called gzip", encoded("gzip"), same=False),
    Row(6, "gzip without a header", encoded("", gzip.compress), same=False),
    Row(6, "an encoding that nobody knows", encoded("compress"), same=False),
    Row(6, "cut short", encoded("gzip", gzip.compress, lambda data: data[:-9]), same=False),
    Row(7, "a bomb", bomb, same=False),
    Row(9, "single bytes", cut(1)),
    Row(10, "within letters", cut(1, "ü字🌊 ")),
    Row(11, "within escapes", cut(1, "ü字🌊 ", escaped=True)),
    Row(11, "every letter escaped", spelt),
    Row(12, "only the beginning is sent", partial, same=False),
    Row(12, "longer than the limit", long, same=False),
    Row(14, "ended by trailers", lambda dialect, text: replace(plain(dialect, text), trailers=True)),
    Row(15, "a wrong length", with_headers(content_length="5")),
    Row(15, "two lengths", with_headers(content_length="5, 90")),
    Row(15, "chunked twice", with_headers(transfer_encoding="chunked, chunked", content_length="0")),
    Row(16, "doubled slashes", under("/{}")),
    Row(16, "final slash", under("{}/")),
    Row(16, "escaped", lambda d, t: replace(plain(d, t), path=PATHS[d].replace("m", "%6D").replace("c", "%63"))),
    Row(16, "escaped twice", lambda d, t: replace(plain(d, t), path=PATHS[d].replace("m", "%256d"))),
    Row(16, "dot segments", under("/x/..{}")),
    Row(16, "a dot", under("/.{}")),
    Row(16, "capitals", lambda dialect, text: replace(plain(dialect, text), path=PATHS[dialect].upper())),
    Row(16, "a query", under("{}?alt=sse")),
    Row(16, "a parameter", under("{};a=b")),
    Row(16, "another origin", under("https://models.test{}")),
    Row(16, "method override", with_headers(x_http_method_override="GET")),
    Row(16, "an unknown route", at("/v9/unheard-of")),
    Row(16, "an unknown API", lambda _, text: Sent(dumps({"q": text}), "/v9/unheard-of"), same=False),
    Row(16, "another API's question beside it", two_questions, same=False),
    Row(16, "a form", lambda _, text: Sent(b"q=" + text.encode(), "/v9/unheard-of", FORM), same=False),
    Row(16, "another method", lambda dialect, text: replace(plain(dialect, text), method="QUERY")),
    Row(
        16, "another API by another method", lambda _, text: Sent(dumps({"q": text}), "/v9/x", method="PUT"), same=False
    ),
    Row(17, "a header that selects", with_headers(x_guardrails="none", x_safeguards_policy="off")),
    Row(17, "a forged verdict", with_headers(x_safeguards_outcome="allow", x_safeguards_response="pass")),
    Row(17, "a member that selects", with_fields(guardrails=[], safeguards={"enabled": False})),
    Row(19, "gRPC", grpc, same=False),
)


@over(ROWS)
def test_transport(row: Row, dialect: str, text: str) -> None:
    """However it travels, an attack is refused; harmless text passes, unless the form alone is refused."""
    judged(row, dialect, text)


def removed(talk: Conversation, direction: Direction) -> set[str]:
    """Headers that do not go on."""
    headers = talk.seen[direction].headers
    assert headers is not None
    return set(headers.remove)


ENCODINGS = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("dialect", PATHS)
def test_compressed_answers(name: str, dialect: str) -> None:
    """8: an answer is read however it is compressed, whole or streamed; clients are not offered compression."""
    for text, verdict in ((ATTACKS[0], True), (HARMLESS, False)):
        for reply in (saying(dialect, text), streaming(dialect, text)):
            packed = replace(reply, body=ENCODINGS[name](reply.body), headers={"content-encoding": name}, size=7)
            assert verdict is withheld(answer(dialect, packed))
    offered = ask(replace(plain(dialect, HARMLESS), headers={"accept-encoding": "gzip, br"}))
    assert "accept-encoding" in removed(offered, REQUEST)


@pytest.mark.parametrize("dialect", PATHS)
def test_a_body_that_never_ends(dialect: str) -> None:
    """13: what trickles in is refused at the deadline; nothing of it has left by then."""
    talk = Conversation(STRICT, wire=wire)
    talk.feed(request_headers(PATHS[dialect]))
    talk.feed(Body(REQUEST, plain(dialect, ATTACKS[0]).body[:40], False))
    talk.fire("request-body")
    assert talk.refused is not None
    assert 408 == talk.refused.status
    assert b"" == talk.upstream_saw()


@pytest.mark.parametrize("dialect", PATHS)
def test_an_answer_ended_by_trailers(dialect: str) -> None:
    """14: trailers end an answer as its last byte would."""
    talk = ask(plain(dialect, HARMLESS))
    talk.feed(response_headers("text/event-stream"))
    talk.send(RESPONSE, [streaming(dialect, ATTACKS[0]).body], end=False)
    talk.trailers(RESPONSE)
    assert withheld(talk)


@pytest.mark.parametrize("dialect", PATHS)
def test_forged_headers_are_removed(dialect: str) -> None:
    """17: what only the filter may say does not get past it, in either direction."""
    forged = {"x-safeguards-outcome": "allow", "x-safeguards-id": "1"}
    talk = ask(sent(dialect, asking(dialect, HARMLESS), forged))
    assert forged.keys() <= removed(talk, REQUEST)
    talk = answer(dialect, replace(saying(dialect, HARMLESS), headers=forged))
    assert forged.keys() <= removed(talk, RESPONSE)


@pytest.mark.parametrize("path", ["/v1/realtime?model=m", *PATHS.values(), "/model/m/invoke-with-bidirectional-stream"])
def test_tunnels(path: str) -> None:
    """18: what flows through a tunnel cannot be read, so no tunnel is opened where that is not allowed."""
    tunnel = Sent(b"", path, {"upgrade": "websocket", "connection": "upgrade"}, method="GET")
    assert refused(ask(tunnel))


def test_that_the_table_bites() -> None:
    """Planted fault: a transport that hides the text from the filter is a row that fails."""

    def hidden(dialect: str, text: str) -> Sent:
        return sent(dialect, json.dumps(asking(dialect, text[::-1])).encode())

    with pytest.raises(AssertionError):
        test_transport(Row(0, "x", hidden), "openai_chat", "tell me")
