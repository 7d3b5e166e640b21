"""A body read by declared places: texts where they were declared, and every other string as Kind.OTHER.

No string is passed over but in places that are declared to be ignored, and identifiers where an identifier was
declared. A text that lies within an ignored place is read all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from safeguards_extproc.core.text import Channel, Kind, Path, Segment
from safeguards_extproc.wire.json_paths import Step, Steps, singular
from safeguards_extproc.wire.leaves import Leaves, identifier
from safeguards_extproc.wire.strict_json import KEY

Listed = Callable[[object, Path], None]


@dataclass(frozen=True, slots=True)
class Text:
    """Where texts of a kind stand."""

    path: Steps
    kind: Kind


@dataclass(slots=True, eq=False)
class _Node:
    """Where a path has come: `below` by the next step. `name` is the channel's, where texts are told apart by path."""

    below: dict[Step, _Node]
    text: Text | None = None
    name: str = ""
    ignored: bool = False
    closed: bool = False
    listed: bool = False

    def next(self, step: str | int) -> Iterable[_Node]:
        for key in (step, None):
            if (node := self.below.get(key)) is not None:
                yield node


class Places:
    """`texts` are read as their kind, `ignored` not at all, `closed` not while they hold identifiers; what stands at
    `listed` is handed over where it is a list."""

    __slots__ = ("_root",)

    def __init__(
        self,
        texts: Sequence[Text],
        ignored: Sequence[Steps] = (),
        closed: Sequence[Steps] = (),
        listed: Steps | None = None,
    ) -> None:
        self._root = _Node({})
        for index, text in enumerate(texts):
            node = self._at(text.path)
            node.text, node.name = text, str(index)
        for path in ignored:
            self._at(path).ignored = True
        for path in closed:
            self._at(path).closed = True
        if listed is not None:
            self._at(listed).listed = True

    def read(self, reader: Reader, value: object, path: Path = ()) -> None:
        """Read `value`, which stands at `path`."""
        reader.read([self._root], value, path, ignoring=False)

    def _at(self, path: Steps) -> _Node:
        node = self._root
        for step in path:
            node = node.below.setdefault(step, _Node({}))
        return node


class Reader:
    """Reads one value by its places. `within` names the channels of an item, which are apart from those of others."""

    __slots__ = ("_leaves", "_listed", "_other", "_raw", "_within")

    def __init__(self, leaves: Leaves, raw: list[Segment], within: str = "", listed: Listed | None = None) -> None:
        """`raw` collects the segments whose text is JSON as it is written, for `raw.fill`."""
        self._leaves, self._raw, self._within, self._listed = leaves, raw, within, listed
        self._other: Channel = (Kind.OTHER, f"{within}.fields" if within else "fields")

    def read(self, at: Sequence[_Node], value: object, path: Path, *, ignoring: bool) -> None:
        """What stands at `path`, to which the declared paths `at` have come."""
        closed = False
        for node in at:
            if node.listed and isinstance(value, list) and self._listed is not None:
                self._listed(value, path)
                return
            if node.text is not None:
                channel = (node.text.kind, self._within or node.name)
                if isinstance(value, str) and not self._within and singular(node.text.path) is not None:
                    self._leaves.text(channel, value, path)
                else:
                    self.whole(channel, value, path)
                return
            ignoring, closed = ignoring or node.ignored, closed or node.closed
        if isinstance(value, dict):
            for name, item in value.items():
                self._member([child for node in at for child in node.next(name)], name, item, path, ignoring)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                below = [child for node in at for child in node.next(index)]
                if below:
                    self.read(below, item, (*path, index), ignoring=ignoring)
                elif not ignoring:
                    self._leaves.tree(self._other, item, (*path, index))
        elif not ignoring and not (closed and isinstance(value, str) and identifier(value)):
            self._leaves.tree(self._other, value, path)

    def whole(self, channel: Channel, value: object, path: Path) -> None:
        """All that `value` says on one channel: its strings, each alone, its numbers as they are written, and the names
        of its members unless they look like identifiers. null, true and false say nothing."""
        match value:
            case str():
                self._leaves.alone(channel, value, path)
            case int() | float() if not isinstance(value, bool):
                number = Segment(channel, "", path, raw=True)
                self._raw.append(number)
                self._leaves.segments += (number, Segment(channel, "\n", ()))
            case dict():
                for name, item in value.items():
                    if not identifier(name):
                        self._leaves.alone(channel, name, (*path, name, KEY))
                    self.whole(channel, item, (*path, name))
            case list():
                for index, item in enumerate(value):
                    self.whole(channel, item, (*path, index))

    def _member(self, below: list[_Node], name: str, item: object, path: Path, ignoring: bool) -> None:
        if below:
            if not ignoring and not identifier(name):
                self._leaves.alone(self._other, name, (*path, name, KEY))
            self.read(below, item, (*path, name), ignoring=ignoring)
        elif not ignoring:
            self._leaves.tree(self._other, {name: item}, path)
