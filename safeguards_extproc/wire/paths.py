"""A request target as a server may understand it: matching uses the form that the most lenient one would see."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"(?:/[a-z0-9_~-][a-z0-9._~:@-]*)+").fullmatch
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE).match
_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_KEPT = frozenset("%?#;")  # decoded, these would read as the target's own punctuation
_PASSES = 3  # of decoding: %252e is a dot to two servers in a row
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


def normalise(target: str) -> tuple[str, str]:
    """The path for matching (lower case, decoded, without dot segments, doubled or final slashes), and the query.

    Takes origin form ("/v1/x?y") and absolute form; never raises. "/" is the path of what has none.
    """
    path, _, query = target.partition("?")
    if _PLAIN(path):
        return path, query
    path = path.partition("#")[0]
    origin = _ORIGIN(path)
    if origin:
        path = path[origin.end() :]
    for _pass in range(_PASSES):
        decoded = _ESCAPE.sub(_decode, path)
        if decoded == path:
            break
        path = decoded
    segments: list[str] = []
    for segment in _CONTROL.sub("", path).replace("\\", "/").lower().split("/"):
        name = segment.partition(";")[0]
        if name == "..":
            del segments[-1:]
        elif name not in ("", "."):
            segments.append(name)
    return "/" + "/".join(segments), query


def _decode(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    if code == 0x25:
        return "%"
    return chr(code) if code < 0x80 and chr(code) not in _KEPT else match[0]
