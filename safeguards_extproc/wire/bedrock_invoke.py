"""Bedrock InvokeModel and InvokeModelWithResponseStream: every vendor's own JSON, and the model's name in the path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Answer, Document, Edit, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import bedrock, eventstream, invoke_count, invoke_read, used
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire.anthropic_messages import AnthropicMessages
from safeguards_extproc.wire.anthropic_stream import refused, refused_events
from safeguards_extproc.wire.bedrock_converse import BedrockConverse
from safeguards_extproc.wire.invoke_chunks import chunks, nova
from safeguards_extproc.wire.invoke_dialects import FLAT, INTERVENED, Dialect, choices, of_answer, of_model, of_request
from safeguards_extproc.wire.invoke_stream import InvokeStream, edit_body, written
from safeguards_extproc.wire.leaves import Leaves
from safeguards_extproc.wire.openai_chat import OpenAIChat
from safeguards_extproc.wire.raw import fill
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads, read_object

_MESSAGES, _CONVERSE, _CHAT = AnthropicMessages(), BedrockConverse(), OpenAIChat()


class BedrockInvoke:
    """A `core.text.Format`.

    `streamed`: the path asks for an event stream; no body need say so. `counting`: it asks for a count of tokens, of
    one of these requests or one of Converse's.
    """

    name = "bedrock_invoke"

    def __init__(self, *, streamed: bool = False, counting: bool = False) -> None:
        self._streamed, self._counting = streamed, counting

    def read_request(self, body: bytes) -> Document:
        request = read_object(body, MAX_VALUES)
        if self._counting:
            return invoke_count.request(request, body)
        document, raw = invoke_read.request(request, of_request(request))
        fill(body, raw, document.segments)
        document.model, document.streamed = "", self._streamed  # the path says both, and Bedrock heeds nothing else
        return document

    def read_response(self, body: bytes, status: int) -> Document:
        if status < 400 and self._counting:
            leaves = Leaves()
            leaves.tree(bedrock.FIELDS, loads(body), ())
            return Document(leaves.segments, unread=frozenset(leaves.unread))
        if status < 400:
            answer = read_object(body)
            document, raw = invoke_read.answer(answer, of_answer(answer))
            fill(body, raw, document.segments)
            document.usage = used.told(answer) or used.flat(answer)
            return document
        leaves = Leaves()
        bedrock.error(leaves, loads(body), ())
        return Document(leaves.segments, unread=frozenset(leaves.unread))

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return invoke_count.edit(body, edits) if self._counting else edit_body(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """As the dialect does it; a prompt without messages has no place for an instruction, and a count needs none."""
        request = read_object(body)
        if self._counting:
            return body
        match of_request(request), request.get("preamble"):
            case Dialect.ANTHROPIC, _:
                return _MESSAGES.steer(body, instruction)
            case Dialect.NOVA, _:
                return _CONVERSE.steer(body, instruction)
            case Dialect.CHAT, _:
                return _CHAT.steer(body, instruction)
            case _, str(preamble) if "message" in request:
                addition = "\n\n" + instruction if preamble else instruction
                return editing.apply(body, [Edit(("preamble",), len(preamble), len(preamble), addition)])
            case _, None if "message" in request and "preamble" not in request:
                return editing.insert_first(body, (), b'"preamble":' + editing.dumps(instruction))
        raise MalformedBody("shape")

    def framer(self, media: str) -> eventstream.Framer | None:
        return eventstream.Framer() if media == eventstream.MEDIA else None

    def stream(self) -> InvokeStream:
        return InvokeStream()

    def refuse(self, refusal: Refusal) -> Answer:
        return bedrock.refuse(refusal)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """In the dialect that the model's name stands for; an error where it does not say, as nothing that a client
        reads in another dialect would tell it."""
        dialect = of_model(model)
        if dialect is None or self._counting:
            return self.refuse(refusal)
        if not streamed:
            return bedrock.success(refusal, editing.dumps(_whole(dialect, refusal, model)), eventstream.JSON)
        return bedrock.success(refusal, written(_stream(dialect, refusal, model)), eventstream.MEDIA)


def _whole(dialect: Dialect, refusal: Refusal, model: str) -> dict[str, Any]:
    match dialect:
        case Dialect.ANTHROPIC:
            return refused(refusal, model)
        case Dialect.NOVA:
            return read_object(_CONVERSE.answer(refusal, model=model, streamed=False).body)
        case Dialect.CHAT:
            return {**_head(refusal, model), "choices": choices(refusal, (0,), "message"), **INTERVENED}
    return FLAT[dialect].write(refusal.message, chunk=False)


def _stream(dialect: Dialect, refusal: Refusal, model: str) -> list[dict[str, Any]]:
    match dialect:
        case Dialect.ANTHROPIC:
            return refused_events(refusal, model)
        case Dialect.NOVA:
            return nova(_CONVERSE.answer(refusal, model=model, streamed=True).body) or []
    reader = chunks(dialect)
    return (reader.ending(refusal) if reader is not None else None) or []


def _head(refusal: Refusal, model: str) -> dict[str, Any]:
    return {"id": "chatcmpl-" + refusal.id, "object": "chat.completion", "created": 0, "model": model}
