"""Gemini: where text stands in a content and its parts. Members decide what a part is, whichever of them are there.

Channels: content or candidate n is "n"; its calls and the code that it runs are calls "n.m", what came back is
Kind.TOOL "n.m". The text parts of one content are one text, as clients join them; what else its writer put beside them
is "n.more", so that it does not part them. A thought's signature is no text: only the provider can write it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from safeguards_extproc.core.text import Channel, Kind, Path, Segment
from safeguards_extproc.wire.gemini_names import IDENTIFIERS, members
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.raw import fill
from safeguards_extproc.wire.strict_json import KEY

FIELDS: Channel = (Kind.OTHER, "fields")

_MEDIA = re.compile(r"\s*(image|audio|video)/(?!svg)", re.IGNORECASE).match
_OPAQUE = re.compile(r"[A-Za-z0-9+/=_-]*").fullmatch
_MODELS = frozenset((Kind.ASSISTANT, Kind.CONTENT))
_NOTHING: frozenset[str] = frozenset()
_CALLS = frozenset(("functionCall", "toolCall", "executableCode"))
_RESULTS = frozenset(("functionResponse", "toolResponse", "codeExecutionResult"))


@dataclass(slots=True)
class Calls:
    """How far the counting of calls and results has come, and the calls that go on: by the name of their content, the
    channel and, for each argument that comes in pieces, the channel of its text."""

    counts: dict[Channel, int] = field(default_factory=dict)
    going: dict[str, tuple[Channel, dict[str, Channel]]] = field(default_factory=dict)

    def next(self, kind: Kind, name: str) -> Channel:
        """The channel of one more of its kind."""
        number = self.counts.get((kind, name), 0)
        self.counts[kind, name] = number + 1
        return kind, f"{name}.{number}"


class Parts:
    """Reads contents into `leaves`; `closed` are the calls and results that are whole. `calls` is kept over a stream's
    chunks, so that a call has the same channel streamed and not."""

    __slots__ = ("_calls", "_numbers", "closed", "leaves")

    def __init__(self, calls: Calls | None = None) -> None:
        self.leaves = Leaves()
        self.closed: list[Channel] = []
        self._calls = calls or Calls()
        self._numbers: list[Segment] = []

    def fill(self, body: bytes) -> None:
        """Give the numbers in arguments their text, as it is written in `body`."""
        fill(body, self._numbers, self.leaves.segments)

    def content(self, value: object, path: Path, name: str, kind: Kind) -> None:
        """A content, or what a lenient parser takes for one: a part, parts, a string."""
        if isinstance(value, dict):
            for member, key, item in members(value):
                here = (*path, key)
                if member == "parts":
                    self._parts(item, here, name, kind)
                elif member == "role" and isinstance(item, str):
                    self._role(item, here, name)
                else:
                    self.leaves.rest((kind, name + ".more"), {key: item}, path, _NOTHING, IDENTIFIERS)
        else:
            self._parts(value, path, name, kind)

    def opaque(self, channel: Channel, value: object, path: Path) -> None:
        """State of the provider's in base64; anything else is text."""
        if not (isinstance(value, str) and _OPAQUE(value)):
            self.leaves.tree(channel, value, path)

    def _role(self, role: str, path: Path, name: str) -> None:
        if role not in ("user", "model", "function", "tool", "system", ""):
            self.leaves.alone((Kind.OTHER, name), role, path)

    def _parts(self, value: object, path: Path, name: str, kind: Kind) -> None:
        if isinstance(value, list):
            for index, part in enumerate(value):
                self._part(part, (*path, index), name, kind)
        else:
            self._part(value, path, name, kind)

    def _part(self, part: object, path: Path, name: str, kind: Kind) -> None:
        leaves = self.leaves
        if isinstance(part, str):
            leaves.text((kind, name), part, path)
            return
        if not isinstance(part, dict):
            leaves.tree((kind, name), part, path)
            return
        channel = (Kind.REASONING if part.get("thought") is True and kind in _MODELS else kind, name)
        beside = (kind, name + ".more")
        for member, key, value in members(part):
            here = (*path, key)
            match member, value:
                case "text", str():
                    leaves.text(channel, value, here)
                case "thoughtSignature", _:
                    self.opaque(beside, value, here)
                case "inlineData", dict():
                    self._blob(channel, value, here)
                case "fileData", dict():
                    self._file(value, here)
                case _, dict() if member in _CALLS:
                    self._call(value, here, name)
                case _, dict() if member in _RESULTS:
                    self._result(value, here, name)
                case "audioTranscription", dict():
                    self._transcript(value, here, name, kind)
                case _:
                    leaves.rest(beside, {key: value}, path, _NOTHING, IDENTIFIERS)

    def _blob(self, channel: Channel, blob: dict[str, object], path: Path) -> None:
        """Bytes in the body: text where they are text."""
        media = _media(blob)
        for member, key, value in members(blob):
            if member == "data" and isinstance(value, str):
                if media:
                    self.leaves.unread.add(media)
                elif value:
                    segments, at = self.leaves.segments, len(self.leaves.segments)
                    self.leaves.file(channel, value, (*path, key), "document")
                    if len(segments) > at:
                        segments.insert(at, Segment(channel, "\n", ()))
                        segments.append(Segment(channel, "\n", ()))
            else:
                self.leaves.rest(FIELDS, {key: value}, path, _NOTHING, IDENTIFIERS)

    def _file(self, file: dict[str, object], path: Path) -> None:
        """A link to media is text; the media itself is not."""
        self.leaves.unread.add(_media(file) or "file")
        self.leaves.rest(FIELDS, file, path, _NOTHING, IDENTIFIERS)

    def _transcript(self, value: dict[str, object], path: Path, name: str, kind: Kind) -> None:
        for member, key, item in members(value):
            if member == "text" and isinstance(item, str):
                self.leaves.text((kind, name + ".audio"), item, (*path, key))
            else:
                self.leaves.rest((Kind.OTHER, name), {key: item}, path, _NOTHING, IDENTIFIERS)

    def _call(self, call: dict[str, object], path: Path, name: str) -> None:
        """A call's text is its name, then the names and values of its arguments, each on a line. Where arguments come
        in pieces, each has a channel of its own: they may come by turns."""
        leaves = self.leaves
        going = self._calls.going
        channel, pieces = going.pop(name) if name in going else (self._calls.next(Kind.TOOL_CALL, name), {})
        goes_on = False
        fields = list(members(call))
        for member, key, value in sorted(fields, key=lambda item: item[0] != "name"):
            here = (*path, key)
            match member, value:
                case "name", str():
                    leaves.alone(channel, value, here)
                case "code", str():
                    leaves.text(channel, value, here)
                case "args", _:
                    self._struct(channel, value, here)
                case "partialArgs", list():
                    for index, item in enumerate(value):
                        self._piece(channel, pieces, item, (*here, index))
                case "willContinue", bool():
                    goes_on = value
                case _:
                    leaves.rest(channel, {key: value}, path, _NOTHING, IDENTIFIERS)
        if goes_on:
            going[name] = channel, pieces
        else:
            self.closed += [channel, *pieces.values()]

    def _piece(self, call: Channel, pieces: dict[str, Channel], piece: object, path: Path) -> None:
        if not isinstance(piece, dict):
            self.leaves.tree(call, piece, path)
            return
        fields = {member: (key, value) for member, key, value in members(piece)}
        channel = call
        match fields.pop("jsonPath", None):
            case str(key), str(where):
                known = pieces.get(where)
                channel = known or (call[0], f"{call[1]}.{len(pieces)}")
                if known is None:
                    pieces[where] = channel
                    self.leaves.alone(channel, where, (*path, key))
            case str(key), value:
                self.leaves.tree(call, value, (*path, key))
        for member, (key, value) in fields.items():
            if member == "stringValue" and isinstance(value, str):
                self.leaves.text(channel, value, (*path, key))
            elif member not in ("willContinue", "nullValue"):
                self._struct(channel, value, (*path, key))

    def _struct(self, channel: Channel, value: object, path: Path) -> None:
        """Every name and value, each alone: how the JSON is spaced and escaped, which streams and whole answers do
        differently, does not matter."""
        match value:
            case str():
                self.leaves.alone(channel, value, path)
            case dict():
                for key, item in value.items():
                    self.leaves.alone(channel, key, (*path, key, KEY))
                    self._struct(channel, item, (*path, key))
            case list():
                for index, item in enumerate(value):
                    self._struct(channel, item, (*path, index))
            case int() | float() if not isinstance(value, bool):
                number = Segment(channel, "", path, raw=True)
                self._numbers.append(number)
                self.leaves.segments += (number, Segment(channel, "\n", ()))

    def _result(self, result: dict[str, object], path: Path, name: str) -> None:
        """What tools brought in."""
        leaves, channel = self.leaves, self._calls.next(Kind.TOOL, name)
        for member, key, value in members(result):
            here = (*path, key)
            match member, value:
                case "name" | "output", str():
                    leaves.alone(channel, value, here)
                case "parts", _:
                    self._parts(value, here, channel[1], Kind.TOOL)
                case "response", _:
                    leaves.tree(channel, value, here)
                case _:
                    leaves.rest(channel, {key: value}, path, _NOTHING, IDENTIFIERS)
        self.closed.append(channel)


def _media(fields: dict[str, object]) -> str:
    """ "image", "audio" or "video" where the media type says so, else ""."""
    for member, _, value in members(fields):
        if member == "mimeType" and isinstance(value, str) and (match := _MEDIA(value)):
            return match[1].lower()
    return ""
