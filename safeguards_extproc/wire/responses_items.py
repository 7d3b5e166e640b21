"""OpenAI Responses: where text stands in an item, of the input or of the output. Members decide, not the `type` beside.

Channels: item n is "n"; its summary is "n.summary", its citations "n.annotations", output stream m of its shell
"n.m.stdout". A call is Kind.TOOL_CALL, what came of it Kind.TOOL. Sealed state of the provider (`encrypted_content`) is
no text while it looks sealed.
"""

from __future__ import annotations

import re
from typing import Any

from safeguards_extproc.core.text import Channel, Kind, Path
from safeguards_extproc.wire import openai_read
from safeguards_extproc.wire.leaves import SCHEMA_IDENTIFIERS, SCHEMA_WORDS, Leaves, words

FIELDS: Channel = openai_read.FIELDS

IDENTIFIERS: frozenset[str] = words(
    "type id object role status phase detail mode ttl call_id item_id file_id container_id approval_request_id "
    "caller_id conversation_id previous_response_id server_label namespace created_by fingerprint execution effort "
    "model size quality background output_format button action code reason connector_id"
)
"""Members of items and answers that hold ids and values from closed sets."""

TOOL_WORDS = SCHEMA_WORDS | words(
    "action allowed_callers allowed_domains allowed_tools always annotations async authorization background city "
    "complexity connector_id container container_id country data display_height display_width domain domain_secrets "
    "effort embedding_weight environment execution external_web_access file_id file_ids filters frame_count "
    "frame_duration_ms headers hybrid_search image_url input_fidelity input_image_mask inputSchema key max_num_results "
    "media_type memory_limit model moderation network_policy never output_compression output_format output_schema "
    "partial_images path quality ranker ranking_options read_only reasoning region require_approval score_threshold "
    "search_content_types search_context_size server_description server_label server_url size skill_id skills source "
    "svg text_weight timezone tool_names tools tunnel_id user_location value vector_store_ids version"
)
"""Names of members that the API gives to the definition of a tool."""

_TOOL_IDENTIFIERS = SCHEMA_IDENTIFIERS | words(
    "authorization allowed_callers background complexity connector_id container_id effort environment execution "
    "file_id file_ids input_fidelity media_type memory_limit model moderation output_format quality ranker "
    "require_approval search_content_types search_context_size size skill_id tunnel_id vector_store_ids"
)
_OUTCOME_IDENTIFIERS = words("type file_id code")
_CALLS = frozenset(("mcp_approval_request", "program"))
_TOOLS = frozenset(("mcp_list_tools", "additional_tools"))
_ROLES = {
    "system": Kind.SYSTEM,
    "developer": Kind.SYSTEM,
    "user": Kind.USER,
    "assistant": Kind.ASSISTANT,
    "tool": Kind.TOOL,
}
_MEDIA = {
    "image_url": "image",
    "input_image": "image",
    "input_audio": "audio",
    "input_video": "video",
    "audio": "audio",
    "video_url": "video",
}
_NOTHING: frozenset[str] = frozenset()
_sealed = re.compile(r"[A-Za-z0-9+/=_.:-]+").fullmatch


def speaker(item: dict[str, Any], stranger: Kind) -> Kind:
    """Whose text an input item holds; `stranger` for one that says nothing known. A role counts more than a type."""
    role = item.get("role")
    if isinstance(role, str):
        return _ROLES.get(role.strip().lower(), stranger)
    return nature(item, stranger)


def nature(item: dict[str, Any], other: Kind) -> Kind:
    """What an item's type says that its text is; `other` for messages and types that no table knows."""
    type_ = item.get("type")
    if not isinstance(type_, str):
        return other
    if type_.endswith("_output"):
        return Kind.TOOL
    if type_.endswith("_call") or type_ in _CALLS:
        return Kind.TOOL_CALL
    if type_ == "reasoning":
        return Kind.REASONING
    return Kind.TOOLS if type_ in _TOOLS else other


def item(leaves: Leaves, fields: object, path: Path, name: str, kind: Kind) -> None:
    """One item, number `name`; `kind` is that of its content."""
    if not isinstance(fields, dict):
        leaves.tree((kind, name), fields, path)
        return
    called = kind is Kind.TOOL_CALL and isinstance(fields.get("name"), str)
    if called:
        leaves.alone((kind, name), fields["name"], (*path, "name"))
    for key, value in fields.items():
        if value and not (called and key == "name"):
            _member(leaves, fields, key, value, (*path, key), name, kind)


def _member(leaves: Leaves, fields: dict[str, Any], key: str, value: object, path: Path, name: str, kind: Kind) -> None:
    call, outcome = (Kind.TOOL_CALL, name), (Kind.TOOL, name)
    match key, value:
        case "content", _:
            content(leaves, value, path, name, kind)
        case "summary", list():
            content(leaves, value, path, name + ".summary", Kind.REASONING)
        case "encrypted_content", str() if _sealed(value):
            pass
        case "arguments" | "input" | "code" | "revised_prompt", str():
            leaves.text(call, value, path)
        case "arguments" | "input", _:
            leaves.tree(call, value, path, words=_NOTHING)
        case "action" | "operation" | "queries", dict() | list():
            leaves.tree(call, value, path, IDENTIFIERS)
        case "result", str() if fields.get("type") == "image_generation_call":
            leaves.file(outcome, value, path, "image")
        case "output" | "outputs" | "result", _:
            content(leaves, value, path, name, Kind.TOOL)
        case "results" | "error", _:
            leaves.tree(outcome, value, path, _OUTCOME_IDENTIFIERS)
        case "tools", _:
            tools(leaves, value, path, name)
        case "text", dict():
            leaves.tree(FIELDS, value, path, SCHEMA_IDENTIFIERS, SCHEMA_WORDS | {"verbosity"})
        case "text" | "reason", str():
            leaves.text((kind, name), value, path)
        case "refusal", str():
            leaves.text((Kind.REFUSAL, name), value, path)
        case "name", str():
            leaves.alone(FIELDS, value, path)
        case _:
            leaves.rest((Kind.OTHER, name), {key: value}, path[:-1], _NOTHING, IDENTIFIERS)


def tools(leaves: Leaves, value: object, path: Path, name: str) -> None:
    """Definitions of tools. A skill that comes along as an archive is a file that nobody reads here."""
    leaves.tree((Kind.TOOLS, name), value, path, _TOOL_IDENTIFIERS, TOOL_WORDS)
    for tool in value if isinstance(value, list) else ():
        match tool:
            case {"environment": {"skills": list(skills)}} if any(_archive(skill) for skill in skills):
                leaves.unread.add("file")
            case {"input_image_mask": dict()}:
                leaves.unread.add("image")


def _archive(skill: object) -> bool:
    return isinstance(skill, dict) and "source" in skill


def content(leaves: Leaves, value: object, path: Path, name: str, kind: Kind) -> None:
    """A string, a part, or a list of them."""
    match value:
        case str():
            leaves.text((kind, name), value, path)
        case dict():
            part(leaves, value, path, name, kind)
        case list():
            for index, entry in enumerate(value):
                if isinstance(entry, dict) and ("stdout" in entry or "stderr" in entry):
                    shell(leaves, entry, (*path, index), f"{name}.{index}")
                else:
                    content(leaves, entry, (*path, index), name, kind)
        case _:
            leaves.tree((kind, name), value, path)


def shell(leaves: Leaves, fields: dict[str, Any], path: Path, name: str) -> None:
    """What a shell wrote: two texts that grow side by side."""
    for key, value in fields.items():
        if key in ("stdout", "stderr") and isinstance(value, str):
            leaves.text((Kind.TOOL, f"{name}.{key}"), value, (*path, key))
        else:
            leaves.rest((Kind.TOOL, name), {key: value}, path, _NOTHING, IDENTIFIERS)


def part(leaves: Leaves, fields: dict[str, Any], path: Path, name: str, kind: Kind) -> None:
    """One part of a content, a summary or an output."""
    channel, type_ = (kind, name), fields.get("type")
    for key, value in fields.items():
        here = (*path, key)
        match key, value:
            case _ if not value:
                pass
            case "text" | "logs" | "transcript", str():
                leaves.text(channel, value, here)
            case "refusal", str():
                leaves.text((Kind.REFUSAL, name), value, here)
            case "annotations", _:
                citations(leaves, value, here, name)
            case "logprobs", _:
                logprobs(leaves, value, here, name, fields.get("text"))
            case "file_data", str():
                leaves.file(channel, value, here, "file")
            case "file_url" | "file_id", str():
                leaves.unread.add("image" if type_ in ("input_image", "computer_screenshot") else "file")
                leaves.tree(FIELDS, {key: value}, path, IDENTIFIERS)
            case "filename", str():
                leaves.alone(FIELDS, value, here)
            case "url", str() if type_ == "image":
                leaves.unread.add("image")
                leaves.tree(FIELDS, value, here)
            case "data", str() if type_ == "output_audio":
                leaves.unread.add("audio")
            case _ if key in _MEDIA:
                leaves.unread.add(_MEDIA[key])
                _media(leaves, value, here)
            case _:
                leaves.rest(channel, {key: value}, path, _NOTHING, IDENTIFIERS)


def citations(leaves: Leaves, value: object, path: Path, name: str) -> None:
    """What a text cites, one or a list."""
    leaves.tree((Kind.OTHER, name + ".annotations"), value, path, IDENTIFIERS)


def logprobs(leaves: Leaves, value: object, path: Path, name: str, said: object) -> None:
    """Tokens that repeat the text beside are its replica; tokens that say something else are a text of their own."""
    tokens = openai_read.tokens_of(value)
    channel: Channel = (Kind.OTHER, name + ".logprobs")
    if tokens is None:
        leaves.tree(channel, value, path)
    elif "".join(tokens) != said:
        for index, token in enumerate(tokens):
            leaves.text(channel, token, (*path, index, "token"))


def _media(leaves: Leaves, value: object, path: Path) -> None:
    """A link to media is text; the media itself is not."""
    if isinstance(value, dict):
        known = frozenset(("data",)) if isinstance(value.get("data"), str) else _NOTHING
        leaves.rest(FIELDS, value, path, known, IDENTIFIERS)
    else:
        leaves.tree(FIELDS, value, path)
