"""Answers and events of our own, as the OpenAI Responses API writes them."""

from __future__ import annotations

from typing import Any

from safeguards_extproc.core.text import Refusal
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import sse


def refusal_part(words: str) -> dict[str, Any]:
    """The part of a message in which a model says no."""
    return {"type": "refusal", "refusal": words}


def message(id_: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """An item that the assistant says."""
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": content}


def answer(id_: str, model: str) -> dict[str, Any]:
    """An answer of ours before anything is said. `created_at` is 0: this package has no clock."""
    return {
        "id": id_,
        "object": "response",
        "created_at": 0,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None,
    }


class Events:
    """Writes events one after another, numbered from `first`."""

    __slots__ = ("_next", "_out")

    def __init__(self, first: int) -> None:
        self._next, self._out = first, list[bytes]()

    def add(self, type_: str, **members: object) -> None:
        body = {"type": type_, "sequence_number": self._next, **members}
        self._next += 1
        self._out.append(sse.event(type_, editing.dumps(body)))

    def begin(self, whole: dict[str, Any]) -> None:
        """The answer begins."""
        self.add("response.created", response=whole)
        self.add("response.in_progress", response=whole)

    def refuse(self, refusal: Refusal, item_id: str, output: int, content: int) -> dict[str, Any]:
        """An open message gets one more part, in which it says no; returns the part."""
        at = {"item_id": item_id, "output_index": output, "content_index": content}
        part = refusal_part(refusal.message)
        self.add("response.content_part.added", **at, part=refusal_part(""))
        self.add("response.refusal.delta", **at, delta=refusal.message)
        self.add("response.refusal.done", **at, refusal=refusal.message)
        self.add("response.content_part.done", **at, part=part)
        return part

    def bytes(self) -> bytes:
        return b"".join(self._out)
