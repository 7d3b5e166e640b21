"""A stream's admission over real gRPC: asked once, answered whatever happens, and settled once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from safeguards_extproc.adapters.shared import NoAccounts
from safeguards_extproc.core.account import (
    Admission,
    Admitted,
    Count,
    Counted,
    Identity,
    Limit,
    Settlement,
    Shape,
    Usage,
)
from safeguards_extproc.core.effects import Admit, Effect, SendHeaders
from safeguards_extproc.core.events import Admitted as Answered
from safeguards_extproc.core.events import Event, Headers
from safeguards_extproc.core.text import Direction
from tests.adapters.peer import DUPLEX, headers, world
from tests.adapters.standins import Scripted

ADMISSION = Admission("scripted", Identity({"key": "k"}))
LIMIT = Limit("requests", ("key",), Count.REQUESTS, Shape.RATE, 1)


class Book:
    """Accounts that answer when a test says, with what it says; and what they were told."""

    def __init__(self, answer: Admitted | Exception | None = None) -> None:
        self.answer = answer
        self.asked: list[Admission] = []
        self.told: list[Settlement] = []
        self.may = asyncio.Event()
        self.closed = False
        if answer is not None:
            self.may.set()

    async def admit(self, admission: Admission) -> Admitted:
        self.asked.append(admission)
        await self.may.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or Admitted(source="store")

    def settle(self, settlement: Settlement) -> None:
        self.told.append(settlement)
        if isinstance(self.answer, Exception):
            raise self.answer

    async def close(self) -> None:
        self.closed = True


def asking(exchange: Scripted, event: Event) -> list[Effect]:
    """The request waits for its admission; the response ends the exchange."""
    match event:
        case Headers(direction=Direction.REQUEST):
            exchange.waiting = True
            return [Admit(ADMISSION)]
        case Answered():
            exchange.waiting = False
            return [SendHeaders(Direction.REQUEST)]
        case _:
            return [*exchange.keep(), SendHeaders(Direction.RESPONSE)]


async def talk(book: Book) -> tuple[Sequence[str], list[str]]:
    """A whole exchange; how admissions were counted, and faults."""
    async with world(lambda opened, at: Scripted(asking)) as it:
        it.shared.accounts = book
        call = it.call()
        await call.say(headers("request", mode=DUPLEX))
        assert await call.hear() == "request_headers"
        await call.say(headers("response", end=True))
        assert await call.hear() == "response_headers"
        await call.close()
        await it.shared.settled()
        return it.counts.admitted_by, it.counts.faults


async def test_an_exchange_is_admitted_and_settled() -> None:
    """Once each, the settlement with what the record says."""
    book = Book(Admitted([Counted(LIMIT, True, 0)], source="store"))
    assert await talk(book) == (["store"], [])
    assert book.asked == [ADMISSION]
    (told,) = book.told
    assert (told.admission, told.usage, told.refused) == (ADMISSION, Usage(), False)
    assert book.closed


async def test_without_accounts_everybody_is_admitted() -> None:
    """A driver of its own counts nothing."""
    shared = NoAccounts()
    assert await shared.admit(ADMISSION) == Admitted(source="none")


async def test_a_fault_of_accounts_holds_up_nobody() -> None:
    """It is counted, and the exchange goes on as if nobody could count."""
    assert await talk(Book(RuntimeError("a bug"))) == (["none"], ["accounts", "accounts"])


async def test_what_was_asked_is_settled_though_the_stream_is_gone() -> None:
    """The answer comes after the end: what it took is given back all the same, once."""
    book = Book()
    async with world(lambda opened, at: Scripted(asking)) as it:
        it.shared.accounts = book
        call = it.call()
        await call.say(headers("request", mode=DUPLEX))
        await it.until(lambda: len(book.asked) == 1)
        for stream in list(it.shared.streams):
            stream.stop()
        await it.until(lambda: not it.shared.streams)
        assert it.terminations() != []
        assert book.told == []
        book.may.set()
        await it.shared.settled()
    assert [told.admission for told in book.told] == [ADMISSION]
