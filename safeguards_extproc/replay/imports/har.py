"""HTTP Archive 1.2 (w3c.github.io/web-performance/specs/HAR/Overview.html), as browsers and proxies write it.

A HAR is one JSON document, so a file is read whole: `LARGEST` bounds it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from safeguards_extproc.core.taken import Taken
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import messages
from safeguards_extproc.replay.traffic import opened

LARGEST = 128 << 20
"""Bytes of a file, unpacked; read, it takes three times as much memory."""


class Header(msgspec.Struct):
    name: str
    value: str


class Posted(msgspec.Struct):
    text: str = ""
    encoding: str = ""


class Asked(msgspec.Struct):
    method: str
    url: str
    headers: list[Header] = []
    postData: Posted | None = None  # noqa: N815 (the format's name)


class Content(msgspec.Struct):
    text: str = ""
    encoding: str = ""


class Answered(msgspec.Struct):
    status: int = 0
    headers: list[Header] = []
    content: Content = msgspec.field(default_factory=Content)


class Timings(msgspec.Struct):
    wait: float = 0.0


class Entry(msgspec.Struct):
    request: Asked
    response: Answered
    startedDateTime: str = ""  # noqa: N815 (the format's name)
    time: float = 0.0
    timings: Timings = msgspec.field(default_factory=Timings)


class Log(msgspec.Struct):
    entries: list[Entry]


class Archive(msgspec.Struct):
    log: Log


def exchanges(path: Path) -> Iterator[Taken]:
    """Every entry, in order. A body stands in it decoded, so `content-encoding` is left out."""
    try:
        with opened(path) as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError("cannot be read", where=str(path), hint=type(error).__name__) from None
    if len(data) > LARGEST:
        raise ConfigError(f"more than {LARGEST >> 20} MiB", where=str(path), hint="split it by its entries")
    try:
        entries = msgspec.json.decode(data, type=Archive).log.entries
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = str(error) if isinstance(error, msgspec.DecodeError) else "not UTF-8"
        raise ConfigError(why, where=str(path), hint="not an HTTP Archive 1.2") from None
    del data
    for number, entry in enumerate(entries):
        yield _taken(f"har-{number}", entry, f"{path}: entry {number}")


def _taken(id: str, entry: Entry, where: str) -> Taken:
    try:
        url = urlsplit(entry.request.url)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        posted = entry.request.postData or Posted()
        sent = _bytes(posted.text, posted.encoding)
        got = _bytes(entry.response.content.text, entry.response.content.encoding)
    except (ValueError, binascii.Error):
        raise ConfigError("a URL or a body that cannot be read", where=where) from None
    asked = messages.request(entry.request.method, url.netloc, target, _pairs(entry.request.headers), sent)
    answered = None
    if entry.response.status:  # 0 where no answer came
        first, last = (round(max(value, 0.0) * 1000) for value in (entry.timings.wait, entry.time))
        chunks = [(max(first, last), got)] if got else []
        answered = messages.response(entry.response.status, _pairs(entry.response.headers), chunks, first)
    return Taken(id, entry.startedDateTime, messages.messages(asked, answered))


def _bytes(text: str, encoding: str) -> bytes:
    return base64.b64decode(text, validate=True) if encoding == "base64" else text.encode("utf-8", "replace")


def _pairs(headers: list[Header]) -> list[tuple[str, str]]:
    return [(each.name, each.value) for each in headers if each.name.lower() != "content-encoding"]
