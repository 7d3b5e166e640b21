"""An API that a policy declares: strict JSON, read by the declared places (README, "Any other JSON API").

Nothing of it is streamed, no model is told anything, and there is no successful answer that says no: a refusal is an
error object in the form that OpenAI's APIs made common.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from safeguards_extproc.core.text import Answer, Document, Edit, Item, Kind, Listed, Path, Refusal, Segment
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import lists, raw
from safeguards_extproc.wire.json_paths import Steps, find
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.opaque import OpaqueStream
from safeguards_extproc.wire.openai_api import refuse
from safeguards_extproc.wire.places import Places, Reader, Text
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads

ERROR = (Kind.ERROR, "error")


@dataclass(frozen=True, slots=True)
class Items:
    """The list of an answer whose items can be left out. `id`, `texts` and `ignored` are paths within an item, `counts`
    are the places of numbers that count the items."""

    path: Path
    id: Path | None = None
    texts: tuple[Text, ...] = ()
    ignored: tuple[Steps, ...] = ()
    counts: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Declaration:
    """Where an API's bodies hold what. `model` is the place of the model's name in a request."""

    name: str
    asks: tuple[Text, ...] = ()
    ignored_of_asks: tuple[Steps, ...] = ()
    model: Path | None = None
    answers: tuple[Text, ...] = ()
    ignored_of_answers: tuple[Steps, ...] = ()
    items: Items | None = None


class Declared:
    """A `core.text.Format` without streams."""

    def __init__(self, declaration: Declaration) -> None:
        known, items = declaration, declaration.items
        self.name = known.name
        self._model, self._items = known.model, items
        self._asks = Places(known.asks, known.ignored_of_asks, [known.model] if known.model else [])
        self._answers = Places(known.answers, known.ignored_of_answers, listed=items.path if items else None)
        self._item = Places(items.texts, items.ignored, [items.id] if items.id else []) if items else Places(())

    def read_request(self, body: bytes) -> Document:
        """An empty body says nothing."""
        if not body:
            return Document([])
        value, leaves, written = _read(body, MAX_VALUES), Leaves(), list[Segment]()
        self._asks.read(Reader(leaves, written), value)
        raw.fill(body, written, leaves.segments)
        model = find(value, self._model) if self._model is not None else None
        return Document(leaves.segments, model=model if isinstance(model, str) else "", unread=frozenset(leaves.unread))

    def read_response(self, body: bytes, status: int) -> Document:
        """Each item of the list has channels of its own. From status 400 on any JSON is an error, without a list.

        Raises MalformedBody("shape") if something other than a list stands in its place.
        """
        if not body:
            return Document([])
        value, leaves, written = _read(body), Leaves(), list[Segment]()
        if status >= 400:
            leaves.tree(ERROR, value, ())
            return Document(leaves.segments, unread=frozenset(leaves.unread))
        items: list[Item] = []

        def listed(values: Any, path: Path) -> None:
            for at, item in enumerate(values):
                items.append(self._read_item(leaves, written, item, (*path, at)))

        if self._items is not None and not isinstance(find(value, self._items.path), list | None):
            raise MalformedBody("shape")
        self._answers.read(Reader(leaves, written, listed=listed), value)
        raw.fill(body, written, leaves.segments)
        document = Document(leaves.segments, unread=frozenset(leaves.unread))
        if self._items is not None:
            document.features["items"] = len(items)
            if items:
                document.listed = Listed(items, partial(_drop, self._items, len(items)))
        return document

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return editing.apply(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """No model is told anything: raises MalformedBody("shape")."""
        raise MalformedBody("shape")

    def framer(self, media: str) -> None:
        """Every body is read whole."""

    def stream(self) -> OpaqueStream:
        return OpaqueStream()

    def refuse(self, refusal: Refusal) -> Answer:
        return refuse(refusal)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """An answer of ours would be a lie about what was found: an error."""
        return self.refuse(refusal)

    def _read_item(self, leaves: Leaves, written: list[Segment], item: object, path: Path) -> Item:
        before = len(leaves.segments)
        self._item.read(Reader(leaves, written, f"items.{path[-1]}"), item, path)
        id_ = find(item, self._items.id) if self._items is not None and self._items.id is not None else None
        named = isinstance(id_, str | int) and not isinstance(id_, bool)
        return Item(str(id_) if named else "", frozenset(segment.channel for segment in leaves.segments[before:]))


def _drop(items: Items, length: int, body: bytes, gone: Collection[int]) -> bytes:
    return lists.without(body, items.path, length, gone, items.counts)


def _read(body: bytes, max_values: int = 0) -> dict[str, Any] | list[Any]:
    """A body is an object or a list: no edit could name the place of a text that is all of it."""
    value = loads(body, max_values=max_values)
    if not isinstance(value, dict | list):
        raise MalformedBody("shape")
    return value
