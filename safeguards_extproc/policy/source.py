"""YAML text becomes plain data, and each value keeps its line.

Scalars follow YAML 1.2's core schema, so `on` is a word and not a boolean. Anchors, aliases, tags, several documents
and duplicate keys are refused: two readers could take them differently, and an alias can grow without bound.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from safeguards_extproc.policy.problems import PolicyError, Problem

Path = tuple[str | int, ...]

LARGEST = 1 << 20
"""Characters that a policy may have."""
DEEPEST = 24
"""Levels of lists and mappings that a policy may have."""

_INT = re.compile(r"[-+]?[0-9]{1,18}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_FOREIGN_BREAK = re.compile("[\x85\u2028\u2029]")
_BREAK = "some YAML readers end a line here; write it as an escape in double quotes"
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(slots=True)
class Source:
    """Plain data, and the line (from 1) of every path in it. `name` is the file, as the operator wrote it."""

    name: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)

    def where(self, path: Path = ()) -> str:
        """ "file:line" of the value at `path`, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines.get(path, 1)}"

    def problem(self, path: Path, message: str, hint: str = "") -> Problem:
        return Problem(self.where(path), dotted(path), message, hint)


def dotted(path: Path) -> str:
    """ "rules[2].then": a path as people write it."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read; `key` is the key whose value comes next, None where a key is due."""

    value: dict[str, Any] | list[Any]
    path: Path
    key: str | None = None


def read(text: str, name: str) -> Source:
    """Parse one YAML document. Raises PolicyError with every problem found up to the first syntax error."""
    source = Source(name)
    problems: list[Problem] = []
    if len(text) > LARGEST:
        raise PolicyError([Problem(name, "", f"longer than {LARGEST} characters")])
    if foreign := _FOREIGN_BREAK.search(text):
        line = text.count("\n", 0, foreign.start()) + 1
        raise PolicyError([Problem(f"{name}:{line}", "", f"character #x{ord(foreign[0]):04x} is not allowed", _BREAK)])
    try:
        _build(text, source, problems)
    except yaml.YAMLError as error:
        problems.append(_syntax(error, text, name))
    if not problems and not isinstance(source.data, dict):
        problems.append(Problem(f"{name}:1", "", "a policy is a mapping", "begin with version: 1"))
    if problems:
        raise PolicyError(problems)
    return source


def _build(text: str, source: Source, problems: list[Problem]) -> None:
    stack: list[_Open] = []
    documents = 0

    def wrong(event: Any, message: str, hint: str = "") -> None:
        problems.append(Problem(f"{source.name}:{event.start_mark.line + 1}", "", message, hint))

    def place(event: Any, value: Any) -> Path | None:
        """Put a value where it belongs; None if it was a key."""
        line = event.start_mark.line + 1
        if not stack:
            source.data, source.lines[()] = value, line
            return ()
        top = stack[-1]
        path: Path
        if isinstance(top.value, list):
            path = (*top.path, len(top.value))
            top.value.append(value)
            source.lines[path] = line
            return path
        if top.key is None:
            top.key = _key(event, value, top, source, wrong)
            return None
        path = (*top.path, top.key)
        top.value[top.key] = value
        top.key = None
        return path

    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if getattr(event, "anchor", None) is not None:
            wrong(event, "anchors and aliases are not allowed", "write the value out; thresholds: names numbers once")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                wrong(event, "a second document", "one policy, one file")
                return
        elif isinstance(event, yaml.AliasEvent):
            place(event, None)
        elif isinstance(event, yaml.ScalarEvent):
            if event.tag is not None:
                wrong(event, "tags are not allowed", "quote a value to make it a string")
            place(event, event.value if event.style else plain(event.value))
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if event.tag is not None:
                wrong(event, "tags are not allowed")
            if len(stack) == DEEPEST:
                wrong(event, f"nested deeper than {DEEPEST} levels")
                return
            value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
            path = place(event, value)
            if path is None:
                return
            stack.append(_Open(value, path))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            stack.pop()


def _key(event: Any, value: Any, top: _Open, source: Source, wrong: Any) -> str:
    if not isinstance(value, str):
        wrong(event, "a key must be a string", "" if isinstance(value, dict | list) else "quote it")
        return str(event.start_mark.index)
    path = (*top.path, value)
    if path in source.lines:
        wrong(event, f"key {value!r} stands twice", f"first on line {source.lines[path]}")
    else:
        source.lines[path] = event.start_mark.line + 1
    return value


def plain(text: str) -> Any:
    """What an unquoted scalar means in YAML 1.2's core schema. Infinity and NaN stay strings, as do huge numbers."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if len(text) <= 64 and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _syntax(error: yaml.YAMLError, text: str, name: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        message = error.problem or error.context or "not YAML"
        rows = text.splitlines()
        indent = rows[line - 1][: len(rows[line - 1]) - len(rows[line - 1].lstrip())] if line <= len(rows) else ""
        hint = "indent with spaces, not tabs" if "\\t" in message or "\t" in indent else "check indentation and quotes"
        return Problem(f"{name}:{line}", "", f"not YAML: {message}", hint)
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Problem(f"{name}:{line}", "", f"not YAML: character #x{error.character:04x} is not allowed")
    return Problem(name, "", "not YAML")
