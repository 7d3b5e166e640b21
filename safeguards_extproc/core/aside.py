"""Work on a whole body, as values that say what to do: at once where it is light, elsewhere where it would hold up
every other stream. The same bytes give the same outcome wherever it is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from safeguards_extproc.core import media
from safeguards_extproc.core.placeholders import Original
from safeguards_extproc.core.recipes import Parts, Recipe, parts_of
from safeguards_extproc.core.text import MAX_TOKENS, Direction, Document, Format, Wire
from safeguards_extproc.errors import LimitExceeded, MalformedBody

HEAVY = 1 << 18
"""Bytes of a body, as it came or decoded, above which nothing is done with it at once. So many take 4 ms."""

LARGE = 1 << 15
"""Bytes of a body above which reading it takes a turn of its own: many may end in what one connection brings at once.
So many take 0.3 ms."""

CROWDED, CALM = 1 << 15, 1 << 15
"""The most values of a body that is read at once, by the marks that each needs at least one of, and the bytes that
are not worth counting them in. A value takes up to 1 µs."""

SEGMENTS = 1 << 17
"""The most texts in a body, separators counted: so many are let go of in 20 ms."""

MARKS = b'",[{'
IDENTITY = ("", "identity")
UNREADABLE = {"content-encoding": "encoding", "values": "too-large"}
"""What policy is told of a body that is malformed in one of these ways."""

UNAVAILABLE = "unavailable"
"""What policy is told where the work was to be done elsewhere and was not."""


@dataclass(slots=True)
class Parsed:
    """What a body says. `reason` is "" or why it cannot be read, as in `Facts.uninspectable`.

    `decoded` if its content-encoding could be undone: to `size` bytes, and `plain` is those, where they are at hand.
    `format` is the one that it was read by, None if it has the shape of none. `told` is what stands at the places that
    were asked for, none where the body is malformed.
    """

    reason: str = ""
    decoded: bool = False
    size: int = 0
    document: Document = field(default_factory=lambda: Document([]))
    format: Format | None = None
    plain: bytes | None = None
    told: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Parsed({self.reason or self.size}, {len(self.document.segments)} segments)"


@dataclass(slots=True)
class Parse:
    """Decode a body and read it. `format` None: the one whose shape it has. `limit` bounds the decoded bytes; `status`
    is the response's, 0 of a request. `wants` are paths whose values a request is asked for, and MAX_TOKENS, which it
    then says as a feature (`Wire.pick`)."""

    direction: Direction
    format: Format | None
    body: bytes
    encoding: str
    limit: int
    status: int = 0
    wants: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"Parse({self.direction.value}, {len(self.body)} bytes)"

    def at_once(self, wire: Wire) -> Parsed | None:
        """The outcome, or None if this is to be done elsewhere."""
        if heavy(self.body):
            return None
        limit = min(self.limit, HEAVY)
        try:
            plain = decoded(wire, self.body, self.encoding, limit)
        except MalformedBody as error:
            return Parsed(self._slug(error))
        except LimitExceeded as error:
            return None if error.limit == "decoded_bytes" and limit < self.limit else Parsed("too-large")
        if plain is not self.body and heavy(plain):
            return None
        parsed = self._read(wire, plain)
        parsed.plain = plain
        return parsed

    def run(self, wire: Wire) -> Parsed:
        """The outcome, which does not bring the decoded body along; no error is raised."""
        try:
            plain = decoded(wire, self.body, self.encoding, self.limit)
        except MalformedBody as error:
            return Parsed(self._slug(error))
        except LimitExceeded:
            return Parsed("too-large")
        return self._read(wire, plain)

    def undone(self, reason: str = UNAVAILABLE) -> Parsed:
        """The outcome where it was not done."""
        return Parsed(reason)

    def _read(self, wire: Wire, plain: bytes) -> Parsed:
        try:
            if self.direction is Direction.REQUEST and not plain and self.format is None:
                return Parsed("", True)
            format_ = self.format or wire.recognise(plain)
            if format_ is None:
                return Parsed("", True, len(plain), told=self._told(wire, plain, ""))
            if self.direction is Direction.REQUEST:
                document = format_.read_request(plain)
            else:
                document = format_.read_response(plain, self.status)
        except MalformedBody as error:
            return Parsed(self._slug(error), True, len(plain))
        if len(document.segments) > SEGMENTS:
            return Parsed("too-large", True, len(plain))
        told = self._told(wire, plain, format_.name)
        if MAX_TOKENS in told:
            document.features[MAX_TOKENS] = int(told.pop(MAX_TOKENS))
        return Parsed("", True, len(plain), document, format_, told=told)

    def _told(self, wire: Wire, plain: bytes, format_: str) -> dict[str, str]:
        return wire.pick(plain, self.wants, format_) if self.wants else {}

    def _slug(self, error: MalformedBody) -> str:
        # A redirect or an error of a gateway is often a page, not the API's: unknown rather than broken.
        return UNREADABLE.get(error.reason, media.ANSWER if self.status >= 300 else "malformed")


@dataclass(slots=True)
class Rewritten:
    """The decoded body, edited; None if that changed nothing, or could not be done for `reason`. Counts and originals
    are those of `masking.Masked`."""

    body: bytes | None = None
    reason: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    originals: Mapping[str, Original] = field(default_factory=dict)
    restored: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Rewritten({self.reason or (self.body is not None and len(self.body))})"


@dataclass(slots=True)
class Rewrite:
    """Decode a body that was read, and change it as `recipe` says; `steer` is an instruction to add to a request, ""
    for none. `limit` and `status` are those with which it was read."""

    direction: Direction
    format: Format
    body: bytes
    encoding: str
    limit: int
    status: int = 0
    recipe: Recipe | None = None
    steer: str = ""

    def __repr__(self) -> str:
        return f"Rewrite({self.direction.value}, {len(self.body)} bytes)"

    def at_once(self, parts: Parts) -> Rewritten:
        """The outcome for a body that is decoded and light, and says `parts`."""
        try:
            return self._changed(self.body, parts)
        except MalformedBody:
            return Rewritten(reason="malformed")

    def run(self, wire: Wire) -> Rewritten:
        """The outcome; no error is raised."""
        try:
            plain = decoded(wire, self.body, self.encoding, self.limit)
            parts: Parts = ()
            if self.recipe is not None and not self.recipe.idle:
                if self.direction is Direction.REQUEST:
                    document = self.format.read_request(plain)
                else:
                    document = self.format.read_response(plain, self.status)
                parts = parts_of(document)
            return self._changed(plain, parts)
        except (MalformedBody, LimitExceeded):
            return Rewritten(reason="malformed")

    def undone(self, reason: str = UNAVAILABLE) -> Rewritten:
        """The outcome where it was not done."""
        return Rewritten(reason=reason)

    def _changed(self, plain: bytes, parts: Parts) -> Rewritten:
        body, result = plain, Rewritten()
        if self.recipe is not None:
            found = self.recipe.changes(parts)
            result = Rewritten(None, "", found.counts, found.originals, found.restored)
            if found.edits:
                body = self.format.edit(body, found.edits)
            body = self.recipe.finish(body)
        if self.steer:
            body = self.format.steer(body, self.steer)
        if body != plain:
            result.body = body
        return result


Task = Parse | Rewrite
Outcome = Parsed | Rewritten


def heavy(body: bytes) -> bool:
    """Whether work on a body is too much to be done at once."""
    size = len(body)
    # Taking them out is one pass, counting each of them four.
    return size > HEAVY or (size > CALM and size - len(body.translate(None, MARKS)) > CROWDED)


def decoded(wire: Wire, body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its content-encoding. Raises MalformedBody or LimitExceeded."""
    if encoding in IDENTITY:
        return body
    decoder = wire.decoder(encoding, limit)
    return decoder.push(body) + decoder.finish()
