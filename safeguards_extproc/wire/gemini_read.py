"""Gemini: where text stands in requests, answers and the chunks of a stream, which are answers themselves.

Channels: see gemini_parts. What the web and other sources brought in stands on (Kind.TOOL, "n.sources"); everything
else that its writer chose is Kind.OTHER. A candidate without index is candidate 0, as protobuf leaves out a zero.
"""

from __future__ import annotations

from typing import Any

from safeguards_extproc.core.text import Channel, Document, Kind, Path
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.gemini_names import (
    CONFIG_IDENTIFIERS,
    CONFIG_WORDS,
    ERROR_IDENTIFIERS,
    IDENTIFIERS,
    REQUEST_IDENTIFIERS,
    TOOL_IDENTIFIERS,
    TOOL_WORDS,
    both,
    members,
)
from safeguards_extproc.wire.gemini_parts import FIELDS, Parts
from safeguards_extproc.wire.leaves import Leaves

Facts = dict[str, int | float | bool | str]
ERROR: Channel = (Kind.ERROR, "error")

CHUNK_FIELDS: frozenset[str] = both("usageMetadata modelVersion responseId createTime")
"""Top-level members of an answer in which the server names itself; never the model's words."""

REPLICAS = both("logprobsResult")
"""A member of a candidate that repeats its text, token by token; it goes when the text is edited."""

_KINDS = {
    "user": Kind.USER,
    "model": Kind.ASSISTANT,
    "system": Kind.SYSTEM,
    "function": Kind.TOOL,
    "tool": Kind.TOOL,
}
_SOURCES = frozenset(("citationMetadata", "groundingMetadata", "urlContextMetadata"))
_SOURCE_IDENTIFIERS = IDENTIFIERS | both("license placeId pageNumber")
_NOTHING: frozenset[str] = frozenset()


def request(body: dict[str, Any], written: bytes) -> Document:
    """What a request says: to generate, to count tokens or to embed. `written` is the body as it came."""
    parts = Parts()
    facts: Facts = {
        "messages": 0,
        "tools": 0,
        "n": 1,
        "prefill": False,
        "logprobs": False,
    }
    _request(parts, body, (), "", facts)
    parts.fill(written)
    model = body.get("model")
    return Document(
        parts.leaves.segments,
        model=model if isinstance(model, str) else "",
        features=facts,
        unread=frozenset(parts.leaves.unread),
    )


def _request(parts: Parts, body: dict[str, Any], path: Path, name: str, facts: Facts) -> None:
    """One request; `name` goes before the names of its contents."""
    leaves = parts.leaves
    for member, key, value in members(body):
        here = (*path, key)
        match member, value:
            case "systemInstruction", _:
                parts.content(value, here, name + "system", Kind.SYSTEM)
            case "contents", list():
                facts["messages"] = len(value)
                for index, item in enumerate(value):
                    facts["prefill"] = _content(parts, item, (*here, index), f"{name}{index}") is Kind.ASSISTANT
            case "contents" | "content", _:
                _content(parts, value, here, name + "0")
            case "requests", list():
                facts["messages"] = len(value)
                for index, item in enumerate(value):
                    if isinstance(item, dict):
                        _request(parts, item, (*here, index), f"{name}{index}.", facts)
                    else:
                        leaves.tree((Kind.USER, f"{name}{index}"), item, (*here, index))
            case "generateContentRequest", dict():
                _request(parts, value, here, name, facts)
            case "tools", _:
                facts["tools"] = _tools(value)
                leaves.tree((Kind.TOOLS, name + "tools"), value, here, TOOL_IDENTIFIERS, TOOL_WORDS)
            case "generationConfig" | "toolConfig" | "embedContentConfig", _:
                leaves.tree(FIELDS, value, here, CONFIG_IDENTIFIERS, CONFIG_WORDS)
                if isinstance(value, dict):
                    _config(value, facts)
            case "continuationToken", _ if value:
                leaves.unread.add("history")
                parts.opaque(FIELDS, value, here)
            case _:
                if member == "cachedContent" and value:
                    leaves.unread.add("history")
                leaves.rest(FIELDS, {key: value}, path, _NOTHING, REQUEST_IDENTIFIERS)


def _content(parts: Parts, item: object, path: Path, name: str) -> Kind:
    """One content; returns whose it is. A role that no table knows is untrusted: it is the user's."""
    role = item.get("role") if isinstance(item, dict) else None
    kind = _KINDS.get(role.strip().lower(), Kind.USER) if isinstance(role, str) else Kind.USER
    parts.content(item, path, name, kind)
    return kind


def _tools(tools: object) -> int:
    """How many: each function that is declared, and each tool of the provider's."""
    count = 0
    for tool in tools if isinstance(tools, list) else [tools]:
        for member, _, value in members(tool) if isinstance(tool, dict) else ():
            count += len(value) if member == "functionDeclarations" and isinstance(value, list) else 1
    return count


def _config(config: dict[str, object], facts: Facts) -> None:
    for member, _, value in members(config):
        match member, value:
            case "candidateCount", int():
                facts["n"] = value
            case "responseLogprobs", True:
                facts["logprobs"] = True


def response(body: object, written: bytes) -> Document:
    """What an answer says, or the array of a stream's chunks that is read whole; features count the candidates."""
    parts, candidates, model = Parts(), 0, ""
    items: list[tuple[Path, object]] = [((), body)]
    if isinstance(body, list):
        items = [((index,), item) for index, item in enumerate(body)]
    for path, item in items:
        if not isinstance(item, dict):
            raise MalformedBody("shape")
        chunk(parts, item, path)
        listed = item.get("candidates")
        candidates = max(candidates, len(listed) if isinstance(listed, list) else 0)
        version = item.get("modelVersion", item.get("model_version"))
        model = version if isinstance(version, str) else model
    parts.fill(written)
    return Document(
        parts.leaves.segments,
        model=model,
        features={"candidates": candidates},
        unread=frozenset(parts.leaves.unread),
    )


def chunk(parts: Parts, body: dict[str, Any], path: Path) -> None:
    """Every candidate of an answer or a chunk, and what the server says beside them."""
    leaves = parts.leaves
    for member, key, value in members(body):
        here = (*path, key)
        match member, value:
            case "candidates", list():
                for index, item in enumerate(value):
                    if isinstance(item, dict):
                        _candidate(parts, item, (*here, index), candidate_name(item))
                    else:
                        leaves.tree((Kind.CONTENT, "0"), item, (*here, index))
            case "candidates", _:
                leaves.tree((Kind.CONTENT, "0"), value, here)
            case "error", _:
                leaves.tree(ERROR, value, here, ERROR_IDENTIFIERS)
            case _ if key not in CHUNK_FIELDS:
                leaves.rest(FIELDS, {key: value}, path, _NOTHING, IDENTIFIERS)


def error(leaves: Leaves, value: object) -> None:
    """A whole body that is an error, as an object or in an array."""
    leaves.tree(ERROR, value, (), ERROR_IDENTIFIERS)


def candidate_name(candidate: dict[str, Any]) -> str:
    index = candidate.get("index")
    return str(index) if type(index) is int else "0"


def _candidate(parts: Parts, candidate: dict[str, Any], path: Path, name: str) -> None:
    leaves = parts.leaves
    first = len(leaves.segments)
    replica: tuple[str, object] | None = None
    for member, key, value in members(candidate):
        here = (*path, key)
        if member == "content":
            parts.content(value, here, name, Kind.CONTENT)
        elif key in REPLICAS:
            replica = key, value
        elif member in _SOURCES:
            leaves.tree((Kind.TOOL, name + ".sources"), value, here, _SOURCE_IDENTIFIERS)
        elif member == "continuationToken":
            parts.opaque((Kind.OTHER, name), value, here)
        else:
            leaves.rest((Kind.OTHER, name), {key: value}, path, _NOTHING, IDENTIFIERS)
    if replica is not None:
        said = [segment for segment in leaves.segments[first:] if segment.channel[1] == name and segment.path]
        texts = {
            "".join(segment.text for segment in said if segment.channel[0] in kinds)
            for kinds in ((Kind.CONTENT,), (Kind.CONTENT, Kind.REASONING))
        }
        _logprobs(leaves, replica[1], (*path, replica[0]), name, texts)


def _logprobs(leaves: Leaves, value: object, path: Path, name: str, said: set[str]) -> None:
    """Tokens that repeat the text are its replica; tokens that say something else are a text of their own."""
    channel = (Kind.OTHER, name + ".logprobs")
    if not isinstance(value, dict):
        leaves.tree(channel, value, path)
        return
    fields = {member: (key, item) for member, key, item in members(value)}
    key, chosen = fields.pop("chosenCandidates", ("", None))
    tokens = _tokens(chosen)
    if tokens is None:
        leaves.rest(channel, {key: chosen} if key else {}, path, _NOTHING, _NOTHING)
    elif "".join(tokens) not in said:
        for index, token in enumerate(tokens):
            leaves.text(channel, token, (*path, key, index, "token"))
    for key, item in fields.values():
        # What the model might have said instead, of the tokens it said: no more than so many for each.
        if not (key in _TOP and isinstance(item, list) and tokens is not None and len(item) <= len(tokens)):
            leaves.rest(channel, {key: item}, path, _NOTHING, _NOTHING)


_TOP = both("topCandidates")


def _tokens(entries: object) -> list[str] | None:
    if not isinstance(entries, list):
        return None
    tokens = [entry["token"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("token"), str)]
    return tokens if len(tokens) == len(entries) else None
