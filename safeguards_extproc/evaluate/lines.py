"""The line format of evaluation files: one JSON object a line, plain or gzip. What cannot be used is said with file and
line, never with its text.

    {"text": "…", "role": "user", "labels": {"attack": 1}, "source": "…", "category": "…"}
    {"prompt": "…", "response": "…", "labels": {"unsafe": 0}, "source": "…"}

A label that is absent was not judged. Every key of `labels` is measured, also one that no model of ours has. Members
that are not named here are not read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safeguards_extproc.errors import ConfigError, MalformedBody
from safeguards_extproc.replay.traffic import lines
from safeguards_extproc.wire.strict_json import read_object

ROLES = ("user", "tool", "assistant")
GROUPS = ("source", "category", "functionality")
"""Members by which results are counted apart. Only `source` has a default: the name of the file."""

LONGEST_NAME = 100
_LABEL = re.compile(r"[\w./+-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sample:
    """One line. `answer` is None unless the line is an exchange, of which the answer is what was judged."""

    where: str
    text: str = field(repr=False)
    answer: str | None = field(repr=False)
    role: str
    labels: Mapping[str, int]
    groups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class File:
    """A file that was read: how many lines, and the SHA-256 of what they say."""

    name: str
    lines: int
    digest: str


def read(path: Path, limit: int = 0) -> tuple[File, list[Sample]]:
    """The samples of a file, the first `limit` of them if it is not 0. ConfigError says the first line that cannot be
    used, and how to mend it."""
    digest, samples = hashlib.sha256(), list[Sample]()
    for number, line in lines(path):
        if limit and len(samples) == limit:
            break
        digest.update(line + b"\n")
        samples.append(sample(line, f"{path}:{number}", path.name.split(".")[0]))
    if not samples:
        raise ConfigError("no line in it", where=str(path))
    return File(path.name, len(samples), digest.hexdigest()), samples


def sample(line: bytes, where: str, source: str) -> Sample:
    """One line's sample; `source` is what its source is called if it does not say."""
    try:
        given = read_object(line)
    except MalformedBody as error:
        raise ConfigError(f"not a line of strict JSON: {error}", where=where, hint="one object a line, UTF-8") from None
    match given:
        case {"text": _, "prompt": _} | {"text": _, "response": _}:
            raise ConfigError("both a prompt and an exchange", where=where, hint="text, or prompt and response")
        case {"text": text}:
            spoken, answer, role = _text(text, "text", where), None, given.get("role", "user")
        case {"prompt": prompt, "response": response}:
            spoken, answer, role = _text(prompt, "prompt", where), _text(response, "response", where), "user"
        case _:
            raise ConfigError("no text in it", where=where, hint='give "text", or "prompt" and "response"')
    if role not in ROLES:
        raise ConfigError("role: not one that is known", where=where, hint=f"one of {', '.join(ROLES)}")
    groups = dict(_groups({"source": source, **given}, where))
    return Sample(where, spoken, answer, role, dict(_labels(given.get("labels", {}), where)), groups)


def _text(value: Any, name: str, where: str) -> str:
    match value:
        case str() if value.strip():
            return value
        case str():
            raise ConfigError(f"{name}: is empty", where=where, hint="leave the line out: there is nothing to judge")
    raise ConfigError(f"{name}: not a string", where=where)


def _labels(value: Any, where: str) -> Iterator[tuple[str, int]]:
    if not isinstance(value, dict):
        raise ConfigError("labels: not an object", where=where, hint='write {"attack": 1}')
    for name, judged in value.items():
        if not _LABEL.fullmatch(name):
            hint = "letters, digits and _ . / + -, at most 64"
            raise ConfigError("labels: the name of a label cannot be used", where=where, hint=hint)
        match judged:
            case bool() | 0 | 1:
                yield name, int(judged)
            case _:
                hint = "write 0 or 1, and leave a label out that was not judged"
                raise ConfigError(f"labels.{name}: neither 0 nor 1", where=where, hint=hint)


def _groups(given: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    for name in GROUPS:
        match given.get(name):
            case None:
                pass
            case str() as value if 0 < len(value) <= LONGEST_NAME and value.isprintable():
                yield name, value
            case _:
                hint = f"printable, at most {LONGEST_NAME} characters"
                raise ConfigError(f"{name}: not the name of a group", where=where, hint=hint)
