"""Plain values as YAML that people read: short maps on a line, and why beside what is not obvious.

It writes what JSON can hold and nothing else; `yaml.safe_load` reads back what was given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from safeguards_extproc.attach.reasons import reason

WIDTH, WIDEST = 100, 120
"""Characters of a map or list on one line, and of a line with its comment."""

_PLAIN = re.compile(r"[A-Za-z/][\w./-]*|[0-9]+(\.[0-9]+)?m?s|[0-9]+(\.[0-9]+){3}")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}


def text(value: Mapping[str, Any]) -> str:
    """A document, ending with a line feed."""
    return "".join(f"{line}\n" for line in _map(value, ""))


def _map(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, each in value.items():
        why = reason(name, each)
        short = _flow(each)
        fits = short and (not isinstance(each, Mapping | list | tuple) or len(indent) + len(name) + len(short) < WIDTH)
        line = f"{indent}{_scalar(name)}:{f' {short}' if fits else ''}"
        if why and len(line) + len(why) + 3 > WIDEST:
            yield f"{indent}# {why}"
            why = ""
        yield f"{line} # {why}" if why else line
        if not fits:
            yield from _block(each, indent + "  ")


def _block(value: object, indent: str) -> Iterator[str]:
    match value:
        case Mapping():
            yield from _map(value, indent)
        case list() | tuple():
            for each in value:
                yield from _item(each, indent)
        case _:
            yield indent + _scalar(value)


def _item(value: object, indent: str) -> Iterator[str]:
    short = _flow(value)
    if short and len(indent) + len(short) < WIDTH:
        yield f"{indent}- {short}"
        return
    first, *rest = _block(value, indent + "  ")
    yield f"{indent}- {first[len(indent) + 2 :]}"
    yield from rest


def _flow(value: object) -> str:
    """A value on one line, "" if it is a map or list with something in it that has more inside."""
    match value:
        case Mapping():
            if any(isinstance(each, Mapping | list | tuple) and each for each in value.values()):
                return ""
            if len(value) > 1 and any(reason(name, each) for name, each in value.items()):
                return ""
            return "{" + ", ".join(f"{_scalar(name)}: {_flow(each)}" for name, each in value.items()) + "}"
        case list() | tuple():
            if any(isinstance(each, Mapping | list | tuple) for each in value):
                return ""
            return "[" + ", ".join(map(_scalar, value)) + "]"
        case _:
            return _scalar(value)


def _scalar(value: object) -> str:
    if not isinstance(value, str):
        return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if value.isascii() and value.isprintable():
        return json.dumps(value)
    return '"' + "".join(f"\\U{ord(each):08X}" for each in value) + '"'  # JSON's pairs of surrogates are not YAML


def stream(documents: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Several documents, each under a comment of what it is."""
    parts = []
    for title, document in documents:
        head = "".join(f"# {line}\n" for line in title.splitlines())
        parts.append(head + text(document))
    return "---\n".join(parts)
