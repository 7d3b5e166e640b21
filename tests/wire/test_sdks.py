"""What the official SDKs see of our refusals, answers and endings, over real HTTP on the loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web

from safeguards_extproc import wire
from safeguards_extproc.core.text import Answer, Format, Refusal
from safeguards_extproc.wire import FORMATS
from safeguards_extproc.wire.refusals import EVENTS
from tests.contract.wire_contract import frames, golden, recorded

pytestmark = pytest.mark.real

NO = Refusal("policy", "Not that.", "harm", "e1")
OPENAI, ANTHROPIC = FORMATS["openai_chat"], FORMATS["anthropic_messages"]
ASK: Any = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}


@dataclass(slots=True)
class Server:
    """Gives every request the same answer, and remembers where it was asked, and what."""

    url: str = ""
    answer: Answer | None = None
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return len(self.paths)

    async def handle(self, request: web.Request) -> web.Response:
        self.paths.append(request.path_qs)
        self.bodies.append(await request.read())
        assert self.answer is not None
        return web.Response(status=self.answer.status, headers=self.answer.headers, body=self.answer.body)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server, app = Server(), web.Application()
    app.router.add_post("/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    yield server
    await runner.cleanup()


@pytest.fixture
async def chat(server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(api_key="none", base_url=server.url + "/v1") as client:
        yield client


@pytest.fixture
async def claude(server: Server) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="none", base_url=server.url) as client:
        yield client


def stopped(format_: Format, stream: bytes, count: int) -> Answer:
    """The stream of which the client got `count` frames, ended by us."""
    reader, whole = format_.stream(), frames(format_, stream)
    for frame in whole:
        reader.read(frame)
    for frame in whole[:count]:
        reader.released(frame)
    return Answer(200, [("content-type", EVENTS)], b"".join(whole[:count]) + reader.ending(NO))


STATUSES = [
    ("policy", "BadRequestError"),
    ("suspended", "PermissionDeniedError"),
    ("malformed", "BadRequestError"),
    ("too-large", "APIStatusError"),
    ("unsupported-encoding", "APIStatusError"),
]


@pytest.mark.parametrize(("reason", "error"), STATUSES)
async def test_openai_raises_once_and_does_not_ask_again(
    server: Server, chat: openai.AsyncOpenAI, reason: str, error: str
) -> None:
    """A block costs one request, and the application gets the message, the code and the id."""
    server.answer = OPENAI.refuse(Refusal(reason, "Not that.", id="e1"))
    with pytest.raises(getattr(openai, error)) as caught:
        await chat.chat.completions.create(**ASK)
    assert server.requests == 1
    assert "Not that." in caught.value.message
    assert caught.value.request_id == "e1"
    if reason == "policy":
        assert caught.value.code == "content_policy_violation"


@pytest.mark.parametrize(("reason", "error"), STATUSES)
async def test_anthropic_raises_once_and_does_not_ask_again(
    server: Server, claude: anthropic.AsyncAnthropic, reason: str, error: str
) -> None:
    """The same for the other dialect."""
    server.answer = ANTHROPIC.refuse(Refusal(reason, "Not that.", id="e1"))
    with pytest.raises(getattr(anthropic, error)) as caught:
        await claude.messages.create(**ASK, max_tokens=9)
    assert server.requests == 1
    assert caught.value.request_id == "e1"
    assert caught.value.body["request_id"] == "e1"


async def test_a_throttle_may_be_tried_again(
    server: Server, chat: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    """429 is the SDKs' own error for it, and their retries stay on."""
    server.answer = OPENAI.refuse(Refusal("throttled", "Slow down."))
    with pytest.raises(openai.RateLimitError):
        await chat.with_options(max_retries=1).chat.completions.create(**ASK)
    assert server.requests == 2
    server.answer = ANTHROPIC.refuse(Refusal("throttled", "Slow down."))
    with pytest.raises(anthropic.RateLimitError):
        await claude.with_options(max_retries=1).messages.create(**ASK, max_tokens=9)
    assert server.requests == 4


async def test_openai_reads_an_answer_that_says_no(server: Server, chat: openai.AsyncOpenAI) -> None:
    """As JSON and as a stream: content_filter, and the words in `refusal`."""
    server.answer = OPENAI.answer(NO, model="demo", streamed=False)
    whole = await chat.chat.completions.create(**ASK)
    assert (whole.choices[0].finish_reason, whole.choices[0].message.refusal) == ("content_filter", "Not that.")
    assert whole.choices[0].message.content is None
    server.answer = OPENAI.answer(NO, model="demo", streamed=True)
    chunks = [chunk async for chunk in await chat.chat.completions.create(**ASK, stream=True)]
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert "".join(chunk.choices[0].delta.refusal or "" for chunk in chunks) == "Not that."
    assert chunks[-1].usage is not None


async def test_anthropic_reads_an_answer_that_says_no(server: Server, claude: anthropic.AsyncAnthropic) -> None:
    """As JSON and through the stream helper: a refusal, with our category and words."""
    server.answer = ANTHROPIC.answer(NO, model="demo", streamed=False)
    whole = await claude.messages.create(**ASK, max_tokens=9)
    assert (whole.stop_reason, whole.content) == ("refusal", [])
    server.answer = ANTHROPIC.answer(NO, model="demo", streamed=True)
    async with claude.messages.stream(**ASK, max_tokens=9) as stream:
        final = await stream.get_final_message()
    assert final.stop_reason == "refusal"
    assert final.stop_details is not None
    assert (final.stop_details.category, final.stop_details.explanation) == ("harm", "Not that.")


async def test_openai_sees_a_stopped_stream_as_filtered(server: Server, chat: openai.AsyncOpenAI) -> None:
    """Broken off after any frame, every choice that was begun ends with content_filter or as the upstream ended it."""
    for stream in golden("openai_chat", "response.sse"):
        total = len(frames(OPENAI, stream))
        for count in range(total):
            server.answer = stopped(OPENAI, stream, count)
            reasons: dict[int, str | None] = {}
            async for chunk in await chat.chat.completions.create(**ASK, stream=True):
                for choice in chunk.choices:  # Azure's filter may report on a choice that has ended
                    assert not (reasons.get(choice.index) and choice.finish_reason)
                    reasons[choice.index] = reasons.get(choice.index) or choice.finish_reason
            assert None not in reasons.values()
            if count < total - 4:
                assert "content_filter" in reasons.values()


async def test_openais_helper_says_that_it_was_filtered(server: Server, chat: openai.AsyncOpenAI) -> None:
    """The stream helper iterates to the end and then raises its own error, so no half answer passes for a whole one."""
    server.answer = stopped(OPENAI, recorded("openai_chat", "tools.response.sse"), 6)
    async with chat.chat.completions.stream(**ASK) as stream:
        kinds = [event.type async for event in stream]
        with pytest.raises(openai.ContentFilterFinishReasonError):
            await stream.get_final_completion()
    assert "chunk" in kinds


async def test_anthropic_sees_a_stopped_stream_as_refused(server: Server, claude: anthropic.AsyncAnthropic) -> None:
    """Broken off after any frame but the last, the helper gives a message whose stop reason is refusal."""
    for stream in golden("anthropic_messages", "response.sse"):
        total, refused = len(frames(ANTHROPIC, stream)), b'"stop_reason":"refusal"' in stream
        for count in range(total + 1):
            server.answer = stopped(ANTHROPIC, stream, count)
            async with claude.messages.stream(**ASK, max_tokens=9) as helper:
                final = await helper.get_final_message()
            assert (final.stop_reason == "refusal") == (refused or count < total)


async def test_anthropic_through_vertex_sees_the_same(server: Server) -> None:
    """The client for Vertex AI asks at the paths that the table claims, and reads refusals, answers and endings."""
    async with anthropic.AsyncAnthropicVertex(
        region="us-east5", project_id="p", access_token="none", base_url=server.url + "/v1"
    ) as claude:
        server.answer = ANTHROPIC.refuse(NO)
        with pytest.raises(anthropic.BadRequestError) as caught:
            await claude.messages.create(**ASK, max_tokens=9)
        assert server.requests == 1
        assert "Not that." in caught.value.message
        server.answer = ANTHROPIC.answer(NO, model="demo", streamed=False)
        assert (await claude.messages.create(**ASK, max_tokens=9)).stop_reason == "refusal"
        server.answer = stopped(ANTHROPIC, recorded("anthropic_messages", "vertex.response.sse"), 5)
        async with claude.messages.stream(**ASK, max_tokens=9) as helper:
            final = await helper.get_final_message()
        assert final.stop_reason == "refusal"
        server.answer = Answer(200, [("content-type", "application/json")], b'{"input_tokens":7}')
        assert (await claude.messages.count_tokens(**ASK)).input_tokens == 7
    found = [wire.resolve("auto", {":method": "POST", ":path": path}) for path in server.paths]
    assert [(ANTHROPIC.name, "demo")] * 3 + [(ANTHROPIC.name, "")] == [
        (format_.name, model) for format_, model in found
    ]
    assert [False, False, True, False] == [format_.read_request(b"{}").streamed for format_, _ in found]


async def test_a_bare_cut_would_read_as_success(
    server: Server, chat: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    """Planted: without the ending neither SDK notices, which is why there is one."""
    server.answer = Answer(
        200, [("content-type", EVENTS)], b"".join(frames(OPENAI, recorded("openai_chat", "tools.response.sse"))[:3])
    )
    chunks = [chunk async for chunk in await chat.chat.completions.create(**ASK, stream=True)]
    assert {choice.finish_reason for chunk in chunks for choice in chunk.choices} == {None}
    stream = recorded("anthropic_messages", "tools.response.sse")
    server.answer = Answer(200, [("content-type", EVENTS)], b"".join(frames(ANTHROPIC, stream)[:8]))
    async with claude.messages.stream(**ASK, max_tokens=9) as helper:
        assert (await helper.get_final_message()).stop_reason is None


async def test_openai_reads_what_is_said_of_media(server: Server, chat: openai.AsyncOpenAI) -> None:
    """A form that is refused raises once; a transcript that says no is read; one that is stopped raises."""
    media, file = wire.resolve("auto", {":method": "POST", ":path": "/v1/audio/transcriptions"})[0], ("a.mp3", b"\xff")
    asked: Any = {"file": file, "model": "demo"}
    server.answer = media.refuse(NO)
    with pytest.raises(openai.BadRequestError):
        await chat.audio.transcriptions.create(**asked)
    with pytest.raises(openai.BadRequestError):
        await chat.images.generate(prompt="a fox", model="demo")
    assert server.requests == 2
    server.answer = media.answer(NO, model="demo", streamed=False)
    assert (await chat.audio.transcriptions.create(**asked)).text == "Not that."
    server.answer = media.answer(NO, model="demo", streamed=True)
    said = [event async for event in await chat.audio.transcriptions.create(**asked, stream=True)]
    assert ["transcript.text.delta", "transcript.text.done"] == [event.type for event in said]
    server.answer = stopped(media, recorded("openai_media", "transcription.response.sse"), 1)
    events = (await chat.audio.transcriptions.create(**asked, stream=True)).__aiter__()
    assert "transcript.text.delta" == (await anext(events)).type
    with pytest.raises(openai.APIError, match=r"Not that\."):
        await anext(events)
