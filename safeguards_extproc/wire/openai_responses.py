"""OpenAI Responses, with the requests that only compact a conversation or count its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from safeguards_extproc.core.text import Answer, Document, Edit, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import openai_api, refusals, responses_read, responses_write, sse, used
from safeguards_extproc.wire.responses_stream import ResponseStream, edit
from safeguards_extproc.wire.strict_json import MAX_VALUES, read_object


class OpenAIResponses:
    """A `core.text.Format`. `azure`: refusals are those of Azure's filter."""

    name = "openai_responses"

    def __init__(self, *, azure: bool = False) -> None:
        self.azure = azure

    def read_request(self, body: bytes) -> Document:
        return responses_read.request(read_object(body, MAX_VALUES))

    def read_response(self, body: bytes, status: int) -> Document:
        if status >= 400:
            return openai_api.read_error(body)
        answer = read_object(body)
        document = responses_read.response(answer)
        document.usage = used.told(answer)
        return document

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        return edit(body, edits)

    def steer(self, body: bytes, instruction: str) -> bytes:
        """The instruction ends the instructions; without any it is the instructions."""
        request = read_object(body)
        match request.get("instructions"):
            case str(given) if given:
                return editing.apply(body, [Edit(("instructions",), len(given), len(given), "\n\n" + instruction)])
            case None | "" if "instructions" in request:
                return editing.replace(body, ("instructions",), editing.dumps(instruction))
            case None:
                return editing.insert_first(body, (), b'"instructions":' + editing.dumps(instruction))
        raise MalformedBody("shape")

    def framer(self, media: str) -> sse.Framer | None:
        return sse.Framer() if media == sse.MEDIA else None

    def stream(self) -> ResponseStream:
        return ResponseStream()

    def refuse(self, refusal: Refusal) -> Answer:
        return openai_api.refuse(refusal, azure=self.azure)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """A whole message that says no: the SDK's helpers take no stream that ends in another event than completed."""
        start = responses_write.answer("resp_" + refusal.id, model)
        id_ = "msg_" + refusal.id
        said = responses_write.message(id_, "completed", [responses_write.refusal_part(refusal.message)])
        whole = {**start, "status": "completed", "output": [said]}
        if streamed:
            events = responses_write.Events(0)
            events.begin(start)
            opened = responses_write.message(id_, "in_progress", [])
            events.add("response.output_item.added", output_index=0, item=opened)
            events.refuse(refusal, id_, 0, 0)
            events.add("response.output_item.done", output_index=0, item=said)
            events.add("response.completed", response=whole)
            body = events.bytes()
        else:
            body = editing.dumps(whole)
        return refusals.success(refusal, body, id_header=openai_api.ID_HEADER, streamed=streamed)
