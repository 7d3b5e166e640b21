"""Texts of the kinds that requests are made of, varied and the same in every run: a repeated one would flatter caches.

Sentences are drawn from the phrases that models learn from, program text is the standard library's own.
"""

from __future__ import annotations

import base64
import functools
import json
import random
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

from training import grammar

TALK = ("honest_chat", "honest_everyday", "honest_replies", "honest_life", "honest_work", "honest_code")
PROSE = ("honest_long", "honest_stories", "honest_documents", "honest_academic", "honest_answers", "honest_world")
MODULES: tuple[str, ...] = (
    "argparse",
    "ast",
    "asyncio/base_events",
    "collections/__init__",
    "datetime",
    "email/message",
    "ipaddress",
)
MODULES += ("json/encoder", "logging/handlers", "subprocess", "tarfile", "typing", "urllib/parse", "xml/sax/saxutils")


def prose(rng: random.Random) -> Iterator[str]:
    """Paragraphs."""
    groups = [group for name in PROSE for group in _groups(name)]
    while True:
        yield " ".join(rng.choice(groups).draw(rng) for _ in range(rng.randint(2, 6))) + "\n\n"


def chat(rng: random.Random) -> Iterator[str]:
    """What people and assistants say by turns: a line or two, and an answer of a few paragraphs."""
    groups = [group for name in TALK for group in _groups(name)]
    answers = prose(rng)
    while True:
        yield " ".join(rng.choice(groups).draw(rng) for _ in range(rng.randint(1, 2)))
        yield "".join(next(answers) for _ in range(rng.randint(1, 3))).strip()


def code(rng: random.Random) -> Iterator[str]:
    """Functions and comments of programs."""
    folder = Path(sysconfig.get_path("stdlib"))
    parts = [part for name in MODULES for part in _source(folder / f"{name}.py")]
    while True:
        yield rng.choice(parts)


def encoded(rng: random.Random) -> Iterator[str]:
    """Pictures and files in base64 among words about them: four characters of five."""
    words = prose(rng)
    while True:
        said = next(words)[:400]
        data = base64.b64encode(rng.randbytes(3 * len(said)))
        head = rng.choice(("data:image/png;base64,", "data:application/pdf;base64,", "attachment: "))
        lines = b"\n".join(data[at : at + 76] for at in range(0, len(data), 76)) if head[0] == "a" else data
        yield f"{said}\n{head}{lines.decode()}\n\n"


def minified(rng: random.Random) -> Iterator[str]:
    """Records of a service, without a space that is not needed."""
    names = _words(prose(rng), 500)
    while True:
        number = rng.randint(10_000, 99_999_999)
        record = {
            "id": f"{rng.getrandbits(64):016x}",
            "sku": f"{rng.choice(names).upper()[:4]}-{number}",
            "title": " ".join(rng.choices(names, k=6)),
            "price": round(rng.uniform(1, 900), 2),
            "stock": rng.randint(0, 900),
            "active": rng.random() < 0.5,
            "tags": rng.choices(names, k=3),
            "made": f"2026-0{rng.randint(1, 9)}-{rng.randint(10, 28)}T{rng.randint(10, 23)}:{rng.randint(10, 59)}:07Z",
            "url": f"https://shop.example/p/{number}?ref={rng.choice(names)}",
            "at": [round(rng.uniform(-90, 90), 5), round(rng.uniform(-180, 180), 5)],
            "parent": None,
        }
        yield json.dumps(record, separators=(",", ":")) + ","


def chinese(rng: random.Random) -> Iterator[str]:
    """Chinese, and a few Japanese words."""
    return _language(rng, "languages_east_asia", ("zh-honest", "zh-lookalike", "zh-counter", "ja-honest"))


def russian(rng: random.Random) -> Iterator[str]:
    """Russian, and a little Ukrainian."""
    return _language(rng, "languages_east_slavic", ("ru-honest", "ru-lookalike", "ru-counter", "uk-honest"))


KINDS: dict[str, Callable[[random.Random], Iterator[str]]] = {
    "prose": prose,
    "chat": chat,
    "code": code,
    "base64": encoded,
    "minified JSON": minified,
    "Chinese": chinese,
    "Russian": russian,
}


def request(kind: str, size: int, seed: int = 7) -> bytes:
    """An OpenAI chat request of about `size` bytes: a turn for each text of a chat, else a document and a question."""
    texts, left = KINDS[kind](random.Random(seed)), size - 300  # noqa: S311
    pieces: list[str] = []
    while left > 3:  # a character may be too long for what is left
        piece = next(texts).encode()[:left].decode(errors="ignore")
        left -= len(piece.encode()) + (44 if kind == "chat" else 0)
        pieces.append(piece)
    if kind == "chat":
        said = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(pieces)]
    else:
        said = [{"role": "user", "content": f"Summarise this in five points.\n\n{''.join(pieces)}"}]
    messages = [{"role": "system", "content": "You are a careful assistant. Answer briefly."}, *said]
    fields = {"model": "bench", "messages": messages, "temperature": 0.2, "stream": True}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


@functools.cache
def _groups(name: str) -> list[grammar.Group]:
    return grammar.read(grammar.FOLDER / f"{name}.yaml")


def _language(rng: random.Random, file: str, names: tuple[str, ...]) -> Iterator[str]:
    groups = [group for group in _groups(file) if group.name in names]
    while True:
        yield rng.choice(groups).draw(rng) + ("" if file.endswith("asia") else " ") + "\n" * (rng.random() < 0.1)


def _source(path: Path) -> list[str]:
    """A module, cut where functions and classes begin."""
    return [f"\n\n{part}" for part in path.read_text().split("\n\n") if len(part) > 80]


def _words(texts: Iterator[str], count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found.update(dict.fromkeys(word for word in next(texts).lower().split() if word.isalpha() and word.isascii()))
    return list(found)[:count]
