"""Paths of values in JSON as an operator writes them: the part of RFC 9535 that names places and asks no questions.

`$` is the body, `@` an item of a list in it; then come names (`.title`, `['first name']`), positions (`[0]`) and
wildcards (`[*]` or `.*`: every element, every member). A slice, a filter or a search at any depth is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from safeguards_extproc.core.text import Path

Step = str | int | None
"""A name, a position, or None for every element and member."""

Steps = tuple[Step, ...]

LONGEST = 500
MOST_STEPS = 32

_FIRST = r"A-Za-z_\u0080-\ud7ff\ue000-\U0010ffff"
_STEP = re.compile(
    rf"""\.(?P<name>[{_FIRST}][{_FIRST}0-9]*)|\.\*|\[\s*(?:\*|(?P<index>0|[1-9][0-9]{{0,8}})|"""
    r"""'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)")\s*\]"""
)
_ESCAPED_QUOTE = re.compile(r'\\(.)|"', re.DOTALL)
_FOREIGN = (
    (re.compile(r"\.\."), "'..' is not supported: name every step of the way"),
    (re.compile(r"\[\s*\?"), "a filter is not supported: name the place, every element is [*]"),
    (re.compile(r"\[\s*-"), "a position is counted from the start, from 0"),
    (re.compile(r"\[[^\]'\"]*:"), "a slice is not supported: every element is [*]"),
    (re.compile(r"\[[^\]]*,"), "one step at a time: write a path for each"),
    (re.compile(r"\.[^.\[]*[^.\[]"), "a name with other signs than letters, digits and '_' is written ['so']"),
)


def parse(text: str, root: str) -> Steps:
    """The steps of a path that begins with `root`, "$" or "@". Raises ValueError that says what is wrong with it."""
    if not text.startswith(root):
        whose = "the body" if root == "$" else "an item of the list"
        raise ValueError(f"must be a path within {whose}: it begins with {root}")
    if len(text) > LONGEST:
        raise ValueError(f"longer than {LONGEST} characters")
    at, steps = 1, list[Step]()
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            reason = next((reason for foreign, reason in _FOREIGN if foreign.match(text, at)), "is no step of a path")
            raise ValueError(f"{text[at:]!r} in {text!r}: {reason}")
        steps.append(_step(match))
        at = match.end()
    if len(steps) > MOST_STEPS:
        raise ValueError(f"more than {MOST_STEPS} steps")
    return tuple(steps)


def singular(steps: Steps) -> Path | None:
    """The one place that a path names; None if it names several."""
    found = tuple(step for step in steps if step is not None)
    return found if len(found) == len(steps) else None


def find(value: object, path: Sequence[str | int]) -> object:
    """What stands at a place; None where there is nothing."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _step(match: re.Match[str]) -> Step:
    if match["name"] is not None:
        return match["name"]
    if match["index"] is not None:
        return int(match["index"])
    if match["single"] is not None:
        return _unquoted(_ESCAPED_QUOTE.sub(_in_double_quotes, match["single"]))
    return None if match["double"] is None else _unquoted(match["double"])


def _in_double_quotes(match: re.Match[str]) -> str:
    return "'" if match[1] == "'" else match[0] if match[1] else '\\"'


def _unquoted(inside: str) -> str:
    try:
        name: str = json.loads(f'"{inside}"')
        name.encode()
    except ValueError:
        raise ValueError(f"the name {inside!r} is not written as JSON writes strings") from None
    return name
