"""A real process reads what a worker gives it, and whatever becomes of it, every task has an outcome."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from safeguards_extproc import wire
from safeguards_extproc.adapters.reader import PROGRAM, Reader, ReaderSettings
from safeguards_extproc.core.aside import Outcome, Parse, Parsed, Rewrite, Rewritten
from safeguards_extproc.core.decision import Action, Placeholder, Span, Verdict
from safeguards_extproc.core.recipes import Mask
from safeguards_extproc.core.text import Direction
from tests.adapters.test_workers import alive

pytestmark = pytest.mark.real

REQUEST = Direction.REQUEST
HERE = Path(__file__).parent
CHAT = wire.FORMATS["openai_chat"]


def parse(body: bytes) -> Parse:
    """By the format that the body shows: what a test writes here, the wicked wire does."""
    return Parse(REQUEST, None, body, "", 64 << 20)


def chat(*texts: str) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}).encode()


class Desk:
    """A reader, and how often it erred."""

    def __init__(self, settings: ReaderSettings) -> None:
        self.faults = 0
        self.reader = Reader([sys.executable, "-m", PROGRAM, "tests.adapters.wicked_wire"], settings, self._erred)

    def _erred(self) -> None:
        self.faults += 1

    async def read(self, body: bytes) -> Outcome:
        return await asyncio.wait_for(self.reader.do(parse(body)), 20)


@asynccontextmanager
async def desk(
    *, queue: int = 8, patience_s: float = 10, work_s: float = 10, idle_s: float = 60
) -> AsyncIterator[Desk]:
    it = Desk(ReaderSettings(queue, patience_s, work_s, idle_s))
    try:
        yield it
    finally:
        await it.reader.close()
        assert it.reader.pid is None


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 (another process has no event to wait for)
            await asyncio.sleep(0.01)


async def test_a_body_is_read_as_it_would_be_here() -> None:
    """Few texts and many, long ones and short ones: the same document."""
    bodies = [chat("hello"), chat("a" * 300_000, "b", "字" * 200_000), chat(*["word"] * 3000), b"[1]", b'{"a": 1}']
    async with desk() as it:
        for body in bodies:
            here, there = parse(body).run(wire), await it.read(body)
            assert isinstance(there, Parsed)
            assert there.plain is None
            assert (here.reason, here.size, here.document) == (there.reason, there.size, there.document)
            assert (here.format is None) == (there.format is None)
        assert it.faults == 0


async def test_a_body_is_edited_as_it_would_be_here() -> None:
    """Thousands of marks and what they stood for, a body of several frames, one that nothing changes."""
    body = chat(*["my name is Ann and " * 20] * 1500)
    spans = {segment.channel: [Span(11, 14, "name")] for segment in CHAT.read_request(body).segments}
    numbered = {"name": Placeholder.RESTORED}
    verdict = Verdict(Action.REDACT, Action.REDACT, redact=frozenset({"name"}), placeholders=numbered)
    async with desk() as it:
        for task in (
            Rewrite(REQUEST, CHAT, body, "", 1 << 30, 0, Mask(spans, verdict, numbers=True), "Be kind."),
            Rewrite(REQUEST, CHAT, body, "", 1 << 30),
        ):
            assert await it.reader.do(task) == task.run(wire)


@pytest.mark.parametrize("name", sorted({row.format.name for row in wire.ROWS}))
async def test_every_format_can_be_named(name: str) -> None:
    """And its variants: what is read is the same."""
    async with desk() as it:
        for row in (row for row in wire.ROWS if row.format.name == name):
            task = Parse(Direction.RESPONSE, row.format, b'{"error": {"message": "no"}}', "", 1000, 500)
            there, here = await it.reader.do(task), task.run(wire)
            assert isinstance(there, Parsed)
            assert (here.reason, here.document) == (there.reason, there.document)
            if there.format is not None:
                assert name == there.format.name


async def test_a_reader_that_dies_is_started_anew(tmp_path: Path) -> None:
    """A body that was with it is tried once more, one that kills it is not read, and the next one is."""
    async with desk() as it:
        assert (await it.read(f"once {tmp_path / 'died'}".encode())).reason == ""
        assert it.faults == 0
        assert await it.read(b"die") == Parsed("unavailable")
        assert it.faults == 1
        assert (await it.read(chat("hello"))).reason == ""


async def test_a_reader_killed_at_rest_is_not_missed() -> None:
    """The next body finds another."""
    async with desk() as it:
        await it.read(chat("hello"))
        first = it.reader.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert (await it.read(chat("hello"))).reason == ""
        assert it.reader.pid not in (None, first)


async def test_a_body_that_takes_too_long_is_not_read(tmp_path: Path) -> None:
    """What reads it is ended, and the next body is read."""
    async with desk(work_s=5) as it:
        await it.read(b"{}")
        assert await it.read(f"hang {tmp_path / 'pid'}".encode()) == Parsed("unavailable")
        assert not alive(int((tmp_path / "pid").read_text()))
        assert (await it.read(chat("hello"))).reason == ""


async def test_what_there_is_no_room_for_is_not_read(tmp_path: Path) -> None:
    """Nor what has waited too long; neither disturbs what is being read."""
    async with desk(queue=1, patience_s=0.3, work_s=5) as it:
        await it.read(b"{}")
        hanging = asyncio.create_task(it.read(f"hang {tmp_path / 'pid'}".encode()))
        await until((tmp_path / "pid").exists)
        waiting = asyncio.create_task(it.read(chat("hello")))
        await asyncio.sleep(0)
        assert await it.read(chat("hello")) == Parsed("unavailable")
        assert not waiting.done()
        assert await waiting == Parsed("unavailable")
        assert it.faults == 2
        assert not hanging.done()
        await hanging


async def test_a_fault_in_a_format_is_named_without_its_message(capfd: pytest.CaptureFixture[str]) -> None:
    """The message may hold text: neither a log nor any output has it."""
    with structlog.testing.capture_logs() as logs:
        async with desk() as it:
            assert await it.read(b"raise a secret") == Parsed("unavailable")
            assert await it.read(b"die secret") == Parsed("unavailable")
    assert [entry["why"] for entry in logs] == ["ValueError", "died"]
    assert "secret" not in str(logs) + "".join(capfd.readouterr())


async def test_a_caller_that_goes_away_disturbs_nobody() -> None:
    """Those behind it have their outcomes."""
    async with desk() as it:
        await it.read(b"{}")
        calls = [asyncio.create_task(it.read(chat("a" * 1_000_000))) for _ in range(4)]
        await asyncio.sleep(0)
        calls[0].cancel()
        calls[2].cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(outcome, Parsed) for outcome in outcomes] == [False, True, False, True]
        assert it.faults == 0


async def test_a_reader_without_work_ends() -> None:
    """Its memory is free, and the next body starts another."""
    async with desk(idle_s=0.2) as it:
        await it.read(chat("hello"))
        first = it.reader.pid
        assert first is not None
        await until(lambda: not alive(first))
        assert it.reader.pid is None
        assert (await it.read(chat("hello"))).reason == ""


async def test_signals_are_its_workers_business() -> None:
    """A whole group is told to end by a terminal; the worker drains, and needs its reader for that."""
    async with desk() as it:
        await it.read(b"{}")
        first = it.reader.pid
        assert first is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(first, number)
        assert (await it.read(chat("hello"))).reason == ""
        assert first == it.reader.pid


async def test_a_program_that_cannot_be_started_is_an_outcome() -> None:
    """Out of memory, out of processes: nothing is read, and nothing raised."""
    faults = []
    reader = Reader(["/nonexistent"], erred=lambda: faults.append(1))
    assert await reader.do(Rewrite(REQUEST, CHAT, b"{}", "", 9)) == Rewritten(reason="unavailable")
    assert faults == [1]
    await reader.close()
    assert await reader.do(parse(b"{}")) == Parsed("unavailable")


@pytest.mark.parametrize("how", ["rest", "hang"])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a busy child of its parent's death")
def test_a_reader_does_not_outlive_a_killed_worker(how: str, tmp_path: Path) -> None:
    """Whether it waits for work or is in the midst of it."""
    argv = [sys.executable, str(HERE / "reader_parent.py"), str(tmp_path / "pid"), how]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        reader = int(process.stdout.readline())
        assert alive(reader)
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    while alive(reader):
        assert time.monotonic() < deadline
        time.sleep(0.01)
