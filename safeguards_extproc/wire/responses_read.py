"""OpenAI Responses: requests and whole answers. An answer repeats what the request set: it is read again, as it was.

Channels: input item n or output item n is "n" (responses_items.py); "instructions", "tools" and "prompt" stand for
themselves, in both directions; all other members are fields.
"""

from __future__ import annotations

from typing import Any

from safeguards_extproc.core.text import Document, Kind, Path
from safeguards_extproc.wire import openai_read, responses_items
from safeguards_extproc.wire.leaves import SCHEMA_IDENTIFIERS, SCHEMA_WORDS, Leaves, words

FIELDS = responses_items.FIELDS

_SCHEMA_WORDS = SCHEMA_WORDS | {"verbosity"}
_SCHEMA_IDENTIFIERS = SCHEMA_IDENTIFIERS | {"verbosity"}
_IDENTIFIERS = responses_items.IDENTIFIERS | words(
    "include truncation service_tier verbosity summary generate_summary context prompt_cache_retention cyber "
    "comparison_response_id context_compression tool_choice name previous_response_id conversation version"
)
_REQUEST_KNOWN = frozenset(("input", "instructions", "prompt", "tools", "text"))
_ANSWER_KNOWN = frozenset(("output", "instructions", "prompt", "tools", "text", "error"))
_REFERENCES = frozenset(("item_reference", "compaction"))
_NOTHING: frozenset[str] = frozenset()


def request(body: dict[str, Any]) -> Document:
    """What a request says. What the provider keeps and adds is named: "history" of earlier turns, a stored "prompt"."""
    leaves = Leaves()
    given = body.get("input")
    if isinstance(given, list):
        for index, item in enumerate(given):
            _input(leaves, item, ("input", index), str(index))
    elif isinstance(given, str):
        leaves.text((Kind.USER, "0"), given, ("input",))
    else:
        leaves.tree((Kind.USER, "0"), given, ("input",))
    _settings(leaves, body, ())
    leaves.rest(FIELDS, body, (), _REQUEST_KNOWN, _IDENTIFIERS)
    if body.get("previous_response_id") or body.get("conversation"):
        leaves.unread.add("history")
    if body.get("prompt"):
        leaves.unread.add("prompt")
    model, tools = body.get("model"), body.get("tools")
    return Document(
        leaves.segments,
        model=model if isinstance(model, str) else "",
        streamed=body.get("stream") is True,
        features={
            "messages": len(given) if isinstance(given, list) else 1,
            "tools": len(tools) if isinstance(tools, list) else 0,
            "prefill": isinstance(given, list) and bool(given) and _speaks_last(given[-1]),
            "background": body.get("background") is True,
            "stored": body.get("store") is not False,
            "logprobs": isinstance(include := body.get("include"), list) and _LOGPROBS in include,
        },
        unread=frozenset(leaves.unread),
    )


_LOGPROBS = "message.output_text.logprobs"


def _input(leaves: Leaves, item: object, path: Path, name: str) -> None:
    if not isinstance(item, dict):
        leaves.tree((Kind.USER, name), item, path)
        return
    # An item without a type that holds no content refers to one that the provider keeps.
    type_ = item.get("type")
    if (isinstance(type_, str) and type_ in _REFERENCES) or ("id" in item and item.keys() <= {"id", "type"}):
        leaves.unread.add("history")
    responses_items.item(leaves, item, path, name, responses_items.speaker(item, Kind.USER))


def _speaks_last(item: object) -> bool:
    return isinstance(item, dict) and responses_items.speaker(item, Kind.USER) is Kind.ASSISTANT


def _settings(leaves: Leaves, body: dict[str, Any], path: Path) -> None:
    """What a request sets and its answer repeats."""
    for key in ("instructions", "prompt", "tools", "text"):
        value, here = body.get(key), (*path, key)
        match key, value:
            case _, None:
                pass
            case "instructions", str():
                leaves.text((Kind.SYSTEM, key), value, here)
            case "instructions", list():
                for index, item in enumerate(value):
                    kind = responses_items.speaker(item, Kind.SYSTEM) if isinstance(item, dict) else Kind.SYSTEM
                    responses_items.item(leaves, item, (*here, index), f"{key}.{index}", kind)
            case "prompt", dict():
                _prompt(leaves, value, here)
            case "tools", _:
                responses_items.tools(leaves, value, here, key)
            case "text", dict() | list():
                leaves.tree(FIELDS, value, here, _SCHEMA_IDENTIFIERS, _SCHEMA_WORDS)
            case "instructions", _:
                leaves.tree((Kind.SYSTEM, key), value, here)
            case _:
                leaves.tree(FIELDS, value, here)


def _prompt(leaves: Leaves, prompt: dict[str, Any], path: Path) -> None:
    """The variables of a template that the provider keeps: whatever they hold ends up in the conversation."""
    variables = prompt.get("variables")
    known = _NOTHING
    if isinstance(variables, dict):
        known = frozenset(("variables",))
        for key, value in variables.items():
            here = (*path, "variables", key)
            if isinstance(value, dict):
                leaves.tree((Kind.USER, "prompt"), {key: None}, here[:-1])
                responses_items.part(leaves, value, here, "prompt", Kind.USER)
            else:
                leaves.tree((Kind.USER, "prompt"), {key: value}, here[:-1])
    leaves.rest(FIELDS, prompt, path, known, _IDENTIFIERS)


def response(body: dict[str, Any]) -> Document:
    """What an answer says; features count its items."""
    leaves = Leaves()
    answer(leaves, body, ())
    model, output = body.get("model"), body.get("output")
    return Document(
        leaves.segments,
        model=model if isinstance(model, str) else "",
        features={"items": len(output) if isinstance(output, list) else 0},
        unread=frozenset(leaves.unread),
    )


def answer(leaves: Leaves, body: dict[str, Any], path: Path) -> None:
    """An answer, or as much of one as an event of its stream holds."""
    output, here = body.get("output"), (*path, "output")
    if isinstance(output, list):
        for index, item in enumerate(output):
            output_item(leaves, item, (*here, index), index)
    else:
        leaves.tree((Kind.CONTENT, "0"), output, here)
    _settings(leaves, body, path)
    if body.get("error"):
        openai_read.error(leaves, body["error"], (*path, "error"))
    leaves.rest(FIELDS, body, path, _ANSWER_KNOWN, _IDENTIFIERS)


def output_item(leaves: Leaves, item: object, path: Path, index: int) -> None:
    """Item number `index` of an answer."""
    kind = responses_items.nature(item, Kind.CONTENT) if isinstance(item, dict) else Kind.CONTENT
    responses_items.item(leaves, item, path, str(index), kind)
