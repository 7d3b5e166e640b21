"""A body read by declared places: texts where they were declared, and every other string as Kind.OTHER.

No string is passed over but in places that are declared to be ignored, and identifiers where an identifier was
declared. A text that lies within an ignored place is read all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from safeguards_extproc.core.text import Channel, Kind, Path, Segment
from safeguards_extproc.wire.json_paths import Step, Steps
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
    """Where declared paths have come. `below` is where they go by a name or position that one of them has, `otherwise`
    by any other. `name` tells the channels of a body's texts apart; `strange`: the step here is no identifier."""

    below: dict[Step, _Node] = field(default_factory=dict)
    otherwise: _Node | None = None
    text: Text | None = None
    name: str = ""
    ignored: bool = False
    closed: bool = False
    listed: bool = False
    strange: bool = False


_Role = Callable[[_Node], None]


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
        declared: list[tuple[Steps, _Role]] = [(text.path, _of_text(text, str(at))) for at, text in enumerate(texts)]
        declared += [(path, _ignore) for path in ignored]
        declared += [(path, _close) for path in closed]
        declared += [(listed, _list)] if listed is not None else []
        self._root = _tree(declared)

    def read(self, reader: Reader, value: object, path: Path = ()) -> None:
        """Read `value`, which stands at `path`."""
        reader.read(self._root, value, path, ignoring=False)


def _of_text(text: Text, name: str) -> _Role:
    def role(node: _Node) -> None:
        if node.text is None:
            node.text, node.name = text, name

    return role


def _ignore(node: _Node) -> None:
    node.ignored = True


def _close(node: _Node) -> None:
    node.closed = True


def _list(node: _Node) -> None:
    node.listed = True


def _tree(declared: Iterable[tuple[Steps, _Role]]) -> _Node:
    """The node at which the remaining steps of all these paths begin. Wildcards go along with every name, so that a
    step is one look-up."""
    node, further = _Node(), list[tuple[Steps, _Role]]()
    for steps, role in declared:
        if steps:
            further.append((steps, role))
        else:
            role(node)
    named = dict.fromkeys(steps[0] for steps, _ in further if steps[0] is not None)
    anywhere = [(steps[1:], role) for steps, role in further if steps[0] is None]
    if anywhere:
        node.otherwise = _tree(anywhere)
    for step in named:
        inner = _tree([(steps[1:], role) for steps, role in further if steps[0] in (step, None)])
        inner.strange = isinstance(step, str) and not identifier(step)
        node.below[step] = inner
    return node


class Reader:
    """Reads one value by its places. `within` names the channels of an item, which are apart from those of others."""

    __slots__ = ("_leaves", "_listed", "_other", "_raw", "_within")

    def __init__(self, leaves: Leaves, raw: list[Segment], within: str = "", listed: Listed | None = None) -> None:
        """`raw` collects the segments whose text is JSON as it is written, for `raw.fill`."""
        self._leaves, self._raw, self._within, self._listed = leaves, raw, within, listed
        self._other: Channel = (Kind.OTHER, f"{within}.fields" if within else "fields")

    def read(self, node: _Node, value: object, path: Path, *, ignoring: bool) -> None:
        """What stands at `path`, to which the declared paths have come at `node`."""
        if node.text is not None and not node.listed:
            self._text(node.text, node.name, value, path)
            return
        ignoring = ignoring or node.ignored
        if isinstance(value, dict):
            declared, otherwise = node.below.get, node.otherwise
            for name, item in value.items():
                below = declared(name, otherwise)
                if below is None:
                    if not ignoring:
                        self._leaves.tree(self._other, {name: item}, path)
                    continue
                if not ignoring and (below.strange or (below is otherwise and not identifier(name))):
                    self._leaves.alone(self._other, name, (*path, name, KEY))
                self.read(below, item, (*path, name), ignoring=ignoring)
        elif isinstance(value, list):
            if node.listed and self._listed is not None:
                self._listed(value, path)
                return
            for index, item in enumerate(value):
                below = node.below.get(index, node.otherwise)
                if below is not None:
                    self.read(below, item, (*path, index), ignoring=ignoring)
                elif not ignoring:
                    self._leaves.tree(self._other, item, (*path, index))
        elif not ignoring and isinstance(value, str) and not (node.closed and identifier(value)):
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

    def _text(self, text: Text, name: str, value: object, path: Path) -> None:
        channel = (text.kind, self._within or name)
        if not isinstance(value, str):
            self.whole(channel, value, path)
        elif self._within or None in text.path:
            self._leaves.alone(channel, value, path)
        else:
            self._leaves.text(channel, value, path)
