"""Our own traffic files (replay/traffic.py): what a client asks, what a model would answer, what should be done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from safeguards_extproc.core.taken import Taken
from safeguards_extproc.replay import messages
from safeguards_extproc.replay.answers import DIALECTS, writes
from safeguards_extproc.replay.requests import MODELS, request
from safeguards_extproc.replay.traffic import Exchange, lines, parsed

HOST = "sample.test"


def exchanges(path: Path) -> Iterator[Taken]:
    """Every line, in order."""
    for exchange in parsed(str(path), lines(path)):
        yield taken(exchange)


def recognise(path: Path) -> bool:
    """Whether the first line names a format, as a traffic file's does."""
    for _, line in lines(path):
        try:
            match msgspec.json.decode(line):
                case {"format": str()}:
                    return True
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        break
    return False


def taken(exchange: Exchange) -> Taken:
    """A sample as Envoy would tell of it, its answer chunk by chunk where it streams."""
    sent = request(exchange)
    asked = messages.request("POST", HOST, sent.path, sent.headers.items(), sent.body)
    answer, dialect = exchange.answer, DIALECTS[exchange.format]
    model = exchange.model or MODELS[exchange.format]
    if exchange.stream:
        media, parts = "text/event-stream", list(writes(answer, dialect.events(answer, model)))
    else:
        media, parts = "application/json", [msgspec.json.encode(dialect.whole(answer, model))]
    step = round(answer.delay_ms * 1000)
    chunks = [(number * step, part) for number, part in enumerate(parts)]
    answered = messages.response(200, [("content-type", media)], chunks, 0)
    expect = exchange.expect
    expected = {name: str(said) for name in ("request", "response") if expect and (said := getattr(expect, name))}
    return Taken(exchange.id, "", messages.messages(asked, answered), expected=expected)
