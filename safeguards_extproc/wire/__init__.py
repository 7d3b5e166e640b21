"""Bytes to text and back, per provider API. `FORMATS` is the table; a new API is one module and one row.

The package itself is a `core.text.Wire`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from safeguards_extproc.core.text import Format
from safeguards_extproc.wire.anthropic_messages import AnthropicMessages
from safeguards_extproc.wire.encodings import Decoder
from safeguards_extproc.wire.opaque import Opaque
from safeguards_extproc.wire.openai_chat import OpenAIChat
from safeguards_extproc.wire.paths import normalise

__all__ = ["CLAIMS", "FORMATS", "ROWS", "Row", "claims", "decoder", "resolve"]


@dataclass(frozen=True, slots=True)
class Row:
    """A format, and the paths that it claims for POST, whatever stands before them."""

    format: Format
    paths: tuple[str, ...]


ROWS = (
    Row(OpenAIChat(), ("/chat/completions",)),
    Row(AnthropicMessages(), ("/v1/messages", "/v1/messages/count_tokens")),
    Row(Opaque(), ()),
)


def claims(rows: Iterable[Row]) -> dict[str, Format]:
    """Who claims each path; raises ValueError if two formats claim one."""
    claimed: dict[str, Format] = {}
    for row in rows:
        for path in row.paths:
            if path in claimed:
                raise ValueError(f"{claimed[path].name} and {row.format.name} both claim {path}")
            claimed[path] = row.format
    return claimed


FORMATS: dict[str, Format] = {row.format.name: row.format for row in ROWS}
CLAIMS = claims(ROWS)
_LONGEST_FIRST = sorted(CLAIMS.items(), key=lambda claim: -len(claim[0]))


def resolve(name: str, method: str, target: str) -> Format:
    """The format called `name`, or for "auto" the one with the longest claim on the path; "opaque" if none has.

    `target` is the request target as sent, query included. Raises KeyError for a name that is not in FORMATS.
    """
    if name != "auto":
        return FORMATS[name]
    if method.upper() == "POST":
        path, _ = normalise(target)
        for claim, format_ in _LONGEST_FIRST:
            if path.endswith(claim):
                return format_
    return FORMATS["opaque"]


def decoder(encoding: str, limit: int) -> Decoder:
    """For a content-encoding header's value; at most `limit` bytes come out. Raises MalformedBody for unknown ones."""
    return Decoder(encoding, limit)
