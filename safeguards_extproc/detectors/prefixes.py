"""The beginnings of what a regular expression matches, as a regular expression.

A stream may be cut in the middle of a match. `beginnings(pattern)` gives the expression of every non-empty proper
prefix of every match of `pattern`, so that one search anchored at the end of a text finds how much of it may be an
unfinished match. The syntax is RE2's (https://github.com/google/re2/wiki/Syntax); the caller compiles `pattern` with
RE2 first, so what is parsed here is known to be well-formed.

Each part of an expression is described by four things, and the parts are put together bottom-up:

    whole     what the part matches inside a prefix; an assertion about what follows is met at the end of the text
    begun     its proper prefixes, the empty one included
    started   its proper prefixes, the empty one left out
    longest   most characters that it matches, None without bound

What is found may be more than the beginnings (see COUNTED), never less.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import re2  # type: ignore[import-untyped]

from safeguards_extproc.errors import ConfigError

DEEPEST = 100
"""Groups within groups."""

COUNTED = 4
"""Repetitions that are counted; more are taken for any number. A search from the end of a text begins in every count
at once, which costs an automaton thousands of states; `longest` bounds the length all the same."""

_REPEAT = re.compile(r"\{(\d+)(,(\d*))?\}")
_GROUP = re.compile(r"\?(?:P?<(?P<name>[^>]*)>|(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)]))")
_ESCAPE = re.compile(r"\\(?:[pP](?:\{[^}]*\}|.)|x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|[0-7]{1,3}|.)", re.DOTALL)
_POSIX = re.compile(r"\[:\^?[a-z]+:\]")


@dataclass(frozen=True, slots=True)
class Beginnings:
    """`pattern` matches the non-empty proper prefixes; None where no match is longer than one character.

    `longest` is the number of characters of the longest match, None without bound.
    """

    pattern: str | None
    longest: int | None


@dataclass(frozen=True, slots=True)
class _Part:
    whole: str
    begun: str | None
    started: str | None
    longest: int | None


_EMPTY = _Part("", None, None, 0)


def beginnings(pattern: str) -> Beginnings:
    """The proper prefixes of what `pattern` matches. Raises ConfigError where the nesting is too deep or a construct
    works on bytes."""
    part = _Parser(pattern).parse()
    return Beginnings(part.started, part.longest)


def _char(text: str) -> _Part:
    return _Part(text, "", None, 1)


def _either(options: Sequence[str | None]) -> str | None:
    known = dict.fromkeys(option for option in options if option is not None)
    return f"(?:{'|'.join(known)})" if known else None


def _both(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _sequence(parts: Sequence[_Part]) -> _Part:
    """Halves of halves: the prefixes of n parts then take n log n characters to write, nested log n deep."""
    if len(parts) <= 1:
        return parts[0] if parts else _EMPTY
    middle = len(parts) // 2
    left, right = _sequence(parts[:middle]), _sequence(parts[middle:])
    # After a left part that can be empty the prefix can be empty too: one empty match more, which does no harm.
    further = None if right.begun is None else left.whole + right.begun
    return _Part(
        left.whole + right.whole,
        _either((left.begun, further)),
        _either((left.started, further)),
        _both(left.longest, right.longest),
    )


def _choice(parts: Sequence[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    lengths = [part.longest for part in parts]
    longest = None if None in lengths else max(length for length in lengths if length is not None)
    whole = "|".join(part.whole for part in parts)
    return _Part(
        f"(?:{whole})",
        _either([part.begun for part in parts]),
        _either([part.started for part in parts]),
        longest,
    )


def _repeat(part: _Part, least: int, most: int | None) -> _Part:
    if most == 0:
        return _EMPTY
    longest = None if most is None or part.longest is None else most * part.longest
    if least > COUNTED or most is None or most > COUNTED:
        least, most = min(least, 1), None
    rest = "" if most is None else most - 1
    whole = f"(?:{part.whole})"
    again = f"{whole}{{0,{rest}}}{part.begun}"
    more = part.started if most == 1 else _either((part.started, f"{whole}{{1,{rest}}}{part.begun}"))
    return _Part(
        f"{whole}{{{least},{'' if most is None else most}}}",
        None if part.begun is None else again,
        None if part.begun is None else more,
        longest,
    )


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern, self._at, self._depth = pattern, 0, 0

    def parse(self) -> _Part:
        return self._choice("")

    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _choice(self, flags: str) -> _Part:
        """Up to the closing parenthesis or the end. Flags set on the way hold to the end of the group."""
        options: list[_Part] = []
        parts: list[_Part] = []
        while (char := self._next()) and char != ")":
            if char == "|":
                self._at += 1
                options.append(_sequence(parts))
                parts = []
            elif char == "(" and (group := _GROUP.match(self._pattern, self._at + 1)) and group["end"] == ")":
                self._at = group.end()
                flags = _changed(flags, group["flags"])
            elif self._pattern.startswith("\\Q", self._at):
                quoted = self._quoted(flags)
                parts.extend(quoted[:-1])
                parts.extend(self._repeated(last) for last in quoted[-1:])
            else:
                parts.append(self._repeated(self._atom(flags)))
        options.append(_sequence(parts))
        return _choice(options)

    def _atom(self, flags: str) -> _Part:
        char = self._next()
        match char:
            case "(":
                return self._group(flags)
            case "[":
                return _char(_flagged(self._class(), flags))
            case "\\":
                return self._escape(flags)
            case "^":
                self._at += 1
                return _Part(_flagged(char, flags), None, None, 0)
            case "$":
                self._at += 1
                return _Part(f"(?:{_flagged(char, flags)}|\\z)", None, None, 0)
            case ".":
                self._at += 1
                return _char(_flagged(char, flags))
            case _:
                self._at += 1
                return _char(_flagged(re2.escape(char), flags))

    def _group(self, flags: str) -> _Part:
        self._at += 1
        if group := _GROUP.match(self._pattern, self._at):
            self._at = group.end()
            if group["flags"]:
                flags = _changed(flags, group["flags"])
        self._depth += 1
        if self._depth > DEEPEST:
            raise ConfigError("groups are nested too deeply", hint=f"at most {DEEPEST}")
        inner = self._choice(flags)
        self._depth -= 1
        self._at += 1
        return inner

    def _class(self) -> str:
        begin, at = self._at, self._at + 1
        if self._pattern.startswith("^", at):
            at += 1
        first = at
        while self._pattern[at] != "]" or at == first:
            found = _POSIX.match(self._pattern, at) or _ESCAPE.match(self._pattern, at)
            at = found.end() if found else at + 1
        self._at = at + 1
        return self._pattern[begin : self._at]

    def _escape(self, flags: str) -> _Part:
        found = _ESCAPE.match(self._pattern, self._at)
        text = found[0] if found else "\\\\"
        self._at += len(text)
        match text:
            case "\\C":
                raise ConfigError("\\C matches a byte, which may be part of a character", hint="use (?s:.)")
            case "\\A":
                return _Part(text, None, None, 0)
            case "\\b" | "\\B" | "\\z":
                return _Part(f"(?:{text}|\\z)", None, None, 0)
            case _:
                return _char(_flagged(text, flags))

    def _quoted(self, flags: str) -> list[_Part]:
        begin = self._at + 2
        end = self._pattern.find("\\E", begin)
        end = len(self._pattern) if end < 0 else end
        self._at = min(end + 2, len(self._pattern))
        return [_char(_flagged(re2.escape(char), flags)) for char in self._pattern[begin:end]]

    def _repeated(self, part: _Part) -> _Part:
        while char := self._next():
            counted = _REPEAT.match(self._pattern, self._at) if char == "{" else None
            if counted:
                least = int(counted[1])
                most = least if counted[2] is None else int(counted[3]) if counted[3] else None
                self._at = counted.end()
            elif char in "*+?":
                least, most = (1 if char == "+" else 0), (1 if char == "?" else None)
                self._at += 1
            else:
                break
            if self._next() == "?":
                self._at += 1
            part = _repeat(part, least, most)
        return part


def _changed(flags: str, change: str) -> str:
    """The flags that hold after (?change); U (which match is preferred) does not matter here."""
    on, _, off = change.partition("-")
    return "".join(flag for flag in "ims" if flag not in off and (flag in flags or flag in on))


def _flagged(text: str, flags: str) -> str:
    return f"(?{flags}:{text})" if flags else text
