"""Exchanges are taken down as they happen, of those who agreed, and can be decided again to the byte."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from safeguards_extproc import wire
from safeguards_extproc.adapters.capturing import EVERYBODY, CaptureLimits, Capturing, Taking, Terms
from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.core.exchange import Exchange
from safeguards_extproc.core.record import FiredRule, Record
from safeguards_extproc.core.taken import Taken
from safeguards_extproc.replay import verdict
from safeguards_extproc.replay.messages import messages, sides
from safeguards_extproc.replay.through_core import Asked, alone, play
from tests.adapters.peer import world
from tests.replay.worlds import BAD, HARMLESS, model, policy, sample

ALL = Terms(frozenset({EVERYBODY}), share=1.0)
ROOM = CaptureLimits()


class Kept:
    """A keeper in memory."""

    def __init__(self, result: str = "kept") -> None:
        self.taken: list[tuple[Taken, float]] = []
        self.result = result
        self.go = threading.Event()
        self.go.set()
        self.closed = False

    def keep(self, taken: Taken, keep_s: float) -> str:
        self.go.wait(10)
        self.taken.append((taken, keep_s))
        return self.result

    def close(self) -> None:
        self.closed = True


def capturing(
    terms: Terms | None = ALL, keeper: Kept | None = None, limits: CaptureLimits = ROOM
) -> tuple[Capturing, Kept, list[str]]:
    counted: list[str] = []
    kept = keeper or Kept()
    return Capturing(lambda: terms, kept, counted.append, limits), kept, counted


class Judge:
    """A model that takes its time for what is bad."""

    async def score(self, model_: Model, texts: list[str], prompt: str = "") -> Result:
        if any(BAD in text for text in texts):
            await asyncio.sleep(0.02)
        return model(Asked(texts, model_, prompt))

    async def ready(self, model_: Model) -> bool:
        return True

    async def start(self) -> None: ...

    async def close(self) -> None: ...


SAID = {
    "harmless": sample("harmless"),
    "bad question": sample("bad question", BAD),
    "bad answer": sample("bad answer", answer=HARMLESS * 3 + BAD + HARMLESS),
    "whole": sample("whole", stream=False),
}


async def served(taken: Taken, found: Capturing, *, pause_s: float = 0.0, cut: int | None = None) -> Record:
    """A filter with a capture hears an exchange from an Envoy; `cut` is how many messages it says of it."""
    rules = policy()
    async with world(lambda opened, at: Exchange(rules, wire, "id-1", opened, at), Judge()) as around:  # type: ignore[arg-type]
        around.shared.capturing = found
        call = around.call()
        asked, answered = sides(taken.messages)
        assert asked is not None
        question = messages(asked, None)
        said = [message.raw for message in (*question, *messages(asked, answered)[len(question) :])]
        await call.say(*said[:2])
        ends = False
        if await call.hear() == "request_headers":
            assert (await call.hear())[-1:] == b"$"
            for message in said[2:cut]:
                await call.say(message)
                await asyncio.sleep(pause_s)
            while cut is None and not ends:
                heard = await call.hear()
                ends = heard == "EOF" or heard == "immediate_response" or heard[-1:] == b"$"
        if cut is None:
            await call.close()
        else:
            call.rpc.cancel()
        await around.until(lambda: not around.shared.streams)
        (record,) = around.sink.records
        return record


@pytest.mark.parametrize("name", SAID)
async def test_what_was_taken_is_decided_again(name: str) -> None:
    """Through a real server: the same record, and every message to Envoy to the byte."""
    found, kept, counted = capturing()
    record = await served(SAID[name], found)
    found.close()

    ((taken, keep_s),) = kept.taken
    assert (["kept"], 7 * 86_400.0, True) == (counted, keep_s, kept.closed)
    again = alone(play(taken, policy(), wire, keep=True))
    assert verdict.of(record).said == verdict.of(again.record).said
    assert (record.response.account, 0) == (again.record.response.account, again.unknown)
    assert again.taken is not None
    assert [m.raw for m in taken.messages if not m.from_envoy] == [
        m.raw for m in again.taken.messages if not m.from_envoy
    ]
    assert (0, 0) == (found.held, found.waiting)


async def test_timers_and_breaks_are_taken_down() -> None:
    """A slow stream whose client went away: scanned when the timer said so, and closed where it was."""
    found, kept, _ = capturing()
    record = await served(SAID["harmless"], found, pause_s=0.03, cut=12)
    found.close()
    ((taken, _),) = kept.taken
    assert "woke" in {note.what for note in taken.notes}
    again = alone(play(taken, policy(), wire))
    assert ("closed", record.response.account.windows) == (
        again.record.termination,
        again.record.response.account.windows,
    )


def taking(found: Capturing, *sizes: int, at: float = 5.0) -> Taking | None:
    """An exchange whose messages have these sizes."""
    first, *rest = sizes
    begun = found.begin(b"x" * first, at)
    for size in rest:
        if begun is not None:
            begun.took(b"x" * size, at)
    return begun


def ended(begun: Taking | None, record: Record) -> None:
    if begun is not None:
        begun.kept(record)
        begun.over()


FIRED = [FiredRule("r", "block", "shadow", "true")]


@pytest.mark.parametrize(
    ("terms", "change", "wanted"),
    [
        (ALL, lambda record: None, True),
        (replace(ALL, tenants=frozenset({"t1"})), lambda record: None, False),
        (replace(ALL, tenants=frozenset({"t1"})), lambda record: record.identity.update(tenant="t1"), True),
        (replace(ALL, tenants=frozenset({"t1"})), lambda record: record.identity.update(tenant="t2"), False),
        (replace(ALL, routes=frozenset({"chat"})), lambda record: None, False),
        (replace(ALL, share=0.0, rules=frozenset({"r"})), lambda record: record.request.fired.extend(FIRED), True),
        (replace(ALL, share=0.0, rules=frozenset({"r"})), lambda record: record.response.fired.extend(FIRED), True),
        (replace(ALL, share=0.0, rules=frozenset({"s"})), lambda record: record.response.fired.extend(FIRED), False),
    ],
)
def test_who_is_captured(terms: Terms, change: Callable[[Record], None], wanted: bool) -> None:
    """Whoever agreed, on routes that were named, by chance or by rule."""
    found, kept, counted = capturing(terms)
    record = Record("one", route="other")
    change(record)
    ended(taking(found, 10), record)
    found.close()
    assert (int(wanted), ["kept" if wanted else "unwanted"]) == (len(kept.taken), counted)
    assert (0, 0) == (found.held, found.waiting)


def test_nobody_is_captured_without_a_word() -> None:
    """Neither where the policy says nothing, nor who was not drawn."""
    assert taking(capturing(None)[0], 10) is None
    assert taking(capturing(replace(ALL, share=0.0))[0], 10) is None


def test_about_the_share_that_was_asked_for() -> None:
    """By chance: within six standard deviations."""
    found, _, _ = capturing(replace(ALL, share=0.25))
    drawn = sum(taking(found, 1) is not None for _ in range(4000))
    assert abs(drawn - 1000) < 6 * (4000 * 0.25 * 0.75) ** 0.5


@pytest.mark.parametrize(
    ("terms", "limits", "reason"),
    [
        (replace(ALL, exchange_bytes=25), ROOM, "too-large"),
        (ALL, CaptureLimits(held_bytes=25), "held"),
        (ALL, CaptureLimits(waiting_bytes=25), "behind"),
    ],
)
def test_what_cannot_be_held_is_let_go(terms: Terms, limits: CaptureLimits, reason: str) -> None:
    """At once and whole, and it is counted why."""
    found, kept, counted = capturing(terms, limits=limits)
    begun = taking(found, 10, 10, 10)
    ended(begun, Record("one"))
    found.close()
    assert ([], [reason], 0, 0) == (kept.taken, counted, found.held, found.waiting)


def test_a_slow_disk_holds_up_nobody() -> None:
    """What it cannot keep up with is dropped; the rest is written when it comes to it."""
    keeper = Kept()
    keeper.go.clear()
    found, _, counted = capturing(keeper=keeper, limits=CaptureLimits(waiting_bytes=25))
    for number in range(4):
        ended(taking(found, 10), Record(str(number)))
    assert ["behind", "behind"] == counted
    keeper.go.set()
    found.close()
    assert ["0", "1"] == [taken.id for taken, _ in keeper.taken]
    assert (["behind", "behind", "kept", "kept"], 0) == (counted, found.waiting)


def test_what_the_keeper_says_is_counted() -> None:
    """A full folder, a broken disk."""
    found, _, counted = capturing(keeper=Kept("full"))
    ended(taking(found, 10), Record("one"))
    found.close()
    assert ["full"] == counted


def test_nothing_after_the_end_counts() -> None:
    """A late message belongs to no exchange any more; one without a record is none."""
    found, kept, counted = capturing()
    begun = taking(found, 10)
    assert begun is not None
    begun.over()
    begun.took(b"late", 6.0)
    begun.over()
    found.close()
    assert ([], ["unwanted"], 0) == (kept.taken, counted, found.held)
