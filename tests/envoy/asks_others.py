"""How an application asks through boto3, Google's SDK, Triton's client, and over plain HTTP."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import tritonclient.http  # type: ignore[import-untyped]
from google.genai import types

from tests.envoy import dialects
from tests.envoy.background import PATIENCE_S
from tests.envoy.dialects import MODEL
from tests.envoy.seen import ErrorEvent, Seen

NOVA = "us.amazon.nova-lite-v1:0"

# boto3: InvokeModel with Nova's JSON, and Converse. It has no helpers.


def blocks_end(answer: dict[str, Any], seen: Seen) -> None:
    seen.got(answer)
    seen.finish = answer["stopReason"]
    for block in answer["output"]["message"]["content"]:
        seen.text += block.get("text", "")
        if "toolUse" in block:
            seen.run(block["toolUse"]["name"], block["toolUse"]["input"])


def parts_end(events: Iterator[dict[str, Any]], seen: Seen) -> None:
    calls: dict[int, list[str]] = {}
    for event in events:
        seen.got(event)
        match event:
            case {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": call}}}:
                calls[index] = [call["name"], ""]
            case {"contentBlockDelta": {"delta": {"text": text}}}:
                seen.text += text
            case {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"toolUse": {"input": part}}}}:
                calls[index][1] += part
            case {"contentBlockStop": {"contentBlockIndex": index}} if index in calls:
                seen.run(*calls[index])
            case {"messageStop": {"stopReason": reason}}:
                seen.finish = reason


def nova(prompt: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": [{"text": prompt}]}]}).encode()


def invoke_whole(client: Any, prompt: str, seen: Seen) -> None:
    blocks_end(json.load(client.invoke_model(modelId=NOVA, body=nova(prompt))["body"]), seen)


def invoke_raw(client: Any, prompt: str, seen: Seen) -> None:
    answer = client.invoke_model_with_response_stream(modelId=NOVA, body=nova(prompt))
    parts_end((json.loads(event["chunk"]["bytes"]) for event in answer["body"]), seen)


def converse_whole(client: Any, prompt: str, seen: Seen) -> None:
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    blocks_end(client.converse(modelId=NOVA, messages=messages), seen)


def converse_raw(client: Any, prompt: str, seen: Seen) -> None:
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    parts_end(iter(client.converse_stream(modelId=NOVA, messages=messages)["stream"]), seen)


# Google's SDK, of the Gemini API and of Vertex AI; it runs tools itself.


def tools_of(seen: Seen) -> types.GenerateContentConfig:
    def get_weather(city: str) -> str:
        """The weather in a city."""
        seen.ran.append(("get_weather", {"city": city}))
        return "rain"

    def run_shell(command: str) -> str:
        """Run a command."""
        seen.ran.append(("run_shell", {"command": command}))
        return "done"

    once = types.AutomaticFunctionCallingConfig(maximum_remote_calls=2)
    return types.GenerateContentConfig(tools=[get_weather, run_shell], automatic_function_calling=once)


def generated(answer: Any, seen: Seen) -> None:
    seen.got(answer)
    if answer.prompt_feedback:
        seen.finish = answer.prompt_feedback.block_reason.value
    for candidate in answer.candidates or ():
        seen.finish = candidate.finish_reason.value if candidate.finish_reason else seen.finish
        for part in (candidate.content and candidate.content.parts) or ():
            seen.text += part.text or ""


def generate_whole(client: Any, prompt: str, seen: Seen) -> None:
    generated(client.models.generate_content(model=MODEL, contents=prompt, config=tools_of(seen)), seen)


def generate_raw(client: Any, prompt: str, seen: Seen) -> None:
    for chunk in client.models.generate_content_stream(model=MODEL, contents=prompt, config=tools_of(seen)):
        generated(chunk, seen)


def generate_chat(client: Any, prompt: str, seen: Seen) -> None:
    generated(client.chats.create(model=MODEL, config=tools_of(seen)).send_message(prompt), seen)


def generate_chat_stream(client: Any, prompt: str, seen: Seen) -> None:
    for chunk in client.chats.create(model=MODEL, config=tools_of(seen)).send_message_stream(prompt):
        generated(chunk, seen)


# Triton: its own client for tensors, which has nothing for generate; TGI has no SDK of its own. Both speak plain HTTP.


def infer(client: Any, prompt: str, seen: Seen) -> None:
    given = tritonclient.http.InferInput("text_input", [1], "BYTES")
    given.set_data_from_numpy(np.array([prompt], dtype=object), binary_data=False)
    wanted = tritonclient.http.InferRequestedOutput("text_output", binary_data=False)
    answer = client.infer(MODEL, [given], outputs=[wanted])
    seen.got(answer.get_response())
    seen.text, seen.finish = str(answer.as_numpy("text_output")[0]), "an answer"


def post(url: str, value: object) -> Iterator[Any]:
    """The JSON of an answer, or of each of its events. HTTPError if it is refused, ErrorEvent at an error event."""
    body, headers = json.dumps(value).encode(), {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE_S) as answer:
        if not answer.headers["content-type"].startswith(dialects.SSE):
            yield json.load(answer)
            return
        for line in answer:
            if line.startswith(b"data:"):
                event = json.loads(line[5:])
                if "error" in event:
                    raise ErrorEvent(event["error"])
                yield event


def triton_generate(path: str, url: str, prompt: str, seen: Seen) -> None:
    for answer in post(f"{url}/v2/models/{MODEL}/{path}", {"text_input": prompt, "stream": True}):
        seen.got(answer)
        seen.text += answer["text_output"]
    seen.finish = "the end"


def tgi_generate(path: str, url: str, prompt: str, seen: Seen) -> None:
    for answer in post(f"{url}/{path}", {"inputs": prompt}):
        seen.got(answer)
        seen.text += answer["token"]["text"] if "token" in answer else answer["generated_text"]
    seen.finish = "the end"
