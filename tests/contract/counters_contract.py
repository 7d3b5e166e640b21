"""What every place to count campaigns does, in process or on Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from safeguards_extproc.enforcement.campaigns.counting import NOTES, Count, Counters, Reply

BEGIN = 1_800_000_000.0
HOUR = 3600.0

Check = Callable[[Counters], "object"]


def asks(tag: str = "ann", **what: object) -> Count:
    """One more."""
    return Count("busy", tag, HOUR, {"asks": 1}, **what)  # type: ignore[arg-type]


async def one(counters: Counters, count: Count, at: float = BEGIN) -> Reply:
    """The reply to one count."""
    (reply,) = await counters.count([count], at)
    return reply


async def counts_each(counters: Counters) -> None:
    """Replies come in order, each with what was counted before it in the same call; tags and names are apart."""
    replies = await counters.count([asks(), asks("bob"), asks(), Count("other", "ann", HOUR, {"asks": 5})], BEGIN)
    assert [1, 1, 2, 5] == [reply.total("asks") for reply in replies]
    assert [] == list(await counters.count([], BEGIN))


async def slides(counters: Counters) -> None:
    """What was counted is there for a window, and gone after one and a quarter; slots tell now from before."""
    await one(counters, asks())
    assert (2, 1, 1) == _told(await one(counters, asks(), BEGIN + HOUR))
    assert (2, 1, 1) == _told(await one(counters, asks(), BEGIN + HOUR + HOUR / 4))
    assert (1, 1, 0) == _told(await one(counters, asks(), BEGIN + 4 * HOUR))


async def opens(counters: Counters) -> None:
    """What nobody opened is not counted; what somebody did is, until the window ends."""
    waits = Count("busy", "ann", HOUR, {"asks": 1, "band": 1}, opens=False)
    assert 0 == (await one(counters, waits)).total("asks")
    await one(counters, asks())
    reply = await one(counters, waits, BEGIN + HOUR / 2)
    assert (2, 0) == (reply.total("asks"), reply.total("band"))
    assert 0 == (await one(counters, waits, BEGIN + 3 * HOUR)).total("asks")


async def reads(counters: Counters) -> None:
    """A field can be heard without being added to."""
    await one(counters, Count("busy", "ann", HOUR, {"a": 3, "b": 4}))
    reply = await one(counters, Count("busy", "ann", HOUR, {"a": 1}, ("b", "c")))
    assert (4, 4, 0) == (reply.total("a"), reply.total("b"), reply.total("c"))


async def tells_apart(counters: Counters) -> None:
    """Members count once in a window, near enough."""
    counts = [asks(member=f"member-{number % 300}") for number in range(900)]
    replies: Sequence[Reply] = await counters.count(counts, BEGIN)
    assert 290 <= replies[-1].distinct <= 310
    assert 1 == replies[0].distinct
    assert 300 * 0.95 <= (await one(counters, asks(member="member-1"), BEGIN + HOUR)).distinct <= 310
    assert 1 == (await one(counters, asks(member="member-1"), BEGIN + 3 * HOUR)).distinct


async def keeps_notes(counters: Counters) -> None:
    """The newest first, so many of each slot."""
    await counters.count([asks(note=f"r{number}") for number in range(NOTES + 10)], BEGIN)
    await one(counters, asks(note="last"), BEGIN + HOUR / 2)
    notes = await counters.notes(asks(), BEGIN + HOUR / 2)
    assert ["last", f"r{NOTES + 9}", f"r{NOTES + 8}"] == list(notes[:3])
    assert NOTES + 1 == len(notes)
    assert [] == list(await counters.notes(asks("bob"), BEGIN))
    assert [] == list(await counters.notes(asks(), BEGIN + 3 * HOUR))


CONTRACT = [counts_each, slides, opens, reads, tells_apart, keeps_notes]


def _told(reply: Reply) -> tuple[int, int, int]:
    return reply.total("asks"), reply.now("asks"), reply.before("asks")
