"""Which route an exchange takes. The first that matches counts; the last one matches everything.

Hosts are matched without port, paths in the form that wire.paths gives them, so that no spelling slips past a route.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import re2  # type: ignore[import-untyped]

from safeguards_extproc.core.decision import Gate, Limits, Release, Route, Windowing
from safeguards_extproc.policy.document import Match, RouteSpec
from safeguards_extproc.wire.paths import normalise

CACHED = 2048
"""Answers kept; all are forgotten when there are more."""
CACHED_PATH = 256
"""Characters of the longest path whose answer is kept."""

_STAR = re.compile(r"(\*+)")


def glob(pattern: str, star: str) -> str:
    """A regular expression: `*` becomes `star`, `**` any run of characters, all else itself."""
    parts = _STAR.split(pattern)
    return "".join(
        (".*" if len(part) > 1 else star) if part.startswith("*") else re2.escape(part) for part in parts if part
    )


def matches_all(match: Match) -> bool:
    """Whether no exchange is left over after this match."""
    return not match.methods and _open(match.hosts, "*", "**") and _open(match.paths, "/**")


def _open(patterns: Sequence[str], *everything: str) -> bool:
    return not patterns or any(pattern in everything for pattern in patterns)


def authority(host: str) -> str:
    """A Host header's name without its port, in small letters, without a final dot."""
    host = host.strip().lower()
    name, colon, port = host.rpartition(":")
    if colon and (port.isdigit() or not port) and (name.endswith("]") or ":" not in name):
        host = name
    return host.rstrip(".")


Row = TypeVar("Row")


class _Entry(Generic[Row]):
    def __init__(self, match: Match, row: Row) -> None:
        self.methods = frozenset(match.methods)
        self.hosts, self.paths = _patterns(match.hosts, ".*"), _patterns(match.paths, "[^/]*")
        self.row = row


class Matches(Generic[Row]):
    """Rows, each with what it takes; `otherwise` is what none of them takes."""

    def __init__(self, rows: Sequence[tuple[Match, Row]], otherwise: Row) -> None:
        self._entries = [_Entry(match, row) for match, row in rows]
        self._otherwise = otherwise
        self._cache: dict[tuple[str, str, str], Row] = {}

    def find(self, method: str, host: str, path: str) -> Row:
        """The first row that matches."""
        key = (method, host, path)
        found = self._cache.get(key)
        if found is None:
            found = self._search(method.upper(), _printable(authority(host)), _printable(normalise(path)[0]))
            if len(path) <= CACHED_PATH and len(host) <= CACHED_PATH:
                if len(self._cache) >= CACHED:
                    self._cache.clear()
                self._cache[key] = found
        return found

    def _search(self, method: str, host: str, path: str) -> Row:
        for entry in self._entries:
            if entry.methods and method not in entry.methods:
                continue
            if entry.hosts is not None and not entry.hosts.fullmatch(host):
                continue
            if entry.paths is not None and not entry.paths.fullmatch(path):
                continue
            return entry.row
        return self._otherwise


class Table:
    """The routes of a policy, and a catch-all at their end unless the last of them is one."""

    def __init__(self, specs: Sequence[RouteSpec]) -> None:
        self.routes = tuple(route(spec) for spec in specs)
        if not specs or not matches_all(specs[-1].match):
            self.routes += (Route("default"),)
        self.find = Matches(
            [(spec.match, row) for spec, row in zip(specs, self.routes, strict=False)], self.routes[-1]
        ).find


def route(spec: RouteSpec) -> Route:
    """A route as the core wants it."""
    return Route(
        name=spec.name,
        inspect=spec.inspect,
        shed=spec.shed,
        format=spec.format,
        gate=Gate(spec.gate),
        release=Release(spec.release),
        windowing=Windowing(**spec.window.model_dump()),
        limits=Limits(**spec.limits.model_dump()),
        refuse_as=spec.refuse_as,
        strip_accept_encoding=spec.strip_accept_encoding,
    )


def _patterns(patterns: Sequence[str], star: str) -> Any:
    options = re2.Options()
    options.dot_nl = True
    return re2.compile("|".join(f"(?:{glob(p, star)})" for p in patterns), options) if patterns else None


def _printable(text: str) -> str:
    # RE2 reads UTF-8, which cannot hold the surrogates that stand for odd bytes in headers.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
