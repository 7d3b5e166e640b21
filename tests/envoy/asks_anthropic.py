"""How an application asks through Anthropic's SDK: at home, on Bedrock and on Vertex."""

from __future__ import annotations

from typing import Any

import anthropic

from tests.envoy.seen import Note, Seen, said

CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"
TOKENS = 500


def message_end(message: Any, seen: Seen) -> None:
    seen.got(message)
    seen.finish = message.stop_reason
    seen.text = "".join(block.text for block in message.content if block.type == "text")


def message_whole(ask: str, client: Any, prompt: str, seen: Seen) -> None:
    message = getattr(client.messages, ask)(model=CLAUDE, max_tokens=TOKENS, messages=said(prompt))
    message_end(message, seen)
    for block in message.content:
        if block.type == "tool_use":
            seen.run(block.name, block.input)


def message_raw(client: Any, prompt: str, seen: Seen) -> None:
    calls: dict[int, list[str]] = {}
    for event in client.messages.create(model=CLAUDE, max_tokens=TOKENS, messages=said(prompt), stream=True):
        seen.got(event)
        match event.type:
            case "content_block_start" if event.content_block.type == "tool_use":
                calls[event.index] = [event.content_block.name, ""]
            case "content_block_delta" if event.delta.type == "text_delta":
                seen.text += event.delta.text
            case "content_block_delta" if event.delta.type == "input_json_delta":
                calls[event.index][1] += event.delta.partial_json
            case "message_delta":
                seen.finish = event.delta.stop_reason
    for name, arguments in calls.values():
        seen.run(name, arguments)


def message_helper(client: Any, prompt: str, seen: Seen) -> None:
    with client.messages.stream(model=CLAUDE, max_tokens=TOKENS, messages=said(prompt)) as stream:
        for event in stream:
            seen.got(event)
            if event.type == "text":
                seen.text += event.text
            elif event.type == "content_block_stop" and event.content_block.type == "tool_use":
                seen.run(event.content_block.name, event.content_block.input)
        seen.finish = stream.get_final_message().stop_reason or ""


def message_runner(client: Any, prompt: str, seen: Seen, *, stream: bool) -> None:
    """The SDK runs the tools itself, in a stream each as soon as its block is whole."""

    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        seen.ran.append(("get_weather", {"city": city}))
        return "rain"

    @anthropic.beta_tool
    def run_shell(command: str) -> str:
        """Run a command."""
        seen.ran.append(("run_shell", {"command": command}))
        return "done"

    more: dict[str, Any] = {"stream": True, "run_tools_eagerly": True} if stream else {}
    runner = client.beta.messages.tool_runner(
        model=CLAUDE,
        max_tokens=TOKENS,
        messages=said(prompt),
        tools=[get_weather, run_shell],
        max_iterations=1,
        **more,
    )
    for turn in runner:
        if stream:
            for event in turn:
                seen.got(event)
        message_end(turn.get_final_message() if stream else turn, seen)


def message_note(client: Any, prompt: str, seen: Seen) -> None:
    message = client.messages.parse(model=CLAUDE, max_tokens=TOKENS, messages=said(prompt), output_format=Note)
    message_end(message, seen)
    seen.note(message.parsed_output)


def message_note_streamed(client: Any, prompt: str, seen: Seen) -> None:
    asked = {"model": CLAUDE, "max_tokens": TOKENS, "messages": said(prompt)}
    with client.messages.stream(**asked, output_format=Note) as stream:
        for event in stream:
            seen.got(event)
            if event.type == "text":
                seen.text += event.text
        message = stream.get_final_message()
        seen.finish = message.stop_reason or ""
        seen.note(message.parsed_output)
