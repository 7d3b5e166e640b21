"""The events of a streamed OpenAI response: what each says, and where in the whole answer that stands.

A place is a path in the whole answer. Deltas build the text at a place up; later events repeat it at the same place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from safeguards_extproc.core.text import Channel, Kind, Path, Segment
from safeguards_extproc.wire import openai_read, responses_items, responses_read
from safeguards_extproc.wire.leaves import Leaves

TERMINAL = frozenset(("response.completed", "response.incomplete", "response.failed", "error"))
"""Types of events after which nothing follows."""


@dataclass(frozen=True, slots=True)
class Growing:
    """A text that comes in deltas: `member` repeats it at the end; `within` names the list that holds it, counted by
    `index`. `whole` is True where the item has no other text of this kind, so that nothing follows its end. `alone`:
    the list holds the texts themselves, which belong apart."""

    member: str
    kind: Kind
    within: tuple[str, ...] = ()
    index: str = ""
    suffix: str = ""
    whole: bool = False
    alone: bool = False

    def channel(self, item: int) -> Channel:
        return self.kind, f"{item}{self.suffix}"

    def place(self, item: int, index: int) -> Path:
        at = ("output", item, *self.within, *((index,) if self.index else ()))
        return at if self.alone else (*at, self.member)


_TEXTS = {
    "response.output_text": Growing("text", Kind.CONTENT, ("content",), "content_index"),
    "response.refusal": Growing("refusal", Kind.REFUSAL, ("content",), "content_index"),
    "response.reasoning_text": Growing("text", Kind.REASONING, ("content",), "content_index"),
    "response.reasoning_summary_text": Growing("text", Kind.REASONING, ("summary",), "summary_index", ".summary"),
    "response.function_call_arguments": Growing("arguments", Kind.TOOL_CALL, whole=True),
    "response.mcp_call_arguments": Growing("arguments", Kind.TOOL_CALL, whole=True),
    "response.custom_tool_call_input": Growing("input", Kind.TOOL_CALL, whole=True),
    "response.code_interpreter_call_code": Growing("code", Kind.TOOL_CALL, whole=True),
    "response.apply_patch_call_operation_diff": Growing("diff", Kind.TOOL_CALL, ("operation",)),
    "response.shell_call_command": Growing(
        "command", Kind.TOOL_CALL, ("action", "commands"), "command_index", alone=True
    ),
}
"""By the event's type without its last word: added, delta or done."""

DELTAS = {f"{stem}.delta": text for stem, text in _TEXTS.items()}
"""By the type of the event that adds to one."""

POSITIONS = frozenset(text.index for text in _TEXTS.values() if text.index)
"""Members that count within an item."""

_EVENT = frozenset(("type", "item_id", "status", "size", "quality", "background", "output_format"))
"""Members of an event that hold identifiers."""

_PAD = frozenset(("obfuscation",))
"""A member that only hides how long a delta is."""


@dataclass(slots=True)
class Said:
    """What one event says. `places` maps the beginnings of paths in the event to places in the answer; what stands
    elsewhere has none. `grows`: it adds to what was said there. `ends` is the channel that gets no more text, `item`
    the number of an item that is done, `parted` a channel and the place of a text after which a separator belongs."""

    leaves: Leaves
    places: list[tuple[Path, Path]]
    grows: bool = False
    ends: Channel | None = None
    item: int = -1
    parted: tuple[Channel, Path] | None = None

    def located(self) -> Iterator[tuple[Segment, Path]]:
        """Each segment with its place, () if it has none."""
        for segment in self.leaves.segments:
            path = segment.path
            for start, place in self.places:
                if path and path[: len(start)] == start:
                    yield segment, place + path[len(start) :]
                    break
            else:
                yield segment, ()


def number(body: dict[str, Any], name: str) -> int:
    """An index in an event, 0 if there is none."""
    value = body.get(name)
    return value if isinstance(value, int) else 0


def read(body: dict[str, Any]) -> Said:
    """What an event says, whatever its type; members that no type explains are read as fields."""
    type_ = body.get("type")
    type_ = type_ if isinstance(type_, str) else ""
    said = Said(Leaves(), [], grows=type_.endswith(".delta"))
    known = _known(said, type_, body)
    said.leaves.rest(responses_items.FIELDS, body, (), known, _EVENT)
    return said


def _known(said: Said, type_: str, body: dict[str, Any]) -> frozenset[str]:
    """Read what the type explains; returns the names of what was read."""
    leaves, item = said.leaves, number(body, "output_index")
    name, inside = str(item), ("output", item)
    stem, _, verb = type_.rpartition(".")
    match body:
        case {"response": dict(answer)}:
            responses_read.answer(leaves, answer, ("response",))
            said.places.append((("response",), ()))
            return _PAD | {"response"}
        case {"item": value}:
            responses_read.output_item(leaves, value, ("item",), item)
            said.places.append((("item",), inside))
            said.item = item if verb == "done" else -1
            return _PAD | {"item"}
        case {"part": value}:
            _part(said, value, body, stem.endswith("summary_part"))
            return _PAD | {"part"}
        case {"annotation": value}:
            responses_items.citations(leaves, value, ("annotation",), name)
            at = ("content", number(body, "content_index"), "annotations", number(body, "annotation_index"))
            said.places.append((("annotation",), inside + at))
            return _PAD | {"annotation"}
        case {"partial_image_b64": str()}:
            leaves.unread.add("image")
            return _PAD | {"partial_image_b64"}
    text = _TEXTS.get(stem)
    if text is not None:
        return _text(said, text, verb, body)
    match type_, body:
        case "response.audio.delta", {"delta": str()}:
            leaves.unread.add("audio")
            return _PAD | {"delta"}
        case "response.audio.transcript.delta", {"delta": str(delta)}:
            leaves.text((Kind.CONTENT, "audio"), delta, ("delta",))
            return _PAD | {"delta"}
        case "response.shell_call_output_content.delta", {"delta": dict(delta)}:
            stream = number(body, "command_index")
            responses_items.shell(leaves, delta, ("delta",), f"{name}.{stream}")
            said.places.append((("delta",), (*inside, "output", stream)))
            return _PAD | {"delta"}
        case "response.shell_call_output_content.done", {"output": list(output)}:
            for index, entry in enumerate(output):
                stream = number(body, "command_index") + index
                if isinstance(entry, dict):
                    responses_items.shell(leaves, entry, ("output", index), f"{name}.{stream}")
                else:
                    leaves.tree((Kind.TOOL, name), entry, ("output", index))
                said.places.append((("output", index), (*inside, "output", stream)))
            return _PAD | {"output"}
        case "error", _:
            openai_read.error(leaves, {key: body[key] for key in body if key != "type"}, ())
            return frozenset(body)
    return _PAD


def _part(said: Said, value: object, body: dict[str, Any], summary: bool) -> None:
    item = number(body, "output_index")
    within, index, name = ("content", "content_index", str(item))
    kind = Kind.CONTENT
    if summary:
        within, index, name, kind = "summary", "summary_index", name + ".summary", Kind.REASONING
    elif isinstance(value, dict) and value.get("type") == "reasoning_text":
        kind = Kind.REASONING
    responses_items.content(said.leaves, value, ("part",), name, kind)
    said.places.append((("part",), ("output", item, within, number(body, index))))


def _text(said: Said, text: Growing, verb: str, body: dict[str, Any]) -> frozenset[str]:
    item = number(body, "output_index")
    channel, place = text.channel(item), text.place(item, number(body, text.index))
    member = "delta" if verb == "delta" else text.member
    value = body.get(member)
    read = {member} if isinstance(value, str) else set()
    if isinstance(value, str):
        said.leaves.text(channel, value, (member,))
        said.places.append(((member,), place))
    if body.get("logprobs"):
        read.add("logprobs")
        responses_items.logprobs(said.leaves, body["logprobs"], ("logprobs",), str(item), value)
    if isinstance(body.get("name"), str):
        read.add("name")
        said.leaves.alone(channel, body["name"], ("name",))
        said.places.append((("name",), ("output", item, "name")))
    if verb == "done":
        said.ends = channel if text.whole else None
        said.parted = (channel, place) if text.alone else None
    return _PAD | read
