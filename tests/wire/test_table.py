"""The table of formats: who claims which path."""

from __future__ import annotations

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.text import Format, Wire
from safeguards_extproc.errors import MalformedBody


def post(target: str) -> dict[str, str]:
    return {":method": "POST", ":path": target}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/v1/chat/completions", "openai_chat"),
        ("/openai/v1/chat/completions?x=1", "openai_chat"),
        ("/openai/deployments/demo/chat/completions?api-version=2024-10-21", "openai_chat"),
        ("//v1/Chat/%63ompletions/", "openai_chat"),
        ("/v1/completions", "openai_completions"),
        ("/completions", "openai_completions"),
        ("/openai/deployments/demo/completions?api-version=2024-10-21", "openai_completions"),
        ("/v1/messages", "anthropic_messages"),
        ("/anthropic/v1/messages?beta=true", "anthropic_messages"),
        ("/v1/messages/count_tokens", "anthropic_messages"),
        ("/v1/messages/batches", "batches"),
        ("/v1/batches", "batches"),
        ("/v1/files", "openai_media"),
        ("/openai/v1/audio/transcriptions", "openai_media"),
        ("/v1/images/edits", "openai_media"),
        ("/v1/messages/batches/b1/cancel", "opaque"),
        ("/model/meta.llama3-70b-instruct-v1%3A0/invoke", "bedrock_invoke"),
        ("/model/arn%3Aaws%3Abedrock%3A%3A%3Ainference-profile%2Fus.x/invoke-with-response-stream", "bedrock_invoke"),
        ("/model/x/invoke-with-bidirectional-stream", "opaque"),
        ("/v1/threads/t/messages", "opaque"),
        ("/v1/embeddings", "openai_embeddings"),
        ("/openai/deployments/demo/embeddings?api-version=2024-10-21", "openai_embeddings"),
        ("/v1/moderations", "openai_moderations"),
        ("/chat/completions-not", "opaque"),
        ("/v1/xcompletions", "opaque"),
        ("/v2/models/demo/generate", "kserve_v2"),
        ("/v2/models/demo/versions/1/generate_stream", "kserve_v2"),
        ("/v2/models/demo/infer", "kserve_v2"),
        ("/generate", "tgi"),
        ("/tgi/generate_stream", "tgi"),
        ("/", "opaque"),
        ("/x/", "opaque"),
    ],
)
def test_paths_lead_to_formats(target: str, name: str) -> None:
    """Any prefix, any trick of evasion 16; near misses are nobody's."""
    assert wire.resolve("auto", post(target))[0].name == name


VERTEX = "/v1/projects/p/locations/us-east5/publishers/anthropic/models/"


@pytest.mark.parametrize(
    ("target", "model", "streamed"),
    [
        ("claude-opus-4-1@20250805:rawPredict", "claude-opus-4-1@20250805", False),
        ("claude-opus-4-1%4020250805:streamRawPredict", "claude-opus-4-1@20250805", True),
        ("count-tokens:rawPredict", "", False),
    ],
)
def test_vertex_names_the_model_and_the_stream_in_the_path(target: str, model: str, streamed: bool) -> None:
    """The body need say neither; the request that counts tokens names its model in the body."""
    format_, named = wire.resolve("auto", post(VERTEX + target))
    assert (format_.name, named) == ("anthropic_messages", model)
    body = b'{"anthropic_version":"vertex-2023-10-16","model":"other","messages":[{"role":"user","content":"hello"}]}'
    document = format_.read_request(body)
    assert (document.streamed, document.model) == (streamed, "" if model else "other")
    assert ["hello"] == [segment.text for segment in document.segments]


def test_only_post_carries_an_exchange() -> None:
    """Other methods have no body to read; the method's case does not matter."""
    assert wire.resolve("auto", {":method": "GET", ":path": "/v1/messages"})[0].name == "opaque"
    assert wire.resolve("auto", {":method": "post", ":path": "/v1/messages"})[0].name == "anthropic_messages"


def test_a_route_may_name_its_format() -> None:
    """Policy's word counts more than the path."""
    assert wire.resolve("openai_chat", post("/v1/messages")) == (wire.FORMATS["openai_chat"], "")
    assert wire.resolve("openai_chat", {}) == (wire.FORMATS["openai_chat"], "")
    with pytest.raises(KeyError):
        wire.resolve("unheard-of", post("/"))


def test_rows_are_named_as_in_the_table() -> None:
    """Under its own name, the first row of that name; opaque is always there."""
    assert set(wire.FORMATS) == {row.format.name for row in wire.ROWS}
    for name, format_ in wire.FORMATS.items():
        assert format_ is next(row.format for row in wire.ROWS if row.format.name == name)
    assert "opaque" in wire.FORMATS


def test_the_package_is_a_wire() -> None:
    """mypy checks the same; here it decodes and refuses."""
    package: Wire = wire
    claimed: Format = package.resolve("auto", post("/v1/messages"))[0]
    assert claimed.name == "anthropic_messages"
    assert package.decoder("identity", 9).push(b"plain") == b"plain"
    with pytest.raises(MalformedBody):
        package.decoder("rot13", 9)


def test_a_form_is_read_on_any_path() -> None:
    """Its media type says what it is; a claimed path keeps its own format, which finds it malformed."""
    form = {"content-type": "multipart/form-data; boundary=b"}
    assert wire.resolve("auto", {**post("/rewritten"), **form})[0].name == "openai_media"
    assert wire.resolve("openai_media", {**post("/rewritten"), **form})[0].name == "openai_media"
    assert wire.resolve("auto", {**post("/v1/messages"), **form})[0].name == "anthropic_messages"
    assert wire.resolve("opaque", {**post("/rewritten"), **form})[0].name == "opaque"
    assert wire.resolve("auto", {":method": "PUT", ":path": "/rewritten", **form})[0].name == "opaque"
