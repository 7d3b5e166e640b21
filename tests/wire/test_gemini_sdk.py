"""What Google's SDK sees of our refusals, answers, endings and edited streams, over real HTTP on the loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from google import genai
from google.genai import errors, types

from safeguards_extproc import wire
from safeguards_extproc.core.text import Answer, Edit, Format, Kind, Refusal
from safeguards_extproc.wire import json_array
from safeguards_extproc.wire.refusals import EVENTS, JSON
from tests.contract import wire_contract as contract
from tests.wire import test_sdks
from tests.wire.test_gemini import array
from tests.wire.test_sdks import NO, Server, stopped

pytestmark = pytest.mark.real

GEMINI = wire.FORMATS["gemini"]
MODEL = "gemini-2.5-flash"
ASK: Any = {"model": MODEL, "contents": "hello"}
STREAMS = contract.golden("gemini", "response.sse")
NAMES = sorted(path.name.partition(".")[0] for path in (contract.GOLDEN / "gemini").glob("*.sse"))

server = test_sdks.server


@pytest.fixture(params=["google", "vertex"])
async def client(server: Server, request: pytest.FixtureRequest) -> AsyncIterator[genai.Client]:
    """Of Google's API and of Vertex, which read answers by two different ways."""
    options = types.HttpOptions(base_url=server.url)
    client = genai.Client(api_key="none", http_options=options, vertexai=request.param == "vertex")
    yield client
    await client.aio.aclose()


def asked(server: Server) -> Format:
    """The variant that claims what the SDK asked for last."""
    format_, model = wire.resolve("auto", {":method": "POST", ":path": server.paths[-1]})
    assert (format_.name, model) == ("gemini", MODEL)
    return format_


async def chunks(client: genai.Client, **more: Any) -> list[types.GenerateContentResponse]:
    return [chunk async for chunk in await client.aio.models.generate_content_stream(**ASK, **more)]


def reasons(answers: list[types.GenerateContentResponse]) -> dict[int, str | None]:
    """Why each candidate ended, as an application collects it."""
    found: dict[int, str | None] = {}
    for answer in answers:
        for candidate in answer.candidates or ():
            reason = candidate.finish_reason.value if candidate.finish_reason else None
            found[candidate.index or 0] = reason or found.get(candidate.index or 0)
    return found


async def test_a_refusal_is_raised_once(server: Server, client: genai.Client) -> None:
    """From both helpers, with message, status and id; the SDK does not ask again by itself."""
    for reason in contract.REASONS:
        server.answer = GEMINI.refuse(Refusal(reason, "Not that.", id="e1"))
        server.paths.clear()
        expected = errors.ServerError if reason == "unavailable" else errors.ClientError
        with pytest.raises(expected) as caught:
            await client.aio.models.generate_content(**ASK)
        with pytest.raises(expected):
            await chunks(client)
        assert server.requests == 2
        assert (caught.value.code, caught.value.message) == (server.answer.status, "Not that.")
        assert "e1" in str(caught.value.details)


async def test_the_sdk_asks_where_the_format_is_claimed(server: Server, client: genai.Client) -> None:
    """Each method's path leads to the variant that answers so."""
    server.answer = GEMINI.answer(NO, model=MODEL, streamed=False)
    await client.aio.models.generate_content(**ASK)
    assert not asked(server).read_request(b'{"contents":[]}').streamed
    server.answer = GEMINI.answer(NO, model=MODEL, streamed=True)
    await chunks(client)
    assert asked(server).read_request(b'{"contents":[]}').streamed
    assert asked(server).framer(json_array.MEDIA) is None
    server.answer = Answer(200, [("content-type", JSON)], b'{"totalTokens":3}')
    assert (await client.aio.models.count_tokens(**ASK)).total_tokens == 3
    server.answer = asked(server).answer(NO, model=MODEL, streamed=False)
    with pytest.raises(errors.ClientError, match="Not that"):
        await client.aio.models.count_tokens(**ASK)


async def test_an_answer_that_says_no_is_a_blocked_prompt(server: Server, client: genai.Client) -> None:
    """Whole and as a stream: no candidates, no text, and the words beside the reason."""
    server.answer = GEMINI.answer(NO, model=MODEL, streamed=False)
    whole = await client.aio.models.generate_content(**ASK)
    server.answer = GEMINI.answer(NO, model=MODEL, streamed=True)
    (streamed,) = await chunks(client)
    for answer in (whole, streamed):
        assert (answer.text, answer.candidates) == (None, None)
        assert answer.prompt_feedback is not None
        assert answer.prompt_feedback.block_reason is types.BlockedReason.PROHIBITED_CONTENT
        assert answer.prompt_feedback.block_reason_message == "Not that."


async def test_a_chat_keeps_no_refused_turn(server: Server, client: genai.Client) -> None:
    """The chat helper takes a blocked or broken off answer for an invalid one: neither comes back as history."""
    for answer in (GEMINI.answer(NO, model=MODEL, streamed=True), stopped(GEMINI, STREAMS[NAMES.index("hello")], 1)):
        server.answer = answer
        chat = client.aio.chats.create(model=MODEL)
        async for _ in await chat.send_message_stream("hello"):
            pass
        assert chat.get_history(curated=True) == []


async def test_a_stopped_stream_says_so(server: Server, client: genai.Client) -> None:
    """Broken off after any frame, every candidate that was begun ends with SAFETY or as the upstream ended it."""
    for stream in STREAMS:
        for count in range(len(contract.frames(GEMINI, stream))):
            server.answer = stopped(GEMINI, stream, count)
            ended = reasons(await chunks(client))
            assert None not in ended.values()
            assert "SAFETY" in ended.values()


async def test_the_words_reach_a_vertex_client(server: Server, client: genai.Client) -> None:
    """The SDK drops finishMessage for Google's own API, and gives it on for Vertex; nothing is text of the answer."""
    server.answer = stopped(GEMINI, STREAMS[NAMES.index("hello")], 1)
    first, last = await chunks(client)
    assert first.text == "Hi! **Norwe"
    assert last.text is None
    assert last.candidates is not None
    assert last.candidates[0].finish_message == ("Not that." if client.vertexai else None)
    assert last.response_id == first.response_id


async def test_a_bare_cut_would_read_as_success(server: Server, client: genai.Client) -> None:
    """Planted: without the ending the SDK does not notice, which is why there is one."""
    stream = STREAMS[NAMES.index("hello")]
    server.answer = Answer(200, [("content-type", EVENTS)], b"".join(contract.frames(GEMINI, stream)[:2]))
    assert reasons(await chunks(client)) == {0: None}


async def test_a_withheld_call_is_not_run(server: Server, client: genai.Client) -> None:
    """The SDK calls functions by itself: one that was held back with its chunk never runs, one let go before does."""
    ran: list[str] = []

    def get_weather(city: str) -> str:
        ran.append(city)
        return "rain"

    stream = b"".join(
        frame.replace(b', "days": 2, "exact": true, "at": [59.91, 10.75]', b"")
        for frame in contract.frames(GEMINI, STREAMS[NAMES.index("calls")])
    )
    config = types.GenerateContentConfig(
        tools=[get_weather], automatic_function_calling=types.AutomaticFunctionCallingConfig(maximum_remote_calls=2)
    )
    server.answer = stopped(GEMINI, stream, 1)
    assert "SAFETY" in reasons(await chunks(client, config=config)).values()
    assert ran == []
    server.answer = stopped(GEMINI, stream, 2)
    await chunks(client, config=config)
    assert ran[:1] == ["Oslo"]


async def test_an_edited_stream_is_read(server: Server, client: genai.Client) -> None:
    """A frame with other words is a chunk like any other, and so is a whole answer."""
    stream, reader = STREAMS[NAMES.index("grounded")], GEMINI.stream()
    body = b""
    for frame in contract.frames(GEMINI, stream):
        found = [segment for segment in reader.read(frame).segments if segment.channel[0] is Kind.CONTENT]
        body += reader.edit(frame, [Edit(item.path, 0, len(item.text), "‹×›") for item in found])
    server.answer = Answer(200, [("content-type", EVENTS)], body)
    assert [chunk.text for chunk in await chunks(client)] == ["‹×›", "‹×›"]
    whole = contract.golden("gemini", "response.json")[NAMES.index("candidates")]
    text = GEMINI.read_response(whole, 200).segments[0]
    server.answer = Answer(200, [("content-type", JSON)], GEMINI.edit(whole, [Edit(text.path, 0, 3, "1")]))
    answer = await client.aio.models.generate_content(**ASK)
    assert answer.text == "1: a duck."
    assert answer.candidates is not None
    assert answer.candidates[0].logprobs_result is None


async def test_an_error_in_the_stream_is_raised(server: Server, client: genai.Client) -> None:
    """The provider's own passes as it is, and the SDK raises it."""
    error = b'data: {"error":{"code":429,"message":"Quota.","status":"RESOURCE_EXHAUSTED"}}\n\n'
    first = contract.frames(GEMINI, STREAMS[NAMES.index("hello")])[0]
    server.answer = Answer(200, [("content-type", EVENTS)], first + error)
    with pytest.raises(errors.ClientError, match="Quota"):
        await chunks(client)


async def test_an_array_is_one_json_text_to_any_client(server: Server) -> None:
    """Without alt=sse: each item is an answer to the SDK's own types, and the last says SAFETY."""
    format_ = wire.resolve("auto", {":method": "POST", ":path": f"/v1/models/{MODEL}:streamGenerateContent"})[0]
    framer = format_.framer(json_array.MEDIA)
    assert framer is not None
    for stream in STREAMS:
        frames = framer.push(array(stream))
        rest, framer = framer.finish(), json_array.Framer()
        for count in range(len(frames)):
            reader = format_.stream()
            for frame in [*frames, rest]:
                reader.read(frame)
            for frame in frames[:count]:
                reader.released(frame)
            server.answer = Answer(200, [("content-type", JSON)], b"".join(frames[:count]) + reader.ending(NO))
            async with aiohttp.ClientSession() as session, session.post(server.url) as response:
                items = await response.json()
            answers = [types.GenerateContentResponse.model_validate(item) for item in items]
            assert "SAFETY" in reasons(answers).values()


async def test_what_the_sdk_sends_is_read(server: Server, client: genai.Client) -> None:
    """A request of the SDK's own making: instruction, parts, files in its base64, tools and a schema."""
    note = "Zoë’s note: ducks >> geese?? ÿÿ"
    contents = [
        types.Content(role="user", parts=[types.Part.from_text(text="Read this."), _file(note)]),
        types.Content(role="model", parts=[types.Part.from_function_call(name="look", args={"where": "here"})]),
        types.Content(role="user", parts=[types.Part.from_function_response(name="look", response={"saw": "a duck"})]),
    ]
    config = types.GenerateContentConfig(
        system_instruction="Be brief.",
        stop_sequences=["THE END"],
        response_schema={"type": "OBJECT", "properties": {"bird name": {"type": "STRING"}}},
        response_mime_type="application/json",
        tools=[types.Tool(google_search=types.GoogleSearch())],
        labels={"team": "pond"} if client.vertexai else None,
        safety_settings=[types.SafetySetting(category="HARM_CATEGORY_HARASSMENT", threshold="OFF")],  # type: ignore[arg-type]
    )
    server.answer = GEMINI.answer(NO, model=MODEL, streamed=False)
    await client.aio.models.generate_content(model=MODEL, contents=contents, config=config)
    document = asked(server).read_request(server.bodies[0])
    said = contract.texts(document.segments)
    assert said[Kind.SYSTEM, "system"] == "Be brief."
    assert said[Kind.USER, "0"] == f"Read this.\n{note}\n"
    assert said[Kind.TOOL_CALL, "1.0"] == "look\nwhere\nhere\n"
    assert said[Kind.TOOL, "2.0"] == "look\na duck\n"
    assert {"THE END", "bird name"} <= set(said[Kind.OTHER, "fields"].split("\n"))
    assert not document.unread
    sent = json.loads(server.bodies[0])["contents"][0]["parts"][1]["inlineData"]["data"]
    assert sent == base64.urlsafe_b64encode(note.encode()).decode() != base64.b64encode(note.encode()).decode()


def _file(text: str) -> types.Part:
    return types.Part.from_bytes(data=text.encode(), mime_type="text/plain")
