"""Recorded exchanges, with words of ours planted in them, then broken in every way that a network or a peer could.

Everything follows from one random number generator, so a seed names an exchange.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

GOLDEN = Path(__file__).parents[1] / "golden"
PATHS = {"openai_chat": "/v1/chat/completions", "anthropic_messages": "/v1/messages"}
SPOKEN = {"content", "text", "thinking", "partial_json", "reasoning_content", "refusal", "arguments", "transcript"}
"""Members that hold what a person or a model said."""

MARKER = "bluefinch"
"""The forbidden word."""

ADDRESS = "tom.keller@example.com"
"""What is to be redacted."""


@dataclass
class Case:
    """One exchange on the wire; `spoilt` says whether anything but what was said was changed."""

    dialect: str
    request: bytes
    response: bytes = b""
    streamed: bool = False
    encoding: str = ""
    spoilt: list[str] = field(default_factory=list)


@cache
def golden(dialect: str) -> list[tuple[bytes, bytes, bytes]]:
    """Requests, answers and streams of a dialect, where all three were recorded."""
    kinds = ("request.json", "response.json", "response.sse")
    files = [
        [GOLDEN / dialect / f"{path.name.partition('.')[0]}.{kind}" for kind in kinds]
        for path in sorted((GOLDEN / dialect).glob("*.request.json"))
    ]
    return [tuple(file.read_bytes() for file in each) for each in files if all(file.exists() for file in each)]  # type: ignore[misc]


def case(random: Random) -> Case:
    """An exchange: half of them as they should be but for what is said, half broken."""
    dialect = random.choice(sorted(PATHS))
    request, whole, stream = random.choice(golden(dialect))
    streamed = random.random() < 0.7
    asked, planter = Planter(random, bad=random.random() < 0.1), Planter(random, bad=random.random() < 0.5)
    made = Case(dialect, asked.body(request), streamed=streamed)
    if streamed:
        frames = planter.stream(stream)
        if random.random() < 0.4:
            frames = shuffled(random, frames, made.spoilt)
        made.response = b"".join(frames)
    else:
        made.response = planter.body(whole)
    if random.random() < 0.15:
        made.request = broken(random, made.request, made.spoilt)
    if random.random() < 0.4:
        made.response = broken(random, made.response, made.spoilt)
    if random.random() < 0.15:
        made.encoding = "gzip"
        made.response = gzip.compress(made.response, mtime=0)
        if random.random() < 0.3:
            made.response = broken(random, made.response, made.spoilt)
    return made


def readable(value: Any) -> Any:
    """The value without pictures and papers, which a strict policy refuses."""
    match value:
        case dict():
            return {key: readable(item) for key, item in value.items() if key != "audio"}
        case list():
            return [readable(item) for item in value if not _closed(item)]
    return value


def _closed(item: object) -> bool:
    match item:
        case {"type": "image" | "image_url"} | {"source": {"media_type": "application/pdf"}}:
            return True
    return False


class Planter:
    """Adds words to what is said: each a new one, so that it can be told where it was seen; at times the forbidden
    word or an address, whole or over two texts. One in ten keeps what no filter can read."""

    def __init__(self, random: Random, *, bad: bool) -> None:
        self._random, self._count, self._bad = random, 0, bad
        self._rest = ""
        self._unread = random.random() < 0.1

    def body(self, data: bytes) -> bytes:
        """A JSON body with more to read."""
        return self._dumps(json.loads(data)).encode()

    def stream(self, data: bytes) -> list[bytes]:
        """The frames of a stream, with more to read, some of them twice as many."""
        frames = []
        for frame in data.decode().split("\n\n")[:-1]:
            head, found, text = frame.partition("data: ")
            if not found or text == "[DONE]":
                frames.append(frame.encode() + b"\n\n")
                continue
            times = 1 + (self._random.random() < 0.3 and "delta" in text and "stop" not in text)
            frames += [f"{head}data: {self._dumps(json.loads(text))}\n\n".encode() for _ in range(times)]
        return frames

    def _dumps(self, value: Any) -> str:
        value = value if self._unread else readable(value)
        return json.dumps(self._grown(value), ensure_ascii=self._random.random() < 0.5)

    def _grown(self, value: Any, name: str = "") -> Any:
        match value:
            case dict():
                return {key: self._grown(item, key) for key, item in value.items()}
            case list():
                return [self._grown(item, name) for item in value]
            case str() if name in SPOKEN and self._random.random() < 0.7:
                return value + self._words()
        return value

    def _words(self) -> str:
        said = self._rest
        self._rest = ""
        for _ in range(self._random.choice((1, 1, 2, 5, 30))):
            self._count += 1
            said += f" w{self._count:05d}" + self._random.choice(("", "", ".", ",", "\n", ' "quoted"', " ü字🌊"))
        if self._bad and self._random.random() < 0.2:
            word = self._random.choice((MARKER, ADDRESS))
            cut = self._random.randrange(1, len(word) + 1)
            said, self._rest = f"{said} {word[:cut]}", f"{word[cut:]} "
            if cut == len(word):
                said, self._rest = said + ". ", ""
        return said


def broken(random: Random, data: bytes, spoilt: list[str]) -> bytes:
    """Bytes flipped, lost, doubled, cut off, moved."""
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        if not data:
            return data
        at = random.randrange(len(data))
        size = min(random.choice((1, 1, 2, 8, 64, 500)), len(data) - at)
        how = random.choice(("flip", "lose", "double", "cut", "move", "put"))
        spoilt.append(how)
        match how:
            case "flip":
                data = data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
            case "lose":
                data = data[:at] + data[at + size :]
            case "double":
                data = data[: at + size] + data[at:]
            case "cut":
                data = data[:at]
            case "move":
                rest = data[:at] + data[at + size :]
                to = random.randrange(len(rest) + 1)
                data = rest[:to] + data[at : at + size] + rest[to:]
            case "put":
                put = random.choice(
                    (b"\xff", b"\x00", b"\r", b"\n\n", b"\r\n\r\n", b"\xef\xbb\xbf", b'"', b"\\ud800", b"{", b"]")
                )
                data = data[:at] + put + data[at:]
    return data


def shuffled(random: Random, frames: list[bytes], spoilt: list[str]) -> list[bytes]:
    """Events lost, doubled, swapped, or come after the last one."""
    frames = list(frames)
    for _ in range(random.choice((1, 1, 2, 6))):
        if not frames:
            break
        at, to = random.randrange(len(frames)), random.randrange(len(frames))
        how = random.choice(("drop", "twice", "swap", "late", "comment"))
        spoilt.append(how)
        match how:
            case "drop":
                del frames[at]
            case "twice":
                frames.insert(to, frames[at])
            case "swap":
                frames[at], frames[to] = frames[to], frames[at]
            case "late":
                frames.append(frames[at])
            case "comment":
                frames.insert(at, random.choice((b": keep-alive\n\n", b"\n", b"retry: 10\n\n", b"\r\n")))
    return frames


def cuts(random: Random, data: bytes) -> list[bytes]:
    """Pieces of one size, or of any; some empty."""
    size = random.choice((0, 1, 7, 100, 1000, -1))
    if size == 0 or len(data) > 150 * size > 0:
        return [data]
    found, at = [], 0
    while at < len(data):
        step = size if size > 0 else random.choice((0, 1, 3, 40, 200, 3000))
        found.append(data[at : at + step])
        at += step
    return found or [b""]
