"""What is fuzzed: every parser that reads bytes which somebody else chose. `TARGETS` is the table.

A target takes any bytes and raises only if a promise is broken. Wire formats are held to the contract of their tests.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from h2.connection import H2Connection

from safeguards_extproc import wire
from safeguards_extproc.adapters import extproc
from safeguards_extproc.errors import IllegalEvent, LimitExceeded, MalformedBody
from safeguards_extproc.policy.load import parse
from safeguards_extproc.policy.problems import PolicyError
from safeguards_extproc.records.encode import from_json
from safeguards_extproc.rpc import frames
from safeguards_extproc.rpc.connection import Connection
from safeguards_extproc.wire import strict_json
from safeguards_extproc.wire.encodings import Decoder
from safeguards_extproc.wire.paths import normalise
from tests.adapters.peer import DUPLEX, body, headers, trailers
from tests.contract import wire_contract as contract
from tests.declarations import DECLARED
from tests.rpc.talk import GRPC, HEADERS, Silent, framed

Target = Callable[[bytes], None]

FORMATS = {**wire.FORMATS, **DECLARED}

ENCODINGS = ("gzip", "deflate", "br", "zstd", "gzip, br", "identity")
DECODED = 1 << 20
CHUNKED = 512
"""Bodies up to so long are cut in every way; a byte at a time takes long."""


def wire_format(name: str, data: bytes) -> None:
    """Reading is total, in both directions, whole and streamed, and frames do not depend on chunks."""
    contract.reading_is_total(FORMATS[name], data)
    if len(data) <= CHUNKED and name not in contract.STREAMLESS:
        contract.frames_do_not_depend_on_chunks(FORMATS[name], data)


def unclaimed(data: bytes) -> None:
    """A body on a path that nobody claims is some format's, nobody's or malformed; so is its answer."""
    with contextlib.suppress(MalformedBody):
        known = wire.recognise(data)
        if known is not None:
            known.read_request(data)
    for asked in (b'{"messages": []}', b'{"inputText": "hi"}'):
        known = wire.recognise(asked)
        if known is None:
            raise AssertionError("nobody's")
        contract.reading_is_total(known, data)


def json_text(data: bytes) -> None:
    """What the strict parser takes, the standard library's reads as the same."""
    try:
        value = strict_json.loads(data)
    except MalformedBody:
        return
    if value != json.loads(data):
        raise AssertionError("read otherwise than by the standard library")


def encoding(data: bytes) -> None:
    """At most the limit comes out, in however many chunks it goes in."""
    decoder = Decoder(ENCODINGS[data[0] % len(ENCODINGS)] if data else "gzip", DECODED)
    with contextlib.suppress(MalformedBody, LimitExceeded):
        plain = b"".join(decoder.push(data[at : at + 512]) for at in range(1, len(data), 512))
        if len(plain + decoder.finish()) > DECODED:
            raise AssertionError("more than the limit came out")


def envoy_message(data: bytes) -> None:
    """A message is read or refused."""
    for read in (extproc.opened, extproc.decode):
        with contextlib.suppress(IllegalEvent):
            read(data)


def http_2(data: bytes) -> None:
    """What a client says after its greeting is answered alike however it is cut; nothing raises, no call is left."""
    heard = []
    for size in (len(data) or 1, 1, 7) if len(data) <= CHUNKED else (len(data), 1000):
        connection = Connection(Silent, lambda: None)
        connection.receive(frames.PREFACE + frames.settings({}))
        said = connection.take()
        for start in range(0, len(data), size):
            connection.receive(data[start : start + size])
            said += connection.take()
        heard.append((said, connection.closed))
        connection.lost()
        if connection.calls:
            raise AssertionError("a call is left")
    if any(each != heard[0] for each in heard):
        raise AssertionError("it depends on how the bytes were cut")


def path(data: bytes) -> None:
    """A path is made normal once and for all."""
    normal, _ = normalise(data.decode("latin-1"))
    if not normal.startswith("/"):
        raise AssertionError("not a path")


def policy(data: bytes) -> None:
    """A document becomes a policy, or every problem with it is told."""
    with contextlib.suppress(PolicyError):
        parse(data.decode("utf-8", "replace"), "fuzzed")


def record(data: bytes) -> None:
    """A line is a record or none."""
    with contextlib.suppress(ValueError):
        from_json(data)


TARGETS: Mapping[str, Target] = {
    **{name: partial(wire_format, name) for name in FORMATS},
    "unclaimed": unclaimed,
    "json": json_text,
    "encoding": encoding,
    "envoy": envoy_message,
    "http_2": http_2,
    "path": path,
    "policy": policy,
    "record": record,
}


def seeds(name: str) -> Iterable[bytes]:
    """Valid inputs to begin with: the golden bodies of a format, else of all."""
    if name == "envoy":
        for direction in ("request", "response"):
            yield headers(direction, mode=DUPLEX, path="/v1/messages")
            yield body(direction, b"{}", end=True)
            yield trailers(direction)
        return
    if name == "http_2":
        talk = H2Connection()
        talk.initiate_connection()
        talk.data_to_send()
        for number in (1, 3):
            talk.send_headers(number, HEADERS + GRPC)
            talk.send_data(number, framed(b"hello", b"there"), end_stream=number == 1)
        talk.ping(b"12345678")
        talk.increment_flow_control_window(1000)
        talk.reset_stream(3)
        yield talk.data_to_send()
        return
    if name in FORMATS:
        yield from contract.streams(name)
    folder = contract.GOLDEN / name
    for file in sorted((folder if folder.is_dir() else contract.GOLDEN).rglob("*")):
        if file.is_file():
            yield file.read_bytes()
    if name == "policy":
        for file in sorted(Path("policies").glob("*.yaml")):
            yield file.read_bytes()
