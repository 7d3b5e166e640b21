"""What a format collects: known texts at their places, and every other string, so that no field is a blind spot.

Only names and values that look like identifiers are passed over, and only where a format says that the field holds
one. A separator follows a text that stands alone (a stop word, a name), so that neighbours do not run together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from safeguards_extproc.core.text import Channel, Kind, Path, Segment
from safeguards_extproc.wire.edits import DECODED, decoded
from safeguards_extproc.wire.strict_json import KEY

identifier = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}").fullmatch
"""Whether a string may be an id, a model's name or a value from a closed set."""


def words(text: str) -> frozenset[str]:
    """The names in a list written as one string."""
    return frozenset(text.split())


SCHEMA_WORDS = words(
    "type function name description parameters strict input_schema custom format grammar definition syntax properties "
    "required items enum const default examples title anyOf allOf oneOf not $ref $defs $schema definitions pattern "
    "additionalProperties minimum maximum exclusiveMinimum exclusiveMaximum minLength maxLength minItems maxItems "
    "multipleOf uniqueItems nullable schema json_schema cache_control ttl defer_loading"
)
"""Names of members that are JSON Schema's or the API's own, where a schema or a tool is defined."""

SCHEMA_IDENTIFIERS = words("type syntax ttl required $ref")
"""Members of a schema whose values are from closed sets, or names that the schema gives elsewhere."""

_TELLING = frozenset((str, dict, list))
"""Types of values in which there may be text."""

_MEDIA_URL = re.compile(r"data:(image|audio|video|font)/", re.IGNORECASE).match


class Leaves:
    """Segments in the order of the document, and what could not be read."""

    __slots__ = ("segments", "unread")

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.unread: set[str] = set()

    def text(self, channel: Channel, text: str, path: Path) -> None:
        """A text that continues its channel."""
        if text:
            self.segments.append(Segment(channel, text, path))

    def alone(self, channel: Channel, text: str, path: Path) -> None:
        """A text that stands for itself on a channel of many."""
        if text:
            self.segments.append(Segment(channel, text, path))
            self.segments.append(Segment(channel, "\n", ()))

    def file(self, channel: Channel, data: str, path: Path, what: str) -> None:
        """Base64 or a data URL: its text where it is text, else `what` is unread."""
        known = decoded(data)
        if known is None:
            self.unread.add(what)
        else:
            self.text(channel, known[1], (*path, DECODED))

    def tree(
        self,
        channel: Channel,
        value: object,
        path: Path,
        identifiers: frozenset[str] = frozenset(),
        words: frozenset[str] | None = None,
    ) -> None:
        """Every string in `value`, each alone, and the names of members.

        A string, or a list of them, in a member in `identifiers` is passed over while it looks like one. Names are
        passed over if they are in `words`, or without `words` if they look like identifiers.
        """
        if isinstance(value, str):
            media = _MEDIA_URL(value)
            if media is None:
                self.alone(channel, value, path)
            else:
                self.unread.add(media[1].lower())
        elif isinstance(value, dict):
            for key, item in value.items():
                if not (identifier(key) if words is None else key in words):
                    self.alone(channel, key, (*path, key, KEY))
                if type(item) in _TELLING and not (key in identifiers and _closed(item)):
                    self.tree(channel, item, (*path, key), identifiers, words)
        elif isinstance(value, list) and not _TELLING.isdisjoint(map(type, value)):
            for index, item in enumerate(value):
                if type(item) in _TELLING:
                    self.tree(channel, item, (*path, index), identifiers, words)

    def rest(
        self,
        channel: Channel,
        members: Mapping[str, object],
        path: Path,
        known: frozenset[str],
        identifiers: frozenset[str],
    ) -> None:
        """What an object holds beside `known` members, which the caller reads, and identifiers."""
        for key, value in members.items():
            if key not in known and type(value) in _TELLING:
                self.tree(channel, {key: value}, path, identifiers)
            elif key not in known and not identifier(key):
                self.alone(channel, key, (*path, key, KEY))


def aside(segments: Sequence[Segment], begun: Callable[[Channel], bool]) -> None:
    """Move what stands alone amid a call's arguments, as the name that some servers repeat with every delta, to a
    channel of its own: it would part what a client joins. `begun`: whether a channel had text before this frame."""
    for segment, following in pairwise(segments):
        channel = segment.channel
        if channel[0] is Kind.TOOL_CALL and not following.path and following.channel == channel and begun(channel):
            segment.channel = following.channel = (channel[0], channel[1] + ".aside")


def _closed(value: object) -> bool:
    """Whether this is an identifier, or a list of nothing else."""
    if isinstance(value, list):
        return all(isinstance(item, str) and identifier(item) for item in value)
    return isinstance(value, str) and identifier(value) is not None
