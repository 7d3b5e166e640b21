"""Word lists and regular expressions that an operator writes in the policy.

    options: {lists: {label: {keywords: [...], regex: [...], whole_words: true, ignore_case: true}}}

Every label is a score and an entity. A label may be shortened to a list, which is its keywords.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import re2  # type: ignore[import-untyped]

from safeguards_extproc.detectors.scanner import Row, Scanner, compile_row
from safeguards_extproc.errors import ConfigError

LETTER = r"\pL\pM\pN_"
"""What a word is made of. RE2's own \\b knows only ASCII."""

FIELDS = ("keywords", "regex", "whole_words", "ignore_case")

CHUNK = 200
"""Keywords in a row: RE2 takes more than twice as long for the beginnings of twice as many."""

LONGEST = 500
"""Characters of a keyword."""

_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")
"""Thai, Lao, Burmese, Khmer, kana, Han."""

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def patterns(name: str, options: Mapping[str, object]) -> Scanner:
    """A detector of `options`. Raises ConfigError with the place inside the options."""
    for key in options:
        if key != "lists":
            raise ConfigError("unknown option", where=str(key), hint="known: lists")
    lists = options.get("lists")
    if not isinstance(lists, Mapping) or not lists:
        raise ConfigError("no lists", where="lists", hint="lists: {label: {keywords: [word]}}")
    rows: list[Row] = []
    for label, body in lists.items():
        where = f"lists.{label}"
        if not isinstance(label, str) or not _LABEL.match(label):
            raise ConfigError("not a label", where=where, hint="letters, digits and _, not first a digit")
        rows.extend(_rows(label, body, where))
    return Scanner(name, rows)


def _rows(label: str, body: object, where: str) -> Iterator[Row]:
    if isinstance(body, list):
        body = {"keywords": body}
    if not isinstance(body, Mapping):
        raise ConfigError("not a list", where=where, hint="{keywords: [word], regex: [pattern]}")
    for key in body:
        if key not in FIELDS:
            raise ConfigError("unknown field", where=f"{where}.{key}", hint=f"known: {', '.join(FIELDS)}")
    flags = "(?i)" if _flag(body, "ignore_case", where) else ""
    keywords, expressions = _texts(body, "keywords", where), _texts(body, "regex", where)
    if not keywords and not expressions:
        raise ConfigError("an empty list", where=where, hint="give keywords or regex")
    if keywords:
        yield from _keywords(label, keywords, flags, whole=_flag(body, "whole_words", where), where=f"{where}.keywords")
    for index, expression in enumerate(expressions):
        place = f"{where}.regex[{index}]"
        row = Row(label, flags + expression)
        try:
            compiled = compile_row(row)
        except ConfigError as error:
            raise ConfigError(error.message, where=place, hint=error.hint or "RE2 has no lookaround") from error
        if compiled.expression.matches(b""):
            raise ConfigError("matches the empty text, so it would match everywhere", where=place, hint="use + for *")
        yield row


def _keywords(label: str, keywords: list[str], flags: str, *, whole: bool, where: str) -> Iterator[Row]:
    """Rows of words whose edges need the same guards."""
    for index, word in enumerate(keywords):
        if not word.strip():
            raise ConfigError("an empty keyword", where=f"{where}[{index}]", hint="remove it")
        if any(0xD800 <= ord(char) <= 0xDFFF for char in word):
            raise ConfigError("a lone surrogate", where=f"{where}[{index}]", hint="write the character itself")
        if len(word) > LONGEST:
            raise ConfigError("a keyword is too long", where=f"{where}[{index}]", hint=f"at most {LONGEST} characters")
    # Backwards by the alphabet: a word comes before its own beginning, and words that begin alike stand together.
    words = sorted({" ".join(word.split()) for word in keywords}, reverse=True)
    guards: dict[tuple[str, str], list[str]] = {}
    for word in words:
        before = f"(?:^|[^{LETTER}])" if whole and _spaced(word[0]) else ""
        after = f"(?:$|[^{LETTER}])" if whole and _spaced(word[-1]) else ""
        guards.setdefault((before, after), []).append(r"\s+".join(re2.escape(part) for part in word.split(" ")))
    for (before, after), cores in guards.items():
        for first in range(0, len(cores), CHUNK):
            yield Row(label, f"{flags}(?:{'|'.join(cores[first : first + CHUNK])})", before, after)


def _spaced(char: str) -> bool:
    """Whether words that begin or end with this character are set apart: letters of scripts that use spaces."""
    return (char.isalnum() or char == "_") and not _UNSPACED.match(char)


def _flag(body: Mapping[object, object], key: str, where: str) -> bool:
    value = body.get(key, True)
    if not isinstance(value, bool):
        raise ConfigError("not true or false", where=f"{where}.{key}", hint="true or false")
    return value


def _texts(body: Mapping[object, object], key: str, where: str) -> list[str]:
    values = body.get(key, [])
    if not isinstance(values, list):
        raise ConfigError("not a list", where=f"{where}.{key}", hint="[one, two]")
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise ConfigError("not a text", where=f"{where}.{key}[{index}]", hint="put it in quotes")
    return values
