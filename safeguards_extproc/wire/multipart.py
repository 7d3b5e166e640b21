"""multipart/form-data (RFC 7578) that only one reading is possible of: what parsers differ about is a MalformedBody.

Nothing stands before the first boundary or after the last, each is a whole line of CRLF, and its characters stand
nowhere else. A part has a disposition, perhaps a media type, and nothing that would have to be decoded: no folding, no
escapes, no `filename*`, no transfer encoding, no parts within.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from safeguards_extproc.errors import MalformedBody

MEDIA = "multipart/form-data"

MOST = 1000
"""Parts of a form."""

_BOUNDARY = re.compile(
    r"""multipart/form-data[ \t]*;[ \t]*(?:charset="?utf-8"?[ \t]*;[ \t]*)?
    boundary=(?:([0-9A-Za-z'+_.-]{1,70})|"([0-9A-Za-z'()+_,./:=?-]{1,70})")(?:[ \t]*;[ \t]*charset="?utf-8"?)?""",
    re.IGNORECASE | re.VERBOSE | re.ASCII,
).fullmatch
_HEADER = re.compile(rb"([0-9A-Za-z-]+):[ \t]*([^\x00-\x1f\x7f]*)").fullmatch
_DISPOSITION = re.compile(rb'form-data((?:[ \t]*;[ \t]*[a-z]+=(?:"[^"\\]*"|[^\s"\\;=%*]+))+)', re.IGNORECASE).fullmatch
_PARAMETER = re.compile(rb'([a-z]+)=(?:"([^"\\]*)"|([^\s"\\;=%*]+))', re.IGNORECASE)
_TYPE = re.compile(
    rb'([\w!#$&^.+-]+/[\w!#$&^.+-]+)((?:[ \t]*;[ \t]*[\w-]+=(?:[^\s;"]+|"[^"\\]*"))*)', re.ASCII
).fullmatch
_CHARSET = re.compile(rb';[ \t]*charset=(?:"([^"]*)"|([^\s;"]+))', re.IGNORECASE)
_AS_IS = frozenset((b"7bit", b"8bit", b"binary"))


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part's content, name and file name stand in the body; `filename` is None for a field that is no file."""

    name: str
    name_at: tuple[int, int]
    filename: str | None
    filename_at: tuple[int, int]
    media: str
    at: tuple[int, int]


def boundary(content_type: str) -> bytes | None:
    """The boundary that a Content-Type header names; b"" if the header can be read in two ways, None if it says that
    the body is no form."""
    if content_type.partition(";")[0].strip().lower() != MEDIA:
        return None
    match = _BOUNDARY(content_type.strip())
    return (match[1] or match[2]).encode() if match is not None else b""


def parts(body: bytes, boundary: bytes) -> list[Part]:
    """The parts of a form. Raises MalformedBody: "shape", "encoding" for what is not UTF-8, "values" for too many."""
    delimiter = b"--" + boundary
    if not boundary or not body.startswith(delimiter):
        raise MalformedBody("shape")
    if body.count(delimiter) > MOST:
        raise MalformedBody("values")
    _, *pieces, last = body.split(delimiter)
    if last not in (b"--", b"--\r\n"):
        raise MalformedBody("shape", offset=len(body) - len(last))
    found, at = [], 0
    for piece in pieces:
        at += len(delimiter)
        if len(piece) < 4 or not piece.startswith(b"\r\n") or not piece.endswith(b"\r\n"):
            raise MalformedBody("shape", offset=at)
        found.append(_part(piece, at))
        at += len(piece)
    return found


def _part(piece: bytes, at: int) -> Part:
    """The part that begins at byte `at` of the body, with the line ends around it."""
    head, blank, _ = piece[2:-2].partition(b"\r\n\r\n")
    if not blank:
        raise MalformedBody("shape", offset=at)
    disposition: tuple[bytes, int] | None = None
    seen: set[bytes] = set()
    media, start, content = "", at + 2, (at + len(head) + 6, at + len(piece) - 2)
    for line in head.split(b"\r\n"):
        match = _HEADER(line)
        if match is None or match[1].lower() in seen:
            raise MalformedBody("shape", offset=start)
        name, value = match[1].lower(), match[2].rstrip(b" \t")
        seen.add(name)
        match name:
            case b"content-disposition":
                disposition = value, start + match.start(2)
            case b"content-type":
                media = _media(value, start)
            case b"content-length" if value == b"%d" % (content[1] - content[0]):
                pass
            case b"content-transfer-encoding" if value.lower() in _AS_IS:
                pass
            case _:
                raise MalformedBody("shape", offset=start)
        start += len(line) + 2
    if disposition is None:
        raise MalformedBody("shape", offset=at)
    names = _names(*disposition)
    name, name_at = names.get("name", ("", (0, 0)))
    filename, filename_at = names.get("filename", (None, (0, 0)))
    if "name" not in names or name == "_charset_" or len(names) > 1 + (filename is not None):
        raise MalformedBody("shape", offset=at)
    return Part(name, name_at, filename, filename_at, media, content)


def _names(value: bytes, at: int) -> dict[str, tuple[str, tuple[int, int]]]:
    whole = _DISPOSITION(value)
    if whole is None:
        raise MalformedBody("shape", offset=at)
    found: dict[str, tuple[str, tuple[int, int]]] = {}
    for match in _PARAMETER.finditer(value, whole.start(1)):
        key, group = match[1].decode().lower(), 2 if match[2] is not None else 3
        if key in found:
            raise MalformedBody("shape", offset=at)
        found[key] = text(match[group]), (at + match.start(group), at + match.end(group))
    return found


def _media(value: bytes, at: int) -> str:
    match = _TYPE(value)
    charset = _CHARSET.findall(match[2]) if match is not None else []
    if match is None or len(charset) > 1:
        raise MalformedBody("shape", offset=at)
    if any((quoted or plain).lower() not in (b"utf-8", b"us-ascii") for quoted, plain in charset):
        raise MalformedBody("encoding", offset=at)
    media = match[1].decode().lower()
    if media.startswith(("multipart/", "message/")):
        raise MalformedBody("shape", offset=at)
    return media


def text(data: bytes) -> str:
    """UTF-8. Raises MalformedBody("encoding")."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedBody("encoding") from None
