"""The process's loop: one task after the other, until the input ends."""

from __future__ import annotations

import io

import pytest

from safeguards_extproc import wire
from safeguards_extproc.adapters.reader_frames import HEAD, Joiner, of_task
from safeguards_extproc.adapters.reader_process import serve
from safeguards_extproc.core.aside import Parse, Parsed, Rewrite, Task
from safeguards_extproc.core.text import Direction
from tests.adapters import wicked_wire

pytestmark = pytest.mark.long

CHAT = wire.FORMATS["openai_chat"]
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'


def answers(incoming: bytes) -> list[object]:
    outgoing = io.BytesIO()
    serve(io.BytesIO(incoming), outgoing, wicked_wire)
    outgoing.seek(0)
    found: list[object] = []
    joiner = Joiner()
    while head := outgoing.read(HEAD.size):
        kind, size = HEAD.unpack(head)
        if said := joiner.take(kind, outgoing.read(size)):
            found.append(said)
            joiner = Joiner()
    return found


def test_every_task_has_its_outcome() -> None:
    """In the order of the tasks; a fault in a format is an answer, and the next task is done."""
    tasks: list[Task] = [
        Parse(Direction.REQUEST, CHAT, BODY, "", 1000),
        Parse(Direction.REQUEST, None, b"raise secret", "", 1000),
        Rewrite(Direction.REQUEST, CHAT, BODY, "", 1000, steer="Be kind."),
    ]
    first, fault, last = answers(b"".join(frame for task in tasks for frame in of_task(task)))

    here = tasks[0].run(wire)
    assert isinstance(first, Parsed)
    assert isinstance(here, Parsed)
    assert here.document == first.document
    assert fault == "ValueError"
    assert last == tasks[2].run(wire)


def test_an_input_that_ends_ends_it() -> None:
    """At once, or in the midst of a task: the worker is gone."""
    whole = b"".join(of_task(Parse(Direction.REQUEST, CHAT, BODY, "", 1000)))
    assert answers(b"") == answers(whole[:3]) == []
    assert len(answers(whole + whole[:3])) == 1
