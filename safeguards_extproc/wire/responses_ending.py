"""What a client has seen of a streamed OpenAI response, and the events that end it there.

Texts that are open end as they stand, an open message says no in a part of its own, and the answer is incomplete. Items
of other kinds that are open are neither finished nor repeated: nobody runs a call that did not end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from safeguards_extproc.core.text import Path, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import sse
from safeguards_extproc.wire.openai_stream import DONE
from safeguards_extproc.wire.responses_events import TERMINAL, number
from safeguards_extproc.wire.responses_write import Events, answer, message
from safeguards_extproc.wire.strict_json import loads

_grows = re.compile(rb'"type": ?"response\.[a-z_.]+\.delta"').search
_number = re.compile(rb'"sequence_number": ?(\d{1,15})').search

_PARTS = {
    "response.content_part": ("content", "content_index"),
    "response.reasoning_summary_part": ("summary", "summary_index"),
}
_TEXTS = {
    "output_text": ("response.output_text.done", "text"),
    "refusal": ("response.refusal.done", "refusal"),
    "reasoning_text": ("response.reasoning_text.done", "text"),
    "summary_text": ("response.reasoning_summary_text.done", "text"),
}
"""By the type of a part: the event that ends its text, and the member that holds it."""

_Part = tuple[int, str, int]
"""Item, list in it, position."""


class Seen:
    """`sent` gives the text at a place of the answer as the client has got it."""

    __slots__ = ("_done", "_ended", "_head", "_items", "_last", "_open", "_parts", "_sent")

    def __init__(self, sent: Callable[[Path], str]) -> None:
        self._sent = sent
        self._head: dict[str, Any] | None = None
        self._items: dict[int, dict[str, Any]] = {}  # as they were added, or as they were done
        self._done: set[int] = set()
        self._parts: dict[_Part, dict[str, Any]] = {}
        self._open: dict[_Part, None] = {}
        self._last = b""  # the last event that has a number
        self._ended = False

    def take(self, frame: bytes) -> None:
        """A frame went to the client."""
        if _number(frame) is not None:
            self._last = frame
        if _grows(frame) is not None:
            return
        data = sse.fields(frame)[1]
        if not data:
            return
        try:
            body = loads(data)
        except MalformedBody:
            self._ended = self._ended or data.strip() == DONE
            return
        if isinstance(body, dict):
            self._event(body)

    def _event(self, body: dict[str, Any]) -> None:
        type_ = body.get("type")
        if not isinstance(type_, str):
            return
        self._ended = self._ended or type_ in TERMINAL
        stem, _, verb = type_.rpartition(".")
        item = number(body, "output_index")
        match body:
            case {"response": dict(head)}:
                self._head = head
            case {"item": dict(value)}:
                self._items[item] = value
                if verb == "done":
                    self._done.add(item)
            case {"part": dict(value)} if stem in _PARTS:
                within, index = _PARTS[stem]
                key = (item, within, number(body, index))
                self._parts[key] = value
                if verb == "done":
                    self._open.pop(key, None)
                else:
                    self._open[key] = None

    def ending(self, refusal: Refusal) -> bytes:
        """The events after the last that the client has seen; b"" if it has seen the end."""
        if self._ended:
            return b""
        found = _number(self._last)
        events = Events(int(found[1]) + 1 if found is not None else 0)
        if self._head is None:
            self._head = answer("resp_" + refusal.id, "")
            events.begin(self._head)
        for key in self._open:
            self._end_part(events, key)
        self._refuse(events, refusal)
        said = [self._items[index] for index in sorted(self._items) if index in self._done]
        whole = {
            **self._head,
            "status": "incomplete",
            "incomplete_details": {"reason": "content_filter"},
            "output": said,
        }
        events.add("response.incomplete", response=whole)
        return events.bytes()

    def _end_part(self, events: Events, key: _Part) -> None:
        item, within, index = key
        part = self._parts[key]
        name = "summary_index" if within == "summary" else "content_index"
        at = {"item_id": _id(self._items.get(item)), "output_index": item, name: index}
        known = _TEXTS.get(part.get("type", "")) if isinstance(part.get("type"), str) else None
        if known is not None:
            type_, member = known
            text = self._sent(("output", item, within, index, member))
            part = self._parts[key] = {**part, member: text}
            tokens: dict[str, Any] = {"logprobs": []} if member == "text" and within == "content" else {}
            events.add(type_, **at, **{member: text}, **tokens)
        stem = next(stem for stem, (list_, _) in _PARTS.items() if list_ == within)
        events.add(stem + ".done", **at, part=part)

    def _refuse(self, events: Events, refusal: Refusal) -> None:
        """End the messages and the reasoning that are open; the last message says no, or else one of its own."""
        told = not refusal.message
        for index in sorted(self._items.keys() - self._done, reverse=True):
            item = self._items[index]
            if item.get("type") not in ("message", "reasoning"):
                continue
            content = self._list(index, "content") or _given(item.get("content"))
            if not told and item["type"] == "message":
                told = True
                position = 1 + max(
                    (at for known, list_, at in self._parts if (known, list_) == (index, "content")), default=-1
                )
                content.append(events.refuse(refusal, _id(item), index, position))
            self._finish(events, index, {**item, "content": content} | self._summary(index))
        if not told:
            index = max(self._items, default=-1) + 1
            item = message("msg_" + refusal.id, "in_progress", [])
            events.add("response.output_item.added", output_index=index, item=item)
            self._finish(events, index, {**item, "content": [events.refuse(refusal, item["id"], index, 0)]})

    def _finish(self, events: Events, index: int, item: dict[str, Any]) -> None:
        self._items[index] = {**item, "status": "incomplete"}
        self._done.add(index)
        events.add("response.output_item.done", output_index=index, item=self._items[index])

    def _summary(self, index: int) -> dict[str, Any]:
        summary = self._list(index, "summary")
        return {"summary": summary} if summary else {}

    def _list(self, index: int, within: str) -> list[dict[str, Any]]:
        keys = sorted(key for key in self._parts if key[:2] == (index, within))
        return [self._parts[key] for key in keys]


def _given(content: object) -> list[Any]:
    return [*content] if isinstance(content, list) else []


def _id(item: dict[str, Any] | None) -> str:
    id_ = item.get("id") if item is not None else None
    return id_ if isinstance(id_, str) else ""
