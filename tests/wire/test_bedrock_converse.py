"""Converse as a format: its paths, its refusals, and what boto3 sees of them over real HTTP on the loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]

from safeguards_extproc import wire
from safeguards_extproc.core.text import Answer, Edit, Kind, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import FORMATS, eventstream
from safeguards_extproc.wire.bedrock_converse import BedrockConverse
from tests.contract.wire_contract import frames, golden, streams, texts

CONVERSE = FORMATS["bedrock_converse"]
NO = Refusal("policy", "Not that.", "harm", "e1")
PLAIN: Any = {"modelId": "demo.model-v1:0", "messages": [{"role": "user", "content": [{"text": "hello"}]}]}


@dataclass(slots=True)
class Server:
    """Gives every request the same answer, and keeps what was asked."""

    url: str = ""
    answer: Answer | None = None
    asked: list[tuple[str, bytes]] = field(default_factory=list)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    known = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            known.asked.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            assert known.answer is not None
            self.send_response(known.answer.status)
            for name, value in [*known.answer.headers, ("content-length", str(len(known.answer.body)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(known.answer.body)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield known
    http.shutdown()
    thread.join()
    http.server_close()


def client_of(server: Server, config: Config | None = None) -> Any:
    session = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name="eu-central-1")
    return session.client("bedrock-runtime", endpoint_url=server.url, config=config)


@pytest.fixture(scope="module")
def bedrock(server: Server) -> Any:
    return client_of(server)


@pytest.fixture(autouse=True)
def _nothing_asked(server: Server) -> None:
    server.asked.clear()


def stream_of(body: bytes) -> Answer:
    return Answer(200, [("content-type", eventstream.MEDIA)], body)


def events(bedrock: Any) -> tuple[list[dict[str, Any]], str]:
    """What an application reads of a stream, and the code of the exception that ended it, if one did."""
    seen: list[dict[str, Any]] = []
    try:
        for event in bedrock.converse_stream(**PLAIN)["stream"]:
            seen.append(event)  # noqa: PERF402
    except EventStreamError as error:
        return seen, error.response["Error"]["Code"]
    return seen, ""


def said(seen: list[dict[str, Any]]) -> str:
    return "".join(
        event["contentBlockDelta"]["delta"].get("text", "") for event in seen if "contentBlockDelta" in event
    )


def reasons(seen: list[dict[str, Any]]) -> list[str]:
    return [event["messageStop"]["stopReason"] for event in seen if "messageStop" in event]


@pytest.mark.parametrize(
    ("target", "model", "streamed"),
    [
        ("/model/demo.model-v1:0/converse", "demo.model-v1:0", False),
        ("/model/demo.model-v1%3A0/converse-stream", "demo.model-v1:0", True),
        ("/bedrock/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Aprompt%2Fp1/converse", "arn:aws:bedrock:eu:1:prompt/p1", False),
    ],
)
def test_the_path_names_the_model_and_says_whether_it_streams(target: str, model: str, streamed: bool) -> None:
    """Nothing in the body does."""
    format_, named = wire.resolve("auto", {":method": "POST", ":path": target})
    assert ("bedrock_converse", model) == (format_.name, named)
    assert streamed == format_.read_request(b'{"messages":[]}').streamed


def test_what_boto3_sends_is_read(server: Server, bedrock: Any) -> None:
    """Its path, its base64 and its JSON, as they come over the wire."""
    server.answer = CONVERSE.answer(NO, model="", streamed=False)
    note = {"document": {"format": "txt", "name": "Note", "source": {"bytes": b"meet at noon"}}}
    bedrock.converse(
        modelId="demo.model-v1:0",
        messages=[{"role": "user", "content": [{"text": "Read it."}, note]}],
        system=[{"text": "Be brief."}],
    )
    ((path, body),) = server.asked
    format_, model = wire.resolve("auto", {":method": "POST", ":path": path})
    document = format_.read_request(body)
    assert ("demo.model-v1:0", False) == (model, document.streamed)
    expected = {(Kind.SYSTEM, "system"): "Be brief.", (Kind.USER, "0"): "Read it."}
    assert expected == {channel: text for channel, text in texts(document.segments).items() if channel[0] != Kind.TOOL}
    assert "meet at noon" in texts(document.segments)[Kind.TOOL, "0.1"]


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("policy", "ValidationException"),
        ("suspended", "AccessDeniedException"),
        ("malformed", "ValidationException"),
        ("too-large", "ValidationException"),
        ("unsupported-encoding", "ValidationException"),
    ],
)
@pytest.mark.parametrize("call", ["converse", "converse_stream"])
def test_boto3_raises_once_and_does_not_ask_again(
    server: Server, bedrock: Any, call: str, reason: str, error: str
) -> None:
    """A block costs one request, and the application gets the type, the message and the id."""
    server.answer = CONVERSE.refuse(Refusal(reason, "Not that.", id="e1"))
    with pytest.raises(ClientError) as caught:
        getattr(bedrock, call)(**PLAIN)
    assert 1 == len(server.asked)
    assert {"Message": "Not that.", "Code": error} == caught.value.response["Error"]
    assert "e1" == caught.value.response["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("throttled", "ThrottlingException"),
        ("unavailable", "ServiceUnavailableException"),
        ("timeout", "ModelTimeoutException"),
    ],
)
def test_what_passes_has_the_type_that_boto3_knows(server: Server, reason: str, error: str) -> None:
    """Those that its retries look for; here it is told to ask once."""
    bedrock = client_of(server, Config(retries={"total_max_attempts": 1}))
    server.answer = CONVERSE.refuse(Refusal(reason, "Not now."))
    with pytest.raises(getattr(bedrock.exceptions, error)):
        bedrock.converse(**PLAIN)


def test_boto3_reads_an_answer_that_says_no(server: Server, bedrock: Any) -> None:
    """As JSON and as a stream: what a guardrail of Bedrock's own would say, and why."""
    server.answer = CONVERSE.answer(NO, model="demo", streamed=False)
    whole = bedrock.converse(**PLAIN)
    assert ("guardrail_intervened", [{"text": "Not that."}]) == (
        whole["stopReason"],
        whole["output"]["message"]["content"],
    )
    assert "harm" == whole["additionalModelResponseFields"]["refusal"]["category"]
    server.answer = CONVERSE.answer(NO, model="demo", streamed=True)
    seen, raised = events(bedrock)
    assert ("", "Not that.", ["guardrail_intervened"]) == (raised, said(seen), reasons(seen))
    assert "metadata" in seen[-1]


def test_boto3_sees_a_stopped_stream_as_stopped(server: Server, bedrock: Any) -> None:
    """Broken off after any frame but the last: a stop, or an exception where a call was half there."""
    for stream in streams("bedrock_converse"):
        whole = frames(CONVERSE, stream)
        for count in range(len(whole)):
            reader = CONVERSE.stream()
            for each in whole[:count]:
                reader.read(each)
                reader.released(each)
            server.answer = stream_of(b"".join(whole[:count]) + reader.ending(NO))
            seen, raised = events(bedrock)
            begun = {event["contentBlockStart"]["contentBlockIndex"] for event in seen if calls(event)}
            stopped = {event["contentBlockStop"]["contentBlockIndex"] for event in seen if "contentBlockStop" in event}
            half = begun - stopped
            assert "validationException" == raised if half else "" == raised
            assert half or "guardrail_intervened" == reasons(seen)[-1]


def calls(event: dict[str, Any]) -> bool:
    return "toolUse" in event.get("contentBlockStart", {}).get("start", {})


def test_boto3_reads_every_recorded_answer_as_it_is_written(server: Server, bedrock: Any) -> None:
    """The recorded bodies are what AWS's own service model allows, streamed or not, with the same text."""
    for whole, stream in zip(golden("bedrock_converse", "response.json"), streams("bedrock_converse"), strict=True):
        server.answer = Answer(200, [("content-type", "application/json")], whole)
        answer = bedrock.converse(**PLAIN)
        written = json.loads(whole)
        assert set(written) <= set(answer)
        blocks = answer["output"]["message"]["content"]
        assert [list(block) for block in written["output"]["message"]["content"]] == [list(block) for block in blocks]
        server.answer = stream_of(stream)
        seen, raised = events(bedrock)
        assert "" == raised
        assert [answer["stopReason"]] == reasons(seen)
        parts = [part for block in blocks for part in (block, *block.get("citationsContent", {}).get("content", []))]
        assert "".join(part.get("text", "") for part in parts) == said(seen)


def test_boto3_reads_an_edited_stream(server: Server, bedrock: Any) -> None:
    """Redacted frames have new lengths and right sums."""
    reader, out = CONVERSE.stream(), []
    for each in frames(CONVERSE, streams("bedrock_converse")[0]):
        changes = [Edit(part.path, 0, len(part.text), "[…]") for part in reader.read(each).segments if part.path]
        out.append(reader.edit(each, changes))
    server.answer = stream_of(b"".join(out))
    seen, raised = events(bedrock)
    assert ("", True) == (raised, set(said(seen)) == set("[…]"))


def test_a_bare_cut_would_read_as_success(server: Server, bedrock: Any) -> None:
    """Planted: without the ending boto3 notices nothing, even in the middle of a frame."""
    server.answer = stream_of(streams("bedrock_converse")[0][:-9])
    seen, raised = events(bedrock)
    assert ("", True) == (raised, bool(seen))
    server.answer = stream_of(b"".join(frames(CONVERSE, streams("bedrock_converse")[1])[:3]))
    seen, raised = events(bedrock)
    assert ("", []) == (raised, reasons(seen))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"system": [{"text": "a"}]}, {"system": [{"text": "a"}, {"text": "b"}]}),
        ({"system": []}, {"system": [{"text": "b"}]}),
        ({"system": None}, {"system": [{"text": "b"}]}),
        ({"messages": []}, {"system": [{"text": "b"}], "messages": []}),
        ({}, {"system": [{"text": "b"}]}),
    ],
)
def test_an_instruction_ends_the_system_prompt(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Wherever there is one; without one it is the prompt."""
    assert after == json.loads(CONVERSE.steer(json.dumps(before).encode(), "b"))


@pytest.mark.parametrize("body", [b'{"system":"a"}', b"[]"])
def test_an_instruction_needs_a_place(body: bytes) -> None:
    """What Bedrock would refuse is not mended."""
    with pytest.raises(MalformedBody, match="shape"):
        CONVERSE.steer(body, "b")


def test_errors_are_read_and_streams_are_framed_by_their_media_type() -> None:
    """An error's message is text; any other media type is a body that is read whole."""
    document = CONVERSE.read_response(b'{"message":"Too many tokens"}', 429)
    assert {(Kind.ERROR, "error"): "Too many tokens\n"} == texts(document.segments)
    assert CONVERSE.framer("application/json") is None
    assert BedrockConverse().framer(eventstream.MEDIA) is not None
