"""Client, upstream, models and records of a replay through Envoy, here without Envoy; with it: test_app_replay.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.taken import Answer, Taken, shown
from safeguards_extproc.replay import capture, messages
from safeguards_extproc.replay.many import Row
from safeguards_extproc.replay.source import Frame
from safeguards_extproc.replay.through_envoy import RecordedScores, Records, Stage, Underway, rows, upstream
from safeguards_extproc.replay.verdict import UNKNOWN
from tests.replay.worlds import SAMPLES, decided

JUDGE = Model("judge", "judge", 100)
PAIRED = replace(JUDGE, exchange=True)


def scored(text: str, score: float, prompt: str = "", failure: str = "") -> Taken:
    result = Result("judge", {} if failure else {"judge.bad": score}, failure)
    return Taken("one", answers=[Answer(0, 0, 0, [(shown([text], prompt), result)])])


async def test_models_say_what_they_said_then() -> None:
    """Of the exchanges under way, and no longer than these are."""
    scores, one, two = RecordedScores(None), scored("a", 0.1), scored("b", 0.2, "why?")
    scores.begin(one)
    scores.begin(one)
    scores.begin(two)
    assert {"judge.bad": 0.1} == (await scores.score(JUDGE, ["a"], "why?")).scores
    assert {"judge.bad": 0.2} == (await scores.score(PAIRED, ["b"], "why?")).scores
    assert "unavailable" == (await scores.score(JUDGE, ["b"])).failure
    scores.end(one)
    assert not (await scores.score(JUDGE, ["a"])).failure
    scores.end(one)
    assert "unavailable" == (await scores.score(JUDGE, ["a"])).failure


async def test_a_failure_of_then_gives_way_to_a_score() -> None:
    """The same window of two exchanges, of which a model was late for one."""
    scores = RecordedScores(None)
    for taken in (scored("a", 0.1, failure="timeout"), scored("a", 0.1), scored("a", 0.1, failure="timeout")):
        scores.begin(taken)
    assert {"judge.bad": 0.1} == (await scores.score(JUDGE, ["a"])).scores


async def test_others_are_asked_what_the_capture_does_not_say() -> None:
    """Or everything, where it is not believed."""

    class Others:
        async def start(self) -> None: ...

        async def score(self, model, texts, prompt=""):
            return Result("judge", {"judge.bad": 0.9})

        async def ready(self, model) -> bool:
            return False

        async def close(self) -> None: ...

    for believed, score in ((True, 0.1), (False, 0.9)):
        scores = RecordedScores(Others(), believed=believed)
        scores.begin(scored("a", 0.1))
        assert score == (await scores.score(JUDGE, ["a"])).scores["judge.bad"]
        assert 0.9 == (await scores.score(JUDGE, ["other"])).scores["judge.bad"]
        assert not await scores.ready(JUDGE)


@asynccontextmanager
async def proxied(stage: Stage, *, refuse: bool = False) -> AsyncIterator[str]:
    """Something between client and upstream that keeps a record of each exchange, as Envoy and a filter would."""
    behind = web.ServerRunner(upstream(stage))
    await behind.setup()
    await web.TCPSite(behind, "127.0.0.1", 0).start()
    seen.clear()

    async def between(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        seen.append((request, body))
        record = Record("new", trace_id=request.headers["traceparent"][3:35])
        if not refuse:
            host, port = behind.addresses[0][:2]
            async with (
                aiohttp.ClientSession(auto_decompress=False) as session,
                session.request(
                    request.method,
                    f"http://{host}:{port}{request.raw_path}",
                    headers={name: value for name, value in request.headers.items() if name != "Transfer-Encoding"},
                    data=body,
                ) as response,
            ):
                answers.append((response.status, await response.read()))
        Records(stage).keep(record)
        return web.Response()

    front = web.ServerRunner(web.Server(between))
    await front.setup()
    await web.TCPSite(front, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}".format(*front.addresses[0][:2])
    finally:
        await front.cleanup()
        await behind.cleanup()


seen: list[tuple[web.BaseRequest, bytes]] = []
answers: list[tuple[int, bytes]] = []


def frames(*found: Taken) -> list[Frame]:
    return [Frame(number, number, number, capture.encode(taken), None, "t") for number, taken in enumerate(found)]


async def sent(stage: Stage, *found: Taken, refuse: bool = False) -> list[Row]:
    answers.clear()
    async with proxied(stage, refuse=refuse) as url:
        return [row async for row in rows(frames(*found), stage, url, 3)]


async def test_everybody_says_what_they_said_then() -> None:
    """The client its request, the upstream its answer, and rows come in order."""
    stage = Stage()
    found = [decided(name) for name in ("harmless", "whole", "bad answer")] * 3
    done = await sent(stage, *found)
    assert list(range(9)) == [row.number for row in done]
    assert [taken.record.id for taken in found if taken.record] == [row.pair.after.id for row in done if row.pair]
    asked, answered = messages.sides(found[0].messages)
    assert asked is not None
    assert answered is not None
    request, _ = next(each for each in seen if each[1] == asked.body[0][1])
    assert ("POST", "/v1/chat/completions", "sample.test") == (request.method, request.path, request.host)
    assert "User-Agent" not in request.headers
    whole = b"".join(data for _, data in answered.body)
    assert (200, whole) in answers
    assert {} == stage.underway


async def test_an_answer_that_nobody_knows() -> None:
    """Its request was refused then."""
    before = decided("bad question")
    before.messages = [message for message in before.messages if message.place >= 0]
    (row,) = await sent(Stage(), before)
    assert row.pair is not None
    assert UNKNOWN == row.pair.after.response.applied
    assert (503, b"") == answers[0]
    (row,) = await sent(Stage(), before, refuse=True)
    assert row.pair is not None
    assert UNKNOWN != row.pair.after.response.applied


async def test_times_can_be_kept() -> None:
    """A slow answer is as slow again, and at once where nobody asks for that."""
    slow = SAMPLES["slow"]()
    answered = messages.sides(slow.messages)[1]
    assert answered is not None
    took = answered.body[-1][0] / 1e6
    for timed in (False, True):
        began = asyncio.get_running_loop().time()
        await sent(Stage(timed), slow)
        assert timed == (asyncio.get_running_loop().time() - began >= took)


async def test_an_exchange_of_which_no_record_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Envoy refused it before the filter, say: it could not be replayed."""
    monkeypatch.setattr("safeguards_extproc.replay.through_envoy.PATIENCE_S", 0.05)
    monkeypatch.setattr(Records, "keep", lambda self, record: None)
    (row,) = await sent(Stage(), SAMPLES["whole"]())
    assert row.pair is None


async def test_an_upstream_answers_nobody_else() -> None:
    """A health check finds nothing here, and a record of somebody else's trace belongs to no exchange."""
    stage = Stage()
    stage.underway["x"] = Underway(None, asyncio.get_running_loop().create_future())
    Records(stage).keep(Record("one", trace_id="y"))
    assert not stage.underway["x"].record.done()
    Records(stage).keep(Record("one", trace_id="x"))
    Records(stage).keep(Record("two", trace_id="x"))
    assert "one" == stage.underway["x"].record.result().id
