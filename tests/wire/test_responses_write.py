"""Answers and events of our own."""

from __future__ import annotations

import json

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from safeguards_extproc.core.text import Refusal
from safeguards_extproc.wire import responses_write, sse
from tests.contract.wire_contract import frames
from tests.wire.test_responses_stream import FORMAT


def test_what_we_write_is_what_the_sdk_describes() -> None:
    """Validated strictly against the SDK's own types, event by event, in order."""
    whole = responses_write.answer("resp_1", "demo")
    said = responses_write.message("msg_1", "completed", [responses_write.refusal_part("No.")])
    events = responses_write.Events(5)
    events.begin(whole)
    events.add("response.output_item.added", output_index=0, item={**said, "content": []})
    part = events.refuse(Refusal("policy", "No."), "msg_1", 0, 0)
    events.add("response.output_item.done", output_index=0, item=said)
    events.add("response.completed", response={**whole, "status": "completed", "output": [said]})
    checked = TypeAdapter(ResponseStreamEvent)
    bodies = [json.loads(sse.fields(frame)[1]) for frame in frames(FORMAT, events.bytes())]
    for number, body in enumerate(bodies, 5):
        assert checked.validate_python(body).sequence_number == number
    assert part in said["content"]
    Response.model_validate({**whole, "output": [said]})
