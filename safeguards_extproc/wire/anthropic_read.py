"""Anthropic Messages: where text stands in requests, answers and stream events.

Channels: message n is "n", the tool call, tool result or document that is its block m is "n.m"; an answer is message
"0". The text blocks of one message are one text, as clients join them. A whole block and the events that make it up are
read by the same code, so that both give the same text. Opaque model state (signatures, redacted thinking, encrypted
search results) is no text: only the provider can write it.
"""

from __future__ import annotations

from typing import Any

from safeguards_extproc.core.text import Channel, Document, Kind, Path, Segment
from safeguards_extproc.wire.leaves import SCHEMA_IDENTIFIERS, SCHEMA_WORDS, Leaves, words

FIELDS: Channel = (Kind.OTHER, "fields")
ERROR: Channel = (Kind.ERROR, "error")

_KINDS = {"system": Kind.SYSTEM, "developer": Kind.SYSTEM, "user": Kind.USER, "assistant": Kind.ASSISTANT}
_OUTSIDE = frozenset(("tool_result", "search_result", "document"))
_TOOL_WORDS = SCHEMA_WORDS | {"max_uses", "allowed_domains", "blocked_domains", "user_location", "citations"}
_REQUEST_IDENTIFIERS = words(
    "model service_tier speed inference_geo user_profile_id workspace_id type ttl effort display container "
    "authorization_token anthropic_version anthropic_beta"
)
_IDENTIFIERS = words(
    "type id role model tool_use_id stop_reason media_type file_id error_code page_age retrieved_at category "
    "service_tier inference_geo ttl toolset_name request_id expires_at encrypted_index "
    "amazon-bedrock-guardrailAction"
)
_OPAQUE = {
    "thinking": frozenset(("signature",)),
    "redacted_thinking": frozenset(("data",)),
    "web_search_result": frozenset(("encrypted_content",)),
    "signature_delta": frozenset(("signature",)),
}
_REQUEST_KNOWN = frozenset(("messages", "system", "tools", "output_config"))
_ANSWER_KNOWN = frozenset(("content", "usage"))
_NOTHING: frozenset[str] = frozenset()


def request(body: dict[str, Any]) -> tuple[Document, list[Segment]]:
    """What a request says, and the segments whose text is the JSON at their path, which the caller fills in."""
    reader = Reader()
    leaves = reader.leaves
    if "system" in body:
        reader.content(body["system"], ("system",), "system", Kind.SYSTEM)
    messages, prefill = body.get("messages"), False
    if isinstance(messages, list):
        for index, item in enumerate(messages):
            path: Path = ("messages", index)
            if not isinstance(item, dict):
                leaves.tree((Kind.USER, str(index)), item, path)
                continue
            role = item.get("role")
            # A role that no table knows is untrusted: some servers read it as the user's.
            kind = _KINDS.get(role.strip().lower(), Kind.USER) if isinstance(role, str) else Kind.USER
            prefill = kind is Kind.ASSISTANT
            reader.content(item.get("content"), (*path, "content"), str(index), kind)
            leaves.rest((Kind.OTHER, str(index)), item, path, frozenset(("content",)), _IDENTIFIERS)
    else:
        leaves.tree((Kind.USER, "0"), messages, ("messages",))
    if "tools" in body:
        leaves.tree((Kind.TOOLS, "tools"), body["tools"], ("tools",), SCHEMA_IDENTIFIERS, _TOOL_WORDS)
    if "output_config" in body:
        leaves.tree(FIELDS, body["output_config"], ("output_config",), _REQUEST_IDENTIFIERS, SCHEMA_WORDS | {"effort"})
    leaves.rest(FIELDS, body, (), _REQUEST_KNOWN, _REQUEST_IDENTIFIERS)
    model, tools = body.get("model"), body.get("tools")
    document = Document(
        leaves.segments,
        model=model if isinstance(model, str) else "",
        streamed=body.get("stream") is True,
        features={
            "messages": len(messages) if isinstance(messages, list) else 0,
            "tools": len(tools) if isinstance(tools, list) else 0,
            "prefill": bool(prefill),
        },
        unread=frozenset(leaves.unread),
    )
    return document, reader.raw


def response(body: dict[str, Any]) -> tuple[Document, list[Segment]]:
    """What an answer says, and the segments whose text is the JSON at their path."""
    reader = Reader()
    reader.message(body, ())
    model, content = body.get("model"), body.get("content")
    document = Document(
        reader.leaves.segments,
        model=model if isinstance(model, str) else "",
        features={"blocks": len(content) if isinstance(content, list) else 0},
        unread=frozenset(reader.leaves.unread),
    )
    return document, reader.raw


def error(leaves: Leaves, value: object, path: Path) -> None:
    """The provider's error object, or a whole body that is one."""
    leaves.tree(ERROR, value, path, _IDENTIFIERS)


class Reader:
    """Reads content blocks into `leaves`; `raw` lists those of its segments that stand for JSON."""

    __slots__ = ("leaves", "raw")

    def __init__(self) -> None:
        self.leaves = Leaves()
        self.raw: list[Segment] = []

    def message(self, body: dict[str, Any], path: Path) -> None:
        """An answer, or the beginning of one in message_start."""
        self.content(body.get("content"), (*path, "content"), "0", Kind.CONTENT)
        self.leaves.rest(FIELDS, body, path, _ANSWER_KNOWN, _IDENTIFIERS)

    def content(self, value: object, path: Path, name: str, kind: Kind) -> None:
        """A string, or a list of blocks."""
        if isinstance(value, str):
            self.leaves.text((kind, name), value, path)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.block(item, (*path, index), name, index, kind)
        elif value is not None:
            self.leaves.tree((kind, name), value, path)

    def block(self, block: object, path: Path, name: str, index: int, kind: Kind) -> None:
        """One content block, number `index` of message `name`; or a delta of one."""
        if not isinstance(block, dict):
            self.leaves.tree((kind, name), block, path)
            return
        type_ = block.get("type")
        type_ = type_ if isinstance(type_, str) else ""
        if type_ in _OUTSIDE or type_.endswith("_tool_result"):
            self._outside(block, path, (Kind.TOOL, f"{name}.{index}"))
            return
        opaque = _OPAQUE.get(type_, _NOTHING)
        call = type_.endswith("tool_use") or type_ == "input_json_delta"
        named = isinstance(block.get("name"), str)
        if call and named:
            self.leaves.alone((Kind.TOOL_CALL, f"{name}.{index}"), block["name"], (*path, "name"))
        for key, value in block.items():
            if value and key not in opaque and not (call and named and key == "name"):
                self._member(key, value, path, name, index, kind)

    def _member(self, key: str, value: object, path: Path, name: str, index: int, kind: Kind) -> None:
        leaves, here = self.leaves, (*path, key)
        match key, value:
            case "text", str():
                leaves.text((kind, name), value, here)
            case "thinking", str():
                leaves.text((Kind.REASONING, name), value, here)
            case "partial_json", str():
                leaves.text((Kind.TOOL_CALL, f"{name}.{index}"), value, here)
            case "input", dict() | list():
                self._json((Kind.TOOL_CALL, f"{name}.{index}"), here)
            case "input", str():
                leaves.text((Kind.TOOL_CALL, f"{name}.{index}"), value, here)
            case "source", dict():
                self._source((kind, name), value, here, "image")
            case "citations" | "citation", _:
                leaves.tree((Kind.OTHER, name), value, here, _IDENTIFIERS)
            case "file_id", _:
                leaves.unread.add("file")
            case _:
                leaves.rest((kind, name), {key: value}, path, _NOTHING, _IDENTIFIERS)

    def _json(self, channel: Channel, path: Path) -> None:
        segment = Segment(channel, "", path, raw=True)
        self.leaves.segments.append(segment)
        self.raw.append(segment)

    def _outside(self, block: dict[str, Any], path: Path, channel: Channel) -> None:
        """What tools and retrieval brought in: results, documents, search results, one within another."""
        leaves = self.leaves
        type_ = block.get("type")
        opaque = _OPAQUE.get(type_, _NOTHING) if isinstance(type_, str) else _NOTHING
        for key, value in block.items():
            here = (*path, key)
            match key, value:
                case "source", dict():
                    self._source(channel, value, here, "image" if type_ == "image" else "document")
                case "content" | "text" | "title" | "context" | "source", str():
                    leaves.text(channel, value, here)
                    leaves.text(channel, "\n", ())
                case "content", dict():
                    self._outside(value, here, channel)
                case "content", list():
                    for index, item in enumerate(value):
                        if isinstance(item, dict):
                            self._outside(item, (*here, index), channel)
                        else:
                            leaves.tree(channel, item, (*here, index))
                case "file_id", str():
                    leaves.unread.add("file")
                case _ if key not in opaque:
                    leaves.rest(channel, {key: value}, path, _NOTHING, _IDENTIFIERS)

    def _source(self, channel: Channel, source: dict[str, Any], path: Path, what: str) -> None:
        """Where a document or an image comes from: text is read, everything else is `what`, unread."""
        media_type, data = source.get("media_type"), source.get("data")
        textual = isinstance(media_type, str) and media_type.strip().lower().startswith("text/")
        known = set()
        if isinstance(data, str):
            known.add("data")
            if source.get("type") == "text":
                self.leaves.text(channel, data, (*path, "data"))
            elif textual:
                self.leaves.file(channel, data, (*path, "data"), what)
            else:
                self.leaves.unread.add(what)
        if "content" in source:
            known.add("content")
            self._outside({"content": source["content"]}, path, channel)
        elif not known:
            self.leaves.unread.add(what)
        self.leaves.rest(FIELDS, source, path, frozenset(known), _IDENTIFIERS)
