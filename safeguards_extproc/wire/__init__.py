"""Bytes to text and back, per provider API. `FORMATS` is the table; a new API is one module and one row.

The package itself is a `core.text.Wire`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from safeguards_extproc.core.text import Format
from safeguards_extproc.wire import asked, recognised
from safeguards_extproc.wire.anthropic_messages import AnthropicMessages
from safeguards_extproc.wire.batches import Batches
from safeguards_extproc.wire.bedrock_converse import BedrockConverse
from safeguards_extproc.wire.bedrock_invoke import BedrockInvoke
from safeguards_extproc.wire.claims import Claims, Row
from safeguards_extproc.wire.encodings import Decoder
from safeguards_extproc.wire.gemini import Answers, Gemini
from safeguards_extproc.wire.gemini import paths as gemini
from safeguards_extproc.wire.kserve_v2 import KServeV2
from safeguards_extproc.wire.multipart import boundary
from safeguards_extproc.wire.opaque import Opaque
from safeguards_extproc.wire.openai_chat import OpenAIChat
from safeguards_extproc.wire.openai_completions import OpenAICompletions
from safeguards_extproc.wire.openai_embeddings import OpenAIEmbeddings
from safeguards_extproc.wire.openai_media import OpenAIMedia
from safeguards_extproc.wire.openai_moderations import OpenAIModerations
from safeguards_extproc.wire.openai_responses import OpenAIResponses
from safeguards_extproc.wire.paths import normalise
from safeguards_extproc.wire.shapes import TENSORS, promises
from safeguards_extproc.wire.tgi import TGI

__all__ = ["FORMATS", "ROWS", "Row", "decoder", "pick", "promises", "recognise", "resolve"]

_VERTEX = "/publishers/anthropic/models/"
_AZURE_CHAT = ("/deployments/{model}/chat/completions", "/deployments/{model}/extensions/chat/completions")

_RESPONSES = ("responses", "responses/compact", "responses/input_tokens")
_MEDIA = ("/files", "/audio/speech", "/images/generations", "/images/edits", "/images/variations")

_GEMINI_EVENTS = Gemini(Answers.EVENTS)

_KSERVE = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")

ROWS = (
    Row(OpenAIChat(), ("/chat/completions",)),
    Row(AnthropicMessages(), ("/v1/messages", "/v1/messages/count_tokens", _VERTEX + "count-tokens:rawpredict")),
    Row(AnthropicMessages(vertex=True), (_VERTEX + "{model}:rawpredict",)),
    Row(AnthropicMessages(vertex=True, streamed=True), (_VERTEX + "{model}:streamrawpredict",)),
    Row(OpenAIChat(azure=True), _AZURE_CHAT),
    Row(OpenAICompletions(), ("/completions",)),
    Row(OpenAICompletions(azure=True), ("/deployments/{model}/completions",)),
    Row(OpenAIEmbeddings(), ("/embeddings",)),
    Row(OpenAIEmbeddings(azure=True), ("/deployments/{model}/embeddings",)),
    Row(OpenAIModerations(), ("/moderations",)),
    Row(BedrockConverse(), ("/model/{model}/converse",)),
    Row(BedrockConverse(streamed=True), ("/model/{model}/converse-stream",)),
    Row(BedrockInvoke(), ("/model/{model}/invoke",)),
    Row(BedrockInvoke(streamed=True), ("/model/{model}/invoke-with-response-stream",)),
    Row(BedrockInvoke(counting=True), ("/model/{model}/count-tokens",)),
    Row(OpenAIResponses(), tuple(f"/v1/{path}" for path in _RESPONSES)),
    Row(OpenAIResponses(azure=True), tuple(f"/openai/{path}" for path in _RESPONSES)),
    Row(OpenAIMedia(speaks=True), ("/audio/transcriptions", "/audio/translations")),
    Row(OpenAIMedia(), _MEDIA),
    Row(Batches(AnthropicMessages()), ("/messages/batches",)),
    Row(Batches(OpenAIChat()), ("/batches",)),
    Row(Gemini(), gemini("generatecontent")),
    Row(_GEMINI_EVENTS, gemini("streamgeneratecontent"), "alt=sse"),
    Row(_GEMINI_EVENTS, gemini("streamgeneratecontent"), "$alt=sse"),
    Row(Gemini(Answers.ARRAY), gemini("streamgeneratecontent")),
    Row(Gemini(Answers.NUMBERS), gemini("counttokens", "computetokens", "embedcontent", "batchembedcontents")),
    Row(KServeV2(), tuple(root + "/generate" for root in _KSERVE)),
    Row(KServeV2(streamed=True), tuple(root + "/generate_stream" for root in _KSERVE)),
    Row(KServeV2(tensors=True), tuple(root + "/infer" for root in _KSERVE)),
    Row(TGI(listed=True), ()),
    Row(TGI(), ("/generate",)),
    Row(TGI(streamed=True), ("/generate_stream",)),
    Row(Opaque(), ()),
)
"""A format may have several rows, each a variant of its own paths; the first of a name stands for it. Of no path is
TGI's root: any server may have one, so it is told by its bodies."""

FORMATS: dict[str, Format] = {row.format.name: row.format for row in reversed(ROWS)}
_CLAIMS = Claims(ROWS)
_SHOWN = {**FORMATS, TENSORS: KServeV2(tensors=True)}


def resolve(name: str, fields: Mapping[str, str]) -> tuple[Format, str]:
    """See core.text.Wire. Headers have small names, and pseudo headers their colon; ":path" is as sent, query included.

    Raises KeyError for a name that is not in FORMATS.
    """
    named = None if name == "auto" else FORMATS[name]
    if fields.get(":method", "").upper() == "POST":
        found = _CLAIMS.find(*normalise(fields.get(":path", "")), name if named else "")
        content_type = fields.get("content-type", "")
        format_, model = found or (named, "")
        if isinstance(format_, OpenAIMedia):
            return format_.sent_as(content_type), model
        if format_ is not None:
            return format_, model
        if boundary(content_type) is not None:
            return OpenAIMedia(content_type=content_type), ""
    return named or FORMATS["opaque"], ""


def recognise(body: bytes) -> Format | None:
    """See core.text.Wire."""
    return recognised.recognise(body, _SHOWN)


def decoder(encoding: str, limit: int) -> Decoder:
    """For a content-encoding header's value; at most `limit` bytes come out. Raises MalformedBody for unknown ones."""
    return Decoder(encoding, limit)


def pick(body: bytes, paths: Sequence[str], format: str) -> dict[str, str]:
    """See core.text.Wire."""
    return asked.pick(body, paths, format)
