"""What boto3 and Anthropic's client for Bedrock see of refusals, answers, endings and edits, over HTTP on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anthropic
import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]

from safeguards_extproc import wire
from safeguards_extproc.core.text import Answer, Edit, Refusal
from safeguards_extproc.wire import FORMATS, eventstream
from tests.contract.wire_contract import GOLDEN, chunked, frames

pytestmark = pytest.mark.real

INVOKE = FORMATS["bedrock_invoke"]
NO = Refusal("policy", "Not that.", "harm", "e1")
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"
ASK: Any = {"model": CLAUDE, "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


@dataclass(slots=True)
class Upstream:
    """Gives every request the same answer, and remembers where it was asked."""

    url: str = ""
    answer: Answer | None = None
    asked: list[tuple[str, bytes]] = field(default_factory=list)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            upstream.asked.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            assert upstream.answer is not None
            self.send_response(upstream.answer.status)
            for name, value in [*upstream.answer.headers, ("content-length", str(len(upstream.answer.body)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(upstream.answer.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    upstream.url = f"http://127.0.0.1:{server.server_port}"
    yield upstream
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _fresh(upstream: Upstream) -> None:
    upstream.asked.clear()


@pytest.fixture(scope="module")
def boto(upstream: Upstream) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=upstream.url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"mode": "standard", "max_attempts": 3}),
    )


@pytest.fixture(scope="module")
def claude(upstream: Upstream) -> Iterator[anthropic.AnthropicBedrock]:
    with anthropic.AnthropicBedrock(
        aws_region="us-east-1", aws_access_key="none", aws_secret_key="none", base_url=upstream.url
    ) as client:
        yield client


def recorded(name: str) -> bytes:
    return b"".join(map(chunked, (GOLDEN / f"bedrock_invoke/{name}.response.chunks").read_bytes().splitlines()))


def stopped(name: str, count: int) -> Answer:
    """The stream of which the client got `count` frames, ended by us."""
    reader, whole = INVOKE.stream(), frames(INVOKE, recorded(name))
    for frame in whole:
        reader.read(frame)
    for frame in whole[:count]:
        reader.released(frame)
    return streamed(b"".join(whole[:count]) + reader.ending(NO))


def streamed(body: bytes) -> Answer:
    return Answer(200, [("content-type", eventstream.MEDIA)], body)


def read(boto: Any, model: str = CLAUDE) -> list[dict[str, Any]]:
    """The chunks of a stream, as an application of boto3 reads them."""
    answer = boto.invoke_model_with_response_stream(modelId=model, body=b"{}")
    return [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]


STATUSES = [
    ("policy", 400, "ValidationException", "BadRequestError"),
    ("suspended", 403, "AccessDeniedException", "PermissionDeniedError"),
    ("too-large", 413, "ValidationException", "APIStatusError"),
]


@pytest.mark.parametrize(("reason", "status", "code", "error"), STATUSES)
def test_a_refusal_is_raised_once(
    upstream: Upstream, boto: Any, claude: anthropic.AnthropicBedrock, reason: str, status: int, code: str, error: str
) -> None:
    """Each block costs one request, and the application gets our words."""
    upstream.answer = INVOKE.refuse(Refusal(reason, "Not that.", id="e1"))
    with pytest.raises(ClientError) as caught:
        boto.invoke_model(modelId=CLAUDE, body=b"{}")
    assert (code, "Not that.") == (caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"])
    assert status == caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert "e1" == caught.value.response["ResponseMetadata"]["RequestId"]
    with pytest.raises(ClientError):
        boto.invoke_model_with_response_stream(modelId=CLAUDE, body=b"{}")
    with pytest.raises(getattr(anthropic, error), match=r"Not that\."):
        claude.messages.create(**ASK)
    assert len(upstream.asked) == 3


def test_the_clients_ask_where_the_table_looks(
    upstream: Upstream, boto: Any, claude: anthropic.AnthropicBedrock
) -> None:
    """The model is in the path, escaped by each client in its own way, and the last word says how to answer."""
    upstream.answer = INVOKE.refuse(NO)
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.meta.llama3-3-70b-instruct-v1:0"
    for ask in (
        lambda: boto.invoke_model(modelId=arn, body=b'{"prompt":"hello"}'),
        lambda: boto.invoke_model_with_response_stream(modelId=arn, body=b'{"prompt":"hello"}'),
        lambda: claude.messages.create(**ASK),
        lambda: claude.messages.create(**ASK, stream=True),
    ):
        with pytest.raises((ClientError, anthropic.BadRequestError)):
            ask()
    found = [wire.resolve("auto", {":method": "POST", ":path": path}) for path, _ in upstream.asked]
    documents = [format_.read_request(body) for (format_, _), (_, body) in zip(found, upstream.asked, strict=True)]
    assert {"bedrock_invoke"} == {format_.name for format_, _ in found}
    assert [arn, arn, CLAUDE, CLAUDE] == [model for _, model in found]
    assert [False, True, False, True] == [document.streamed for document in documents]
    assert [["hello"]] * 4 == [[segment.text for segment in document.segments] for document in documents]


def test_anthropics_client_reads_an_answer_that_says_no(upstream: Upstream, claude: anthropic.AnthropicBedrock) -> None:
    """As JSON and through the stream helper: a refusal, with our category and words."""
    upstream.answer = INVOKE.answer(NO, model=CLAUDE, streamed=False)
    whole = claude.messages.create(**ASK)
    assert ("refusal", []) == (whole.stop_reason, whole.content)
    upstream.answer = INVOKE.answer(NO, model=CLAUDE, streamed=True)
    with claude.messages.stream(**ASK) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "refusal"
    assert final.stop_details is not None
    assert ("harm", "Not that.") == (final.stop_details.category, final.stop_details.explanation)


@pytest.mark.parametrize("name", ["anthropic", "anthropic_tools"])
def test_anthropics_client_sees_a_stopped_stream_as_refused(
    upstream: Upstream, claude: anthropic.AnthropicBedrock, name: str
) -> None:
    """Broken off after any frame but the last, the helper gives a message whose stop reason is refusal."""
    total = len(frames(INVOKE, recorded(name)))
    for count in range(total + 1):
        upstream.answer = stopped(name, count)
        with claude.messages.stream(**ASK) as helper:
            final = helper.get_final_message()
        assert (count < total) == (final.stop_reason == "refusal")


REASONS = {
    "claude": lambda chunk: chunk["stop_reason"] == "refusal",
    "llama": lambda chunk: chunk["stop_reason"] == "content_filtered",
    "titan": lambda chunk: chunk["completionReason"] == "CONTENT_FILTERED",
    "mistral": lambda chunk: chunk["outputs"][0]["stop_reason"] == "content_filtered",
    "mistral_chat": lambda chunk: chunk["choices"][0]["stop_reason"] == "content_filter",
    "chat_tools": lambda chunk: chunk["choices"][0]["finish_reason"] == "content_filter",
    "deepseek": lambda chunk: chunk["choices"][0]["stop_reason"] == "content_filtered",
}


@pytest.mark.parametrize("name", REASONS)
def test_boto3_sees_the_stop_in_the_vendors_own_words(upstream: Upstream, boto: Any, name: str) -> None:
    """Broken off after any frame but the last, the last chunk says that the answer was filtered, and nothing more."""
    total = len(frames(INVOKE, recorded(name)))
    for count in range(total):
        upstream.answer = stopped(name, count)
        chunks = read(boto)
        assert len(chunks) == count + 1
        if name not in ("mistral_chat", "chat_tools") or count < total - 1:
            assert REASONS[name](chunks[-1])
        assert chunks[-1]["amazon-bedrock-guardrailAction"] == "INTERVENED"
        assert "Not that." not in json.dumps(chunks[-1]) or count == 0 or "choices" in chunks[-1]
    upstream.answer = stopped(name, total)
    assert len(read(boto)) == total


def test_boto3_sees_a_stopped_nova_stream(upstream: Upstream, boto: Any) -> None:
    """Open blocks stop, the message stops for the guardrail, and the metadata comes; a begun tool call raises."""
    for name in ("nova", "nova_tools"):
        for count in range(len(frames(INVOKE, recorded(name))) - 1):
            upstream.answer = stopped(name, count)
            if name == "nova_tools" and count in (4, 5):
                with pytest.raises(EventStreamError, match=r"Not that\."):
                    read(boto)
                continue
            chunks = read(boto)
            assert "metadata" in chunks[-1]
            assert {"stopReason": "guardrail_intervened"}.items() <= chunks[-2]["messageStop"].items()


def test_a_stream_of_no_known_dialect_raises(upstream: Upstream, boto: Any, claude: anthropic.AnthropicBedrock) -> None:
    """Nobody can write its last words: an exception that both clients report, with the message."""
    reader, first = INVOKE.stream(), chunked(b'{"novel":"words"}')
    reader.read(first)
    reader.released(first)
    upstream.answer = streamed(first + reader.ending(NO))
    with pytest.raises(EventStreamError, match=r"Not that\."):
        read(boto)
    with pytest.raises(anthropic.APIStatusError, match=r"Not that\."), claude.messages.stream(**ASK) as helper:
        helper.get_final_message()


MODELS = [
    (CLAUDE, lambda body: body["stop_reason"] == "refusal"),
    ("meta.llama3-70b-instruct-v1:0", lambda body: body["generation"] == "Not that."),
    ("us.amazon.nova-lite-v1:0", lambda body: body["stopReason"] == "guardrail_intervened"),
    ("amazon.titan-text-express-v1", lambda body: body["results"][0]["completionReason"] == "CONTENT_FILTERED"),
    ("mistral.mistral-7b-instruct-v0:2", lambda body: body["outputs"][0]["text"] == "Not that."),
    ("mistral.mistral-large-2407-v1:0", lambda body: body["choices"][0]["message"]["refusal"] == "Not that."),
    ("openai.gpt-oss-120b-1:0", lambda body: body["choices"][0]["finish_reason"] == "content_filter"),
    ("cohere.command-r-v1:0", lambda body: body["finish_reason"] == "ERROR_TOXIC"),
    ("cohere.command-text-v14", lambda body: body["generations"][0]["text"] == "Not that."),
]


@pytest.mark.parametrize(("model", "refused"), MODELS)
def test_boto3_reads_an_answer_that_says_no(upstream: Upstream, boto: Any, model: str, refused: Any) -> None:
    """In the dialect of the model that was asked, as JSON and as a stream that the format itself reads to its end."""
    upstream.answer = INVOKE.answer(NO, model=model, streamed=False)
    assert refused(json.load(boto.invoke_model(modelId=model, body=b"{}")["body"]))
    upstream.answer = INVOKE.answer(NO, model=model, streamed=True)
    assert read(boto, model)
    reader = INVOKE.stream()
    assert [True] == [r.finished for r in map(reader.read, frames(INVOKE, upstream.answer.body)) if r.finished]


def test_the_clients_accept_edited_frames(upstream: Upstream, boto: Any, claude: anthropic.AnthropicBedrock) -> None:
    """A redaction keeps both sums right, the padding, and Bedrock's own members."""
    reader, body = INVOKE.stream(), b""
    for frame in frames(INVOKE, recorded("anthropic")):
        edits = [Edit(segment.path, 0, len(segment.text), "█") for segment in reader.read(frame).segments]
        body += reader.edit(frame, edits)
    upstream.answer = streamed(body)
    with claude.messages.stream(**ASK) as helper:
        assert "███" == helper.get_final_text()
    assert read(boto)[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 14


def test_a_bare_cut_would_read_as_success(upstream: Upstream, boto: Any, claude: anthropic.AnthropicBedrock) -> None:
    """Planted: without the ending neither client notices, which is why there is one."""
    upstream.answer = streamed(b"".join(frames(INVOKE, recorded("anthropic"))[:4]))
    assert len(read(boto)) == 4
    with claude.messages.stream(**ASK) as helper:
        assert helper.get_final_message().stop_reason is None
