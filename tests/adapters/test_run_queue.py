"""Turns are taken in order, a few at a time, and the loop does what else is due in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from safeguards_extproc.adapters.run_queue import BATCH_S, FULL, READING_S, RunQueue


class Day:
    """A clock that goes on while somebody works, and what was done."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []

    def work(self, name: str, seconds: float) -> Callable[[], None]:
        def turn() -> None:
            self.now += seconds
            self.done.append(name)

        return turn


async def test_what_is_short_is_done_together_and_in_order() -> None:
    """Nobody waits for the loop to come round as long as little time has gone by."""
    day = Day()
    turns = RunQueue(lambda: day.now)
    for name in "abc":
        turns.ask(day.work(name, BATCH_S / 10))
    asyncio.get_running_loop().call_soon(day.work("other", 0))
    await asyncio.sleep(0)
    assert ["a", "b", "c", "other"] == day.done


async def test_whatever_else_is_due_comes_between_turns_that_take_long() -> None:
    """However many texts are long, a stream with a word to say waits for a few milliseconds of them."""
    day = Day()
    turns, loop = RunQueue(lambda: day.now), asyncio.get_running_loop()
    over = loop.create_future()

    def chatter() -> None:
        day.done.append("other")
        if len(day.done) < 12:
            loop.call_soon(chatter)
        else:
            over.set_result(None)

    for name in "abcdef":
        turns.ask(day.work(name, BATCH_S * 0.6))
    loop.call_soon(chatter)
    await over
    assert ["a", "b", "other", "c", "d", "other", "e", "f"] == day.done[:8]


async def test_who_asks_in_its_turn_comes_after_all_others() -> None:
    """One text of any length takes no turn of another's."""
    day = Day()
    turns = RunQueue(lambda: day.now)

    def long(left: int) -> Callable[[], None]:
        def turn() -> None:
            day.done.append("long")
            if left:
                turns.ask(long(left - 1))

        return turn

    turns.ask(long(2))
    turns.ask(day.work("short", 0))
    await asyncio.sleep(0)
    assert ["long", "short", "long", "long"] == day.done


async def test_what_sockets_hold_is_read_before_turns_but_not_for_ever() -> None:
    """Behind a document that comes in stand words of other streams; who floods us stops no turn for long."""
    day, read = Day(), READING_S * 0.3
    turns, loop = RunQueue(lambda: day.now), asyncio.get_running_loop()
    over = loop.create_future()

    def socket(reads: int, size: int) -> None:
        day.work("read", read)()
        turns.heard(size)
        if reads > 1:
            loop.call_soon(socket, reads - 1, size)
        else:
            over.set_result(None)

    turns.ask(day.work("a", BATCH_S))
    socket(6, FULL)
    turns.ask(day.work("b", BATCH_S))
    await over
    assert ["read"] * 4 + ["a"] == day.done[:5]
    assert "b" in day.done


async def test_where_sockets_give_without_end_turns_get_half_of_the_time() -> None:
    """Overload is no burst: what has been begun is done, or nothing would ever be answered."""
    day, read = Day(), BATCH_S * 0.25
    turns, loop = RunQueue(lambda: day.now), asyncio.get_running_loop()
    over = loop.create_future()

    def socket(reads: int) -> None:
        day.work("read", read)()
        turns.heard(FULL)
        if reads > 1:
            loop.call_soon(socket, reads - 1)
        else:
            over.set_result(None)

    def long() -> None:
        day.work("turn", BATCH_S)()
        turns.ask(long)

    turns.ask(long)
    socket(400)
    await over
    assert (400 * read - READING_S) / BATCH_S == pytest.approx(day.done.count("turn"), rel=0.1)


async def test_small_reads_hold_no_turn_up() -> None:
    """Events of streams come all the time, and one read takes all of them."""
    day = Day()
    turns = RunQueue(lambda: day.now)
    turns.ask(day.work("a", BATCH_S))
    turns.heard(FULL - 1)
    await asyncio.sleep(0)
    assert ["a"] == day.done


async def test_it_says_how_long_turns_wait() -> None:
    """Long texts that pile up are an overload, though what sockets bring is read at once."""
    day = Day()
    turns, seen = RunQueue(lambda: day.now), []
    for name in "abc":
        turns.ask(day.work(name, BATCH_S * 2))
    while len(day.done) < 3:
        await asyncio.sleep(0)
        seen.append(turns.wait_s)
    assert [0.0, BATCH_S * 2, 0.0] == seen
