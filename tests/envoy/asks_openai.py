"""How an application asks through OpenAI's SDK."""

from __future__ import annotations

from typing import Any

from tests.envoy.dialects import MODEL
from tests.envoy.seen import Note, Seen, said

# OpenAI's Chat Completions, and Azure's.


def chat_whole(ask: str, client: Any, prompt: str, seen: Seen) -> None:
    answer = getattr(client.chat.completions, ask)(model=MODEL, messages=said(prompt))
    seen.got(answer)
    choice = answer.choices[0]
    seen.text, seen.finish = choice.message.content or "", choice.finish_reason
    for call in choice.message.tool_calls or []:
        seen.run(call.function.name, call.function.arguments)


def chat_raw(client: Any, prompt: str, seen: Seen) -> None:
    calls: dict[int, list[str]] = {}
    for chunk in client.chat.completions.create(model=MODEL, messages=said(prompt), stream=True):
        seen.got(chunk)
        for choice in chunk.choices:
            seen.text += choice.delta.content or ""
            seen.finish = choice.finish_reason or seen.finish
            for call in choice.delta.tool_calls or []:
                parts = calls.setdefault(call.index, ["", ""])
                parts[0] += call.function.name or ""
                parts[1] += call.function.arguments or ""
    for name, arguments in calls.values():
        seen.run(name, arguments)


def chat_helper(client: Any, prompt: str, seen: Seen) -> None:
    with client.chat.completions.stream(model=MODEL, messages=said(prompt)) as stream:
        for event in stream:
            seen.got(event)
            if event.type == "content.delta":
                seen.text += event.delta
            elif event.type == "tool_calls.function.arguments.done":
                seen.run(event.name, event.arguments)
        seen.finish = stream.get_final_completion().choices[0].finish_reason


# OpenAI's legacy Completions.


def completion_whole(client: Any, prompt: str, seen: Seen) -> None:
    answer = client.completions.create(model=MODEL, prompt=prompt)
    seen.got(answer)
    seen.text, seen.finish = answer.choices[0].text, answer.choices[0].finish_reason


def completion_raw(client: Any, prompt: str, seen: Seen) -> None:
    for chunk in client.completions.create(model=MODEL, prompt=prompt, stream=True):
        seen.got(chunk)
        for choice in chunk.choices:
            seen.text += choice.text
            seen.finish = choice.finish_reason or seen.finish


# OpenAI's Responses.


def response_end(response: Any, seen: Seen) -> None:
    details = response.incomplete_details
    seen.finish = f"{response.status} {details.reason}" if details else response.status


def response_whole(ask: str, client: Any, prompt: str, seen: Seen) -> None:
    response = getattr(client.responses, ask)(model=MODEL, input=prompt)
    seen.got(response)
    seen.text = response.output_text
    response_end(response, seen)
    for item in response.output:
        if item.type == "function_call":
            seen.run(item.name, item.arguments)


def response_event(event: Any, seen: Seen) -> None:
    seen.got(event)
    if event.type == "response.output_text.delta":
        seen.text += event.delta
    elif event.type == "response.output_item.done" and event.item.type == "function_call":
        seen.run(event.item.name, event.item.arguments)


def response_raw(client: Any, prompt: str, seen: Seen) -> None:
    for event in client.responses.create(model=MODEL, input=prompt, stream=True):
        response_event(event, seen)
        if event.type in ("response.completed", "response.incomplete", "response.failed"):
            response_end(event.response, seen)


def response_helper(client: Any, prompt: str, seen: Seen) -> None:
    with client.responses.stream(model=MODEL, input=prompt) as stream:
        for event in stream:
            response_event(event, seen)
        response_end(stream.get_final_response(), seen)


# OpenAI's APIs without words in their answers.


def embedded(client: Any, prompt: str, seen: Seen) -> None:
    answer = client.embeddings.create(model=MODEL, input=prompt, encoding_format="float")
    seen.got(answer)
    seen.finish = f"{len(answer.data[0].embedding)} numbers"


def moderated(client: Any, prompt: str, seen: Seen) -> None:
    answer = client.moderations.create(model=MODEL, input=prompt)
    seen.got(answer)
    seen.finish = "flagged" if answer.results[0].flagged else "not flagged"


# Answers that the SDK makes into an object.


def chat_note(client: Any, prompt: str, seen: Seen) -> None:
    answer = client.chat.completions.parse(model=MODEL, messages=said(prompt), response_format=Note)
    seen.got(answer)
    seen.finish = answer.choices[0].finish_reason
    seen.note(answer.choices[0].message.parsed)


def chat_note_streamed(client: Any, prompt: str, seen: Seen) -> None:
    with client.chat.completions.stream(model=MODEL, messages=said(prompt), response_format=Note) as stream:
        for event in stream:
            seen.got(event)
            if event.type == "content.delta":
                seen.text += event.delta
            elif event.type == "content.done":
                seen.note(event.parsed)
        seen.finish = stream.get_final_completion().choices[0].finish_reason


def response_note(client: Any, prompt: str, seen: Seen) -> None:
    response = client.responses.parse(model=MODEL, input=prompt, text_format=Note)
    seen.got(response)
    response_end(response, seen)
    seen.note(response.output_parsed)


def response_note_streamed(client: Any, prompt: str, seen: Seen) -> None:
    with client.responses.stream(model=MODEL, input=prompt, text_format=Note) as stream:
        for event in stream:
            response_event(event, seen)
            if event.type == "response.output_text.done":
                seen.note(event.parsed)
        response_end(stream.get_final_response(), seen)
