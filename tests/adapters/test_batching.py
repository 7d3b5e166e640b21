"""Many callers, few requests, and nobody pays for a neighbour."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from safeguards_extproc.adapters.batching import Answer, Batch, Failed, Lane, Part, TooLarge
from safeguards_extproc.adapters.kserve import Scored

LONG = 60.0


def score_of(text: str) -> float:
    return float("nan") if text == "nan" else float(text)


def scored(texts: Sequence[str]) -> Scored:
    return Scored(("risk",), np.array([[score_of(text)] for text in texts], np.float32), "1")


class Peer:
    """A model in the test's hand: each request waits until the test answers it."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.answers: list[asyncio.Future[Scored | Failed | TooLarge]] = []
        self.cancelled: list[str] = []

    async def ask(self, batch: Batch) -> Scored | Failed | TooLarge:
        answer: asyncio.Future[Scored | Failed | TooLarge] = asyncio.get_running_loop().create_future()
        self.asked.append(batch.texts)
        self.answers.append(answer)
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancelled.append(batch.left)
            raise

    def reply(self, request: int) -> None:
        self.answers[request].set_result(scored(self.asked[request]))


def lane(peer: Peer, *, in_flight: int = 1, largest: int = 4, bound: int = 100) -> Lane:
    return Lane(peer.ask, in_flight=in_flight, largest=largest, bound=bound)


async def turn() -> None:
    """Let everything that can run now run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_idle_peer_is_asked_at_once_and_a_busy_one_gathers() -> None:
    """The first text goes alone; what arrives while it is away goes together."""
    peer = Peer()
    queue = lane(peer)
    first = asyncio.create_task(queue.score(["0.5"], LONG))
    await turn()
    others = [asyncio.create_task(queue.score([text], LONG)) for text in ("0.25", "0.75")]
    await turn()
    assert peer.asked == [["0.5"]]
    assert queue.queued == 2
    peer.reply(0)
    await turn()
    assert peer.asked == [["0.5"], ["0.25", "0.75"]]
    peer.reply(1)
    answers = [Answer({"risk": score}, "1") for score in (0.5, 0.25, 0.75)]
    assert answers == await asyncio.gather(first, *others)


async def test_what_arrives_in_one_turn_goes_together() -> None:
    """Three streams that speak at the same moment cost one request."""
    peer = Peer()
    queue = lane(peer, in_flight=4)
    calls = [asyncio.create_task(queue.score([text], LONG)) for text in ("0.5", "0.25", "0.75")]
    await turn()
    assert peer.asked == [["0.5", "0.25", "0.75"]]
    peer.reply(0)
    await asyncio.gather(*calls)


async def test_the_answer_is_the_maximum_over_a_calls_texts() -> None:
    """A call with more texts than fit is cut over requests, and its answer waits for all of them."""
    peer = Peer()
    call = asyncio.create_task(lane(peer, largest=2).score(["0.5", "0.25", "0.75", "0", "0"], LONG))
    for request in range(3):
        await turn()
        assert not call.done()
        peer.reply(request)
    assert await call == Answer({"risk": 0.75}, "1")
    assert peer.asked == [["0.5", "0.25"], ["0.75", "0"], ["0"]]


async def test_a_prompt_stays_with_its_texts() -> None:
    """Gathered with others, cut over requests, and asked again alone: each text has its own caller's prompt."""
    asked: list[list[tuple[str, str]]] = []

    async def ask(batch: Batch) -> Scored | Failed | TooLarge:
        asked.append(list(zip(batch.texts, batch.prompts, strict=True)))
        return Failed("bad-response") if len(batch.callers) > 1 else scored(batch.texts)

    queue = Lane(ask, in_flight=1, largest=3, bound=100)
    calls = [("a", ["0.5"]), ("", ["0.25", "0.75"]), ("b", ["0"] * 4)]
    await asyncio.gather(*(queue.score(texts, LONG, prompt) for prompt, texts in calls))
    whole = [[("0.5", "a"), ("0.25", ""), ("0.75", "")], [("0.5", "a")], [("0.25", ""), ("0.75", "")]]
    assert asked == [*whole, [("0", "b")] * 3, [("0", "b")]]


async def test_a_call_that_fits_whole_is_not_cut() -> None:
    """The rest of a request stays empty rather than cut a call in two."""
    peer = Peer()
    queue = lane(peer, in_flight=2)
    calls = [asyncio.create_task(queue.score(["0.5"] * 3, LONG)) for _ in range(2)]
    await turn()
    assert peer.asked == [["0.5"] * 3, ["0.5"] * 3]
    peer.reply(0)
    peer.reply(1)
    await asyncio.gather(*calls)


async def test_one_callers_timeout_leaves_the_others_alone() -> None:
    """The hurried one gets "timeout" while the request goes on for the patient one."""
    peer = Peer()
    queue = lane(peer)
    hurried = asyncio.create_task(queue.score(["0.5"], 0.01))
    patient = asyncio.create_task(queue.score(["0.25"], LONG))
    assert await hurried == Answer(failure="timeout")
    assert not peer.cancelled
    peer.reply(0)
    assert await patient == Answer({"risk": 0.25}, "1")


async def test_time_in_the_queue_counts() -> None:
    """Who waits too long for a request is told so and never sent."""
    peer = Peer()
    queue = lane(peer)
    first = asyncio.create_task(queue.score(["0.5"], LONG))
    await turn()
    assert await queue.score(["0.25"], 0.01) == Answer(failure="timeout")
    assert queue.queued == 0
    peer.reply(0)
    await first
    await turn()
    assert peer.asked == [["0.5"]]


@pytest.mark.parametrize("reason", ["timeout", "cancelled"])
async def test_a_request_ends_when_nobody_waits_for_it(reason: str) -> None:
    """The last caller to leave puts the light out, and the place goes to the next."""
    peer = Peer()
    queue = lane(peer)
    calls = [asyncio.create_task(queue.score([text], 0.01 if reason == "timeout" else LONG)) for text in ("0.5", "1")]
    await turn()
    after = asyncio.create_task(queue.score(["0.25"], LONG))
    await turn()
    if reason == "cancelled":
        calls[0].cancel()
        await turn()
        assert not peer.cancelled
        calls[1].cancel()
    await asyncio.wait(calls)
    await turn()
    assert peer.cancelled == [reason]
    assert peer.asked == [["0.5", "1"], ["0.25"]]
    peer.reply(1)
    assert await after == Answer({"risk": 0.25}, "1")


async def test_a_caller_that_goes_away_takes_its_texts_along() -> None:
    """Cancelled while it waits: never sent, and its place in the queue is free."""
    peer = Peer()
    queue = lane(peer)
    first = asyncio.create_task(queue.score(["0.5"], LONG))
    await turn()
    gone, stays = (asyncio.create_task(queue.score([text], LONG)) for text in ("0.25", "0.75"))
    await turn()
    gone.cancel()
    await turn()
    assert queue.queued == 1
    peer.reply(0)
    await turn()
    assert peer.asked == [["0.5"], ["0.75"]]
    peer.reply(1)
    await asyncio.gather(first, stays)
    assert gone.cancelled()


async def test_a_full_queue_says_so_at_once() -> None:
    """Past the bound a caller hears "overload", and the waiting ones keep their place."""
    peer = Peer()
    queue = lane(peer, bound=2)
    first = asyncio.create_task(queue.score(["0.5"], LONG))
    await turn()
    second = asyncio.create_task(queue.score(["0.25", "0.75"], LONG))
    await turn()
    assert await queue.score(["1"], LONG) == Answer(failure="overload")
    peer.reply(0)
    await turn()
    peer.reply(1)
    assert await second == Answer({"risk": 0.75}, "1")
    await first


async def test_one_poisoned_text_fails_alone() -> None:
    """A request that the model could not do is asked again call by call, in order."""
    peer = Peer()
    queue = lane(peer)
    calls = [asyncio.create_task(queue.score([text], LONG)) for text in ("0.5", "0.66", "0.75")]
    await turn()
    peer.answers[0].set_result(Failed("bad-response"))
    await turn()
    peer.reply(1)
    await turn()
    peer.answers[2].set_result(Failed("bad-response"))
    await turn()
    peer.reply(3)
    expected = [Answer({"risk": 0.5}, "1"), Answer(failure="bad-response"), Answer({"risk": 0.75}, "1")]
    assert expected == await asyncio.gather(*calls)
    assert peer.asked[1:] == [["0.5"], ["0.66"], ["0.75"]]


async def test_who_poisons_a_request_and_leaves_hurts_nobody() -> None:
    """The one who shared with it is asked for again, though it is the only one that still waits."""
    peer = Peer()
    queue = lane(peer)
    poisoner, other = (asyncio.create_task(queue.score([text], LONG)) for text in ("0.66", "0.5"))
    await turn()
    poisoner.cancel()
    await turn()
    peer.answers[0].set_result(Failed("bad-response"))
    await turn()
    peer.reply(1)
    assert await other == Answer({"risk": 0.5}, "1")
    assert peer.asked == [["0.66", "0.5"], ["0.5"]]


async def test_other_failures_are_not_asked_again() -> None:
    """A server that is away is away for the whole request."""
    peer = Peer()
    queue = lane(peer)
    calls = [asyncio.create_task(queue.score([text], LONG)) for text in ("0.5", "0.25")]
    await turn()
    peer.answers[0].set_result(Failed("unavailable"))
    assert await asyncio.gather(*calls) == [Answer(failure="unavailable")] * 2
    assert len(peer.asked) == 1


async def test_a_peer_that_takes_less_is_sent_less() -> None:
    """The model's own largest batch is learnt once and kept to."""
    peer = Peer()
    queue = lane(peer, in_flight=2)
    call = asyncio.create_task(queue.score(["0.5", "0.25", "0.75"], LONG))
    await turn()
    peer.answers[0].set_result(TooLarge(2))
    await turn()
    assert peer.asked[1:] == [["0.5", "0.25"], ["0.75"]]
    peer.reply(1)
    peer.reply(2)
    assert await call == Answer({"risk": 0.75}, "1")


async def test_a_fault_of_ours_is_a_value_too() -> None:
    """Even an error in asking reaches no caller as an exception."""

    async def broken(_: Batch) -> Scored | Failed | TooLarge:
        raise ZeroDivisionError

    queue = Lane(broken, in_flight=1, largest=4, bound=100)
    assert await queue.score(["0.5"], LONG) == Answer(failure="bad-response")


async def test_closing_answers_everybody() -> None:
    """Sent or waiting, all hear "cancelled"; nothing is left running."""
    peer = Peer()
    queue = lane(peer)
    first = asyncio.create_task(queue.score(["0.5"], LONG))
    await turn()
    second = asyncio.create_task(queue.score(["0.25"], LONG))
    await turn()
    queue.close()
    assert await first == await second == Answer(failure="cancelled")
    await turn()
    assert peer.cancelled == ["cancelled"]
    assert len(peer.asked) == 1


async def test_no_texts_need_no_answer() -> None:
    """Nothing to ask is nothing asked, and no score either."""
    peer = Peer()
    assert await lane(peer).score([], LONG) == Answer(failure="cancelled")
    assert not peer.asked


TEXT = st.sampled_from(["0", "0.25", "0.5", "0.75", "1", "nan", "poison"])
Sent = tuple[list[str], int, bool]
CALLS = st.lists(st.tuples(st.lists(TEXT, min_size=1, max_size=6), st.integers(0, 3), st.booleans()), max_size=12)


def alone(texts: Sequence[str]) -> Answer:
    """What a call gets that shares with nobody."""
    if "nan" in texts or "poison" in texts:
        return Answer(failure="bad-response")
    return Answer({"risk": max(float(text) for text in texts)}, "1")


async def share(kind: type[Lane], calls: list[Sent], largest: int, in_flight: int) -> None:
    """Send all calls through one lane, some of which go away at once, and compare each with its answer alone."""

    async def model(batch: Batch) -> Scored | Failed | TooLarge:
        if len(batch.texts) > 3:
            return TooLarge(3)
        texts = list(batch.texts)
        await asyncio.sleep(0)
        return Failed("bad-response") if "poison" in texts else scored(texts)

    async def caller(texts: list[str], turns: int) -> Answer:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await queue.score(texts, LONG)

    queue = kind(model, in_flight=in_flight, largest=largest, bound=1000)
    tasks = [asyncio.create_task(caller(texts, turns)) for texts, turns, _ in calls]
    await asyncio.sleep(0)
    for task, (_, _, leaves) in zip(tasks, calls, strict=True):
        if leaves:
            task.cancel()
    for task, (texts, _, leaves) in zip(tasks, calls, strict=True):
        if leaves:
            await asyncio.wait([task])
        else:
            answer = await task
            assert alone(texts) == answer
    assert queue.queued == 0


@pytest.mark.long
@settings(max_examples=80, deadline=None)
@example([(["0"] * 4, 0, False), (["0", "0", "nan", "poison"], 0, False)], 4, 2)
@given(CALLS, st.integers(1, 8), st.integers(1, 3))
def test_company_never_changes_an_answer(
    calls: list[tuple[list[str], int, bool]], largest: int, in_flight: int
) -> None:
    """Whoever shares a request, whoever leaves, wherever it is cut: each call's answer is the one it gets alone."""
    asyncio.run(share(Lane, calls, largest, in_flight))


class Unfair(Lane):
    """A planted fault: one bad text fails everybody in the request."""

    def _again(self, parts: list[Part]) -> None:
        for part in parts:
            self._settle(part.call, Answer(failure="bad-response"))


def test_the_law_bites() -> None:
    """The comparison notices a neighbour's poison."""
    calls = [(["0.5"], 0, False), (["poison"], 0, False)]
    asyncio.run(share(Lane, calls, 3, 1))
    with pytest.raises(AssertionError):
        asyncio.run(share(Unfair, calls, 3, 1))
