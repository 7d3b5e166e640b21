"""One stream over real gRPC: what Envoy says, what it hears, how it ends, and what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.adapters.escalations import Escalations
from safeguards_extproc.adapters.shared import StreamLimits
from safeguards_extproc.core.aside import Outcome, Parse, Parsed, Task
from safeguards_extproc.core.decision import Escalation, Model, Result
from safeguards_extproc.core.effects import Cancel, Classify, Effect, Offload, SendBody, SendHeaders, Spare, Wake
from safeguards_extproc.core.events import Aborted, Body, Event, Headers, Offloaded, Opened, Scored, Woke
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.errors import IllegalEvent
from safeguards_extproc.rpc.connection import Limits
from tests.adapters.peer import BUFFERED, DUPLEX, Call, World, body, headers, trailers, world
from tests.adapters.standins import Echo, Scores, Scripted

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
SCREEN, GUARD = Model("screen", "screen", 200), Model("guard", "guard", 400)


def ask(ticket: int = 1, models: Sequence[Model] = (SCREEN,)) -> Classify:
    return Classify(ticket, Kind.USER, ["text"], models, REQUEST)


def hold(exchange: Scripted, event: Event) -> list[Effect]:
    """Request headers wait until the whole body has scores."""
    match event:
        case Headers(direction=Direction.REQUEST):
            return []
        case Body(data=data, end=end):
            exchange.held += len(data)
            exchange.waiting = end
            return [ask()] if end else []
        case Scored():
            exchange.waiting, exchange.held = False, 0
            sent = b"".join(past.data for past in exchange.events if isinstance(past, Body))
            return [*exchange.keep(), SendHeaders(REQUEST), SendBody(REQUEST, sent, True)]
        case _:
            return []


def holding(_opened: Opened, _at: float) -> Scripted:
    return Scripted(hold)


async def test_a_duplex_conversation_is_echoed_to_its_end() -> None:
    """Headers, chunks and trailers of both directions are answered in order; the end is OK and kept once."""
    async with world(Echo) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), body("request", b"ab"), body("request", b"", end=True))
        assert [await call.hear() for _ in range(3)] == ["request_headers", b"ab", b"$"]
        await call.say(headers("response"), body("response", b"cd"), trailers("response"))
        assert [await call.hear() for _ in range(3)] == ["response_headers", b"cd", "response_trailers"]
        assert await call.close() == (grpc.StatusCode.OK, "")
        await it.until(lambda: it.counts.closed == ["complete"])
        assert it.terminations() == ["complete"]
        assert not it.shared.streams


async def test_buffered_bodies_are_answered_one_for_one() -> None:
    """In buffered mode each message has its one answer."""
    async with world(Echo) as it:
        call = it.call()
        await call.say(headers("request", mode=BUFFERED), body("request", b"ab", end=True))
        await call.say(headers("response"), body("response", b"cd", end=True))
        expected = ["request_headers", "request_body", "response_headers", "response_body"]
        assert expected == [await call.hear() for _ in range(4)]


async def test_a_record_says_when_and_in_which_order() -> None:
    """Time of the first message and a sequence number are stamped by the driver."""
    async with world(Echo) as it:
        for _ in range(2):
            call = it.call()
            await call.say(headers("request", mode=DUPLEX), headers("response", end=True))
            await call.hear()
            await call.hear()
            await call.close()
        first, second = it.sink.records
        assert [first.sequence, second.sequence] == [1, 2]
        assert first.time.endswith("+00:00")
        assert first.time <= second.time


async def test_the_record_is_kept_before_the_answer_leaves() -> None:
    """Whoever has seen the last answer can rely on the record."""
    async with world(Echo) as it:
        call = it.call()
        await call.say(headers("request", end=True, mode=DUPLEX), headers("response", end=True))
        await call.hear()
        await call.hear()
        assert it.terminations() == ["complete"]


async def waiting_for_the_disk(it: World) -> tuple[Call, asyncio.Future[None]]:
    """An exchange whose record is kept and not yet on the disk; its request's answer was heard."""
    call = it.call()
    await call.say(headers("request", mode=DUPLEX))
    assert await call.hear() == "request_headers"
    it.sink.disk = disk = asyncio.get_running_loop().create_future()
    await call.say(headers("response", end=True))
    await it.until(lambda: it.terminations() == ["complete"])
    return call, disk


@pytest.mark.parametrize("closed", [False, True], ids=["open", "half-closed"])
async def test_an_answer_that_depends_on_the_disk_waits_for_it(*, closed: bool) -> None:
    """It leaves when the record is on the disk, and so does the OK for an Envoy that has closed its side meanwhile."""
    async with world(Echo) as it:
        call, disk = await waiting_for_the_disk(it)
        if closed:
            await call.rpc.done_writing()
        heard = asyncio.ensure_future(call.hear())
        other = it.call()
        it.sink.disk = None
        await other.say(headers("request", mode=DUPLEX), headers("response", end=True))
        assert [await other.hear(), await other.hear()] == ["request_headers", "response_headers"]
        assert await other.close() == (grpc.StatusCode.OK, "")
        assert not heard.done()
        disk.set_result(None)
        assert await heard == "response_headers"
        assert await call.close() == (grpc.StatusCode.OK, "")


async def test_who_goes_while_the_disk_works_leaves_one_record_and_no_fault() -> None:
    """What had waited goes nowhere."""
    async with world(Echo) as it:
        call, disk = await waiting_for_the_disk(it)
        call.rpc.cancel()
        await it.until(lambda: not it.shared.streams)
        disk.set_result(None)
        await asyncio.sleep(0)
        assert (it.terminations(), it.counts.faults) == (["complete"], [])


async def test_a_process_that_goes_down_while_the_disk_works_says_so() -> None:
    """An error, and not the answer: Envoy must not take for recorded what may not be."""
    async with world(Echo) as it:
        call, disk = await waiting_for_the_disk(it)
        for stream in list(it.shared.streams):
            stream.stop()
        disk.set_result(None)
        assert await call.hear() == "EOF"
        assert await call.ended() == (grpc.StatusCode.UNAVAILABLE, "shutting down")


async def test_held_headers_leave_with_the_verdict() -> None:
    """Nothing is said before the scores are there; then headers and body leave in order."""
    asked = asyncio.Event()

    async def score(model: Model, texts: Sequence[str]) -> Result:
        await asked.wait()
        return Result(model.detector, {"screen.unsafe": 0.1})

    async with world(holding, Scores(score)) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), body("request", b"ab"), body("request", b"cd", end=True))
        await it.until(lambda: it.shared.held == 4)
        asked.set()
        assert [await call.hear(), await call.hear()] == ["request_headers", b"abcd$"]
        assert it.shared.held == 0
        assert await call.close() == (grpc.StatusCode.OK, "")


async def test_windows_that_a_model_is_spared_are_counted() -> None:
    """They are what its share is taken of; nobody is asked."""
    told: list[tuple[str, str]] = []

    class Told:
        def escalation(self, detector: str, result: str, share: float) -> None:
            told.append((detector, result))

    guard = Model("guard", "guard", 100, escalation=Escalation())

    def spare(exchange: Scripted, event: Event) -> list[Effect]:
        return [Spare([guard]), SendHeaders(REQUEST)]

    async with world(lambda opened, at: Scripted(spare)) as it:
        it.shared.escalations = Escalations(Told())
        call = it.call()
        await call.say(headers("request", mode=DUPLEX))
        assert await call.hear() == "request_headers"
        assert [("guard", "not-due")] == told


async def test_envoy_going_away_is_a_normal_end() -> None:
    """A reset in mid-stream keeps exactly one record, cancels what was asked, and holds nothing any more."""
    cancelled = asyncio.Event()

    async def score(model: Model, texts: Sequence[str]) -> Result:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Result(model.detector)

    async with world(holding, Scores(score)) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), body("request", b"abc", end=True))
        await it.until(lambda: it.shared.held == 3)
        call.rpc.cancel()
        await it.until(lambda: it.counts.closed == ["closed"])
        await asyncio.wait_for(cancelled.wait(), 5)
        assert (it.terminations(), it.shared.held, it.counts.faults) == (["closed"], 0, [])


async def test_never_ok_before_the_last_answer() -> None:
    """Where Envoy closes its side first, the status is an error: an OK would let everything after it through."""
    async with world(holding) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), body("request", b"abc"))
        assert await call.close() == (grpc.StatusCode.UNAVAILABLE, "closed before the last answer")
        await it.until(lambda: it.terminations() == ["closed"])


async def test_the_check_of_the_last_answer_bites() -> None:
    """An exchange that says it has finished when it has not is what the test above would see as OK."""

    def careless(_opened: Opened, _at: float) -> Scripted:
        exchange = Scripted(hold)
        exchange.finished = True
        return exchange

    async with world(careless) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), body("request", b"abc"))
        assert await call.close() == (grpc.StatusCode.OK, "")


async def test_a_stream_without_a_message_is_not_ok() -> None:
    """Also a first message that never came, or was too large to be read, ends in an error."""
    async with world(Echo, calls=Limits(message=1000)) as it:
        assert grpc.StatusCode.UNAVAILABLE is (await it.call().close())[0]
        call = it.call()
        await call.say(headers("request", mode=DUPLEX, big="x" * 2000))
        assert grpc.StatusCode.OK is not (await call.ended())[0]


@pytest.mark.parametrize("where", [Headers, Scored, Woke])
async def test_a_bug_ends_the_stream_and_says_nothing(where: type) -> None:
    """Whichever event it happens at: INTERNAL, a constant text, one record, one fault."""

    def react(exchange: Scripted, event: Event) -> list[Effect]:
        if isinstance(event, where):
            raise ValueError("the user said: secret words")
        return [ask(), Wake("w", 0.0)] if isinstance(event, Headers) else []

    async with world(lambda *_: Scripted(react)) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX))
        assert await call.ended() == (grpc.StatusCode.INTERNAL, "internal error")
        await it.until(lambda: it.counts.closed == ["error"])
        assert (it.terminations(), it.counts.faults) == (["error"], ["exchange"])


@pytest.mark.parametrize("message", [b"\xff\xff", headers("request"), b""], ids=["garbage", "no config", "empty"])
async def test_a_message_that_makes_no_sense_ends_the_stream(message: bytes) -> None:
    """What Envoy may not say is its fault, not ours, and never OK."""
    async with world(Echo) as it:
        call = it.call()
        await call.say(message)
        assert await call.ended() == (grpc.StatusCode.INVALID_ARGUMENT, "unexpected message")
        assert it.counts.faults == ["peer"]


async def test_an_illegal_event_keeps_a_record() -> None:
    """The core refuses an event that the lifecycle does not allow; the exchange still has its record."""

    def react(exchange: Scripted, event: Event) -> list[Effect]:
        if isinstance(event, Body):
            raise IllegalEvent("request body while waiting for headers")
        return []

    async with world(lambda *_: Scripted(react)) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), body("request", b""))
        assert grpc.StatusCode.INVALID_ARGUMENT is (await call.ended())[0]
        await it.until(lambda: it.terminations() == ["error"])


async def test_a_timer_set_again_starts_anew() -> None:
    """Woke comes once, for the last setting."""

    def react(exchange: Scripted, event: Event) -> list[Effect]:
        match event:
            case Headers():
                return [Wake("flush", 30.0), Wake("other", 0.0), Wake("flush", 0.001)]
            case Woke(timer="flush"):
                return [*exchange.keep(), SendHeaders(REQUEST)]
            case _:
                return []

    exchange = Scripted(react)
    async with world(lambda *_: exchange) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX))
        assert await call.hear() == "request_headers"
        assert {"flush", "other"} == {event.timer for event in exchange.events if isinstance(event, Woke)}
        assert len(exchange.events) == 3


async def test_a_cancelled_question_is_not_answered() -> None:
    """After Cancel no Scored comes, though the scorer may have been about to answer."""
    calls = 0

    async def score(model: Model, texts: Sequence[str]) -> Result:
        nonlocal calls
        calls += 1
        return Result(model.detector)

    def react(exchange: Scripted, event: Event) -> list[Effect]:
        match event:
            case Headers():
                return [ask(1), ask(2), Cancel([1, 7])]
            case Scored(ticket=ticket):
                return [*exchange.keep(), SendBody(REQUEST, str(ticket).encode(), True)]
            case _:
                return []

    async with world(lambda *_: Scripted(react), Scores(score)) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX))
        assert await call.hear() == b"2$"
        assert calls == 1


async def test_no_stream_outlives_its_deadline() -> None:
    """A stream that hangs, because of us or of Envoy, ends with an error and a record."""
    async with world(holding, limits=StreamLimits(max_stream_s=0.05)) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX))
        assert await call.ended() == (grpc.StatusCode.DEADLINE_EXCEEDED, "stream deadline")
        await it.until(lambda: it.counts.closed == ["deadline"])
        assert it.terminations() == ["error"]


async def test_stopping_ends_a_stream_with_an_error() -> None:
    """What the end of the process cuts short says so to Envoy and in the record."""
    async with world(holding) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), body("request", b"ab"))
        await it.until(lambda: it.shared.held == 2)
        for stream in list(it.shared.streams):
            stream.stop()
        assert await call.ended() == (grpc.StatusCode.UNAVAILABLE, "shutting down")
        assert (it.terminations(), it.counts.closed) == (["shutdown"], ["shutdown"])


async def test_a_stream_ends_although_the_other_side_reads_nothing() -> None:
    """Answers that wait for room hold no error up. In the middle of a message only a reset can be said."""

    def react(exchange: Scripted, event: Event) -> list[Effect]:
        if isinstance(event, Headers):
            return [Wake("go", 0.0)]
        return [SendBody(RESPONSE, b"x" * 60_000, False) for _ in range(200)]

    async with world(lambda *_: Scripted(react)) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX))
        await it.until(lambda: any(stream._call.unsent for stream in it.shared.streams))
        for stream in list(it.shared.streams):
            stream.stop()
        while await call.hear() != "EOF":
            pass
        assert grpc.StatusCode.INTERNAL is (await call.ended())[0]
        assert it.terminations() == ["shutdown"]


async def test_a_full_house_takes_no_new_stream() -> None:
    """Over the bytes or the number of streams, new ones are refused with a reason, and running ones go on."""
    async with world(holding, limits=StreamLimits(total_held_bytes=4, streams=2)) as it:
        first = it.call()
        await first.say(headers("request", mode=DUPLEX), body("request", b"abcd"))
        await it.until(lambda: it.shared.held == 4)
        assert await it.call().ended() == (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded")
        await first.say(body("request", b"", end=True))
        assert [await first.hear(), await first.hear()] == ["request_headers", b"abcd$"]
        second = it.call()
        await second.say(headers("request", mode=DUPLEX))
        await it.until(lambda: len(it.shared.streams) == 2)
        assert grpc.StatusCode.RESOURCE_EXHAUSTED is (await it.call().ended())[0]
        assert it.counts.refused == ["overload", "streams"]


async def test_reading_pauses_while_too_much_is_held() -> None:
    """Above the limit, and as long as an answer can lower it, Envoy's bytes stay where they are."""
    go = asyncio.Event()

    async def score(model: Model, texts: Sequence[str]) -> Result:
        await go.wait()
        return Result(model.detector)

    def react(exchange: Scripted, event: Event) -> list[Effect]:
        match event:
            case Body(data=data, end=end):
                exchange.held += len(data)
                first = not exchange.waiting
                exchange.waiting = True
                return [*exchange.keep(), SendBody(REQUEST, b"", True)] if end else [ask()] if first else []
            case Scored():
                exchange.held, exchange.waiting = 0, False
                return []
            case _:
                return []

    exchange = Scripted(react)
    async with world(lambda *_: exchange, Scores(score), StreamLimits(stream_held_bytes=25)) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), *[body("request", b"x" * 10) for _ in range(5)])
        await call.say(body("request", b"", end=True))
        await it.until(lambda: exchange.held == 30)
        await asyncio.sleep(0.02)  # time in which a reader that does not pause would go on
        assert exchange.held == 30
        go.set()
        assert await call.hear() == b"$"


def observe(exchange: Scripted, event: Event) -> list[Effect]:
    """Everything goes on at once; the record waits for scores."""
    match event:
        case Headers(direction=direction):
            exchange.waiting = True
            return [SendHeaders(direction), *([ask(models=(SCREEN, GUARD))] if direction is REQUEST else [])]
        case Scored(results=results):
            exchange.waiting = False
            assert [result.detector for result in results] == ["screen", "guard"]
            return exchange.keep()
        case _:
            return []


async def test_a_record_may_wait_for_scores_after_envoy_has_left() -> None:
    """Where Envoy has every answer, closing does not lose the scores that were asked for."""
    go = asyncio.Event()

    async def score(model: Model, texts: Sequence[str]) -> Result:
        await go.wait()
        return Result(model.detector)

    async with world(lambda *_: Scripted(observe), Scores(score)) as it:
        call = it.call()
        await call.say(headers("request", end=True, mode=DUPLEX), headers("response", end=True))
        assert [await call.hear(), await call.hear()] == ["request_headers", "response_headers"]
        await call.close()
        assert (len(it.shared.streams), it.sink.records) == (1, [])
        go.set()
        await it.until(lambda: it.counts.closed == ["complete"])
        assert (it.terminations(), len(it.shared.streams)) == (["complete"], 0)


async def test_waiting_for_scores_has_an_end() -> None:
    """Scores that do not come in time leave a record that says so."""

    async def never(model: Model, texts: Sequence[str]) -> Result:
        await asyncio.Event().wait()
        return Result(model.detector)

    async with world(lambda *_: Scripted(observe), Scores(never), StreamLimits(linger_s=0.02)) as it:
        call = it.call()
        await call.say(headers("request", end=True, mode=DUPLEX), headers("response", end=True))
        await call.hear()
        await call.hear()
        call.rpc.cancel()
        await it.until(lambda: it.counts.closed == ["closed"])
        assert it.terminations() == ["closed"]


async def test_an_unfinished_answer_waits_for_nothing() -> None:
    """Where Envoy left in the middle there is nothing to wait for, scores outstanding or not."""
    exchange = Scripted(observe)

    async def never(model: Model, texts: Sequence[str]) -> Result:
        await asyncio.Event().wait()
        return Result(model.detector)

    async with world(lambda *_: exchange, Scores(never), StreamLimits(linger_s=60)) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX))
        await call.hear()
        call.rpc.cancel()
        await it.until(lambda: it.terminations() == ["closed"])
        assert isinstance(exchange.events[-1], Aborted)


@given(pauses=st.lists(st.integers(0, 3), min_size=1, max_size=12), chunks=st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_answers_keep_their_order(pauses: list[int], chunks: int) -> None:
    """Answers come of messages and of timers, and the client reads when it likes: it hears them as they were given."""
    given_answers: list[bytes] = []

    def say(number: int) -> list[Effect]:
        given_answers.append(b"%d.%d" % (len(given_answers), number))
        return [SendBody(REQUEST, given_answers[-1], False)]

    def react(exchange: Scripted, event: Event) -> list[Effect]:
        match event:
            case Body(end=True):
                return [*exchange.keep(), *say(0)]
            case Body():
                return [*say(0), Wake(f"t{len(given_answers)}", 0.0), *say(1)]
            case Woke() if not exchange.finished:
                return [*say(2), *say(3)]
            case _:
                return []

    async def talk() -> list[str | bytes]:
        async with world(lambda *_: Scripted(react)) as it:
            call = it.call()
            await call.say(headers("request", mode=DUPLEX))
            for number in range(chunks):
                await call.say(body("request", b"x"))
                for _ in range(pauses[number % len(pauses)]):
                    await asyncio.sleep(0)
            await call.say(body("request", b"", end=True))
            await it.until(lambda: bool(it.sink.records))
            return [await call.hear() for _ in given_answers]

    assert given_answers == asyncio.run(talk())


class Reads:
    """Answers every task with what `answer` says."""

    def __init__(self, answer: Callable[[Task], Awaitable[Outcome]]) -> None:
        self._answer = answer

    async def do(self, task: Task) -> Outcome:
        return await self._answer(task)

    async def close(self) -> None: ...


def offloading(_opened: Opened, _at: float) -> Scripted:
    """A body goes once it has been read elsewhere."""

    def react(exchange: Scripted, event: Event) -> list[Effect]:
        match event:
            case Body(end=True):
                exchange.waiting = True
                return [Offload(REQUEST, Parse(REQUEST, None, b"large", "", 9))]
            case Offloaded(outcome=outcome):
                exchange.waiting = False
                said = outcome.reason.encode() or b"read"
                return [*exchange.keep(), SendHeaders(REQUEST), SendBody(REQUEST, said, True)]
            case _:
                return []

    return Scripted(react)


async def read(_: Task) -> Outcome:
    return Parsed()


async def broken(_: Task) -> Outcome:
    raise ValueError("secret")


@pytest.mark.parametrize(
    ("answer", "said", "faults"), [(read, b"read$", []), (broken, b"unavailable$", ["reader"])], ids=["read", "broken"]
)
async def test_what_is_done_elsewhere_has_an_outcome(
    answer: Callable[[Task], Awaitable[Outcome]], said: bytes, faults: list[str]
) -> None:
    """The reader's, or where that fails the one of a body that was not read."""
    async with world(offloading) as it:
        it.shared.reader = Reads(answer)
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), body("request", b"large", end=True))
        assert [await call.hear(), await call.hear()] == ["request_headers", said]
        await call.close()
        assert faults == it.counts.faults


async def test_a_worker_without_a_reader_reads_no_large_body() -> None:
    """And says so: it never passes unread by itself."""
    async with world(offloading) as it:
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), body("request", b"large", end=True))
        assert [await call.hear(), await call.hear()] == ["request_headers", b"unavailable$"]
        await it.shared.reader.close()
        await call.close()


async def test_nothing_is_read_for_a_stream_that_is_over() -> None:
    """Envoy goes away while a body is read: the record is kept, and the reading is given up."""
    ended = asyncio.Event()

    async def endless(_: Task) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with world(offloading, limits=StreamLimits(linger_s=0.0)) as it:
        it.shared.reader = Reads(endless)
        call = it.call()
        await call.say(headers("request", mode=DUPLEX), body("request", b"large", end=True))
        await it.until(lambda: bool(it.shared.streams) and any(stream._readings for stream in it.shared.streams))
        call.rpc.cancel()
        await asyncio.wait_for(ended.wait(), 5)
        await it.until(lambda: not it.shared.streams)
        assert it.terminations() == ["closed"]
