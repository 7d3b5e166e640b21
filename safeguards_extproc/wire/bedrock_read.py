"""Bedrock Converse: where text stands in requests, answers and stream events.

A content block names its type by its one member. Channels: message n is "n"; the tool call, tool result, document or
search result that is its block m is "n.m"; an answer is message "0". The text blocks of one message are one text. A
whole block and the events that make it up are read by the same code, so that both give the same text. Signatures and
redacted reasoning are no text: only the provider can write them.
"""

from __future__ import annotations

from typing import Any

from safeguards_extproc.core.text import Channel, Document, Kind, Path, Segment
from safeguards_extproc.wire.bedrock import FIELDS
from safeguards_extproc.wire.leaves import SCHEMA_IDENTIFIERS, SCHEMA_WORDS, Leaves, words

_KINDS = {"system": Kind.SYSTEM, "user": Kind.USER, "assistant": Kind.ASSISTANT}
_TOOL_WORDS = SCHEMA_WORDS | words("tools toolSpec inputSchema json systemTool cachePoint toolChoice tool auto any")
IDENTIFIERS = words(
    "role type ttl format toolUseId status uri bucketOwner qualifiers stopReason latency trace guardrailIdentifier "
    "guardrailVersion streamProcessingMode additionalModelResponseFieldPaths effort domain p action confidence "
    "filterStrength guardrailId guardrailArn guardrailOrigin guardrailOwnership invokedModelId identifier "
    "policyVersionArn"
)
"""Members whose values are from closed sets, ids or places; "p" pads an event, so that its length tells nothing."""

_REQUEST_KNOWN = frozenset(("messages", "system", "toolConfig", "promptVariables", "additionalModelRequestFields"))
_MESSAGE_KNOWN = frozenset(("content",))
_ANSWER_KNOWN = frozenset(("output", "trace"))
_READABLE = frozenset(("bytes", "text", "content"))
_OPAQUE = frozenset(("signature", "redactedContent"))
_NOTHING: frozenset[str] = frozenset()


def request(body: dict[str, Any]) -> tuple[Document, list[Segment]]:
    """What a request says, and the segments whose text is the JSON at their path, which the caller fills in."""
    reader = Reader(apart=True)
    leaves, messages, prefill = reader.leaves, body.get("messages"), False
    if "system" in body:
        reader.content(body["system"], ("system",), "system", Kind.SYSTEM)
    if isinstance(messages, list):
        for index, item in enumerate(messages):
            role = item.get("role") if isinstance(item, dict) else None
            # A role that no table knows is untrusted.
            kind = _KINDS.get(role.strip().lower(), Kind.USER) if isinstance(role, str) else Kind.USER
            prefill = kind is Kind.ASSISTANT
            reader.message(item, ("messages", index), str(index), kind)
    else:
        leaves.tree((Kind.USER, "0"), messages, ("messages",))
    if "promptVariables" in body:
        leaves.unread.add("prompt")
        leaves.tree((Kind.USER, "variables"), body["promptVariables"], ("promptVariables",))
    if "toolConfig" in body:
        leaves.tree((Kind.TOOLS, "tools"), body["toolConfig"], ("toolConfig",), SCHEMA_IDENTIFIERS, _TOOL_WORDS)
    reader.native(body.get("additionalModelRequestFields"), ("additionalModelRequestFields",))
    leaves.rest(FIELDS, body, (), _REQUEST_KNOWN, IDENTIFIERS)
    config = body.get("toolConfig")
    tools = config.get("tools") if isinstance(config, dict) else None
    document = Document(
        leaves.segments,
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
    output, count = body.get("output"), 0
    if isinstance(output, dict):
        for key, value in output.items():
            if key == "message":
                reader.message(value, ("output", "message"), "0", Kind.CONTENT)
                content = value.get("content") if isinstance(value, dict) else None
                count = len(content) if isinstance(content, list) else 0
            else:
                reader.leaves.rest(FIELDS, {key: value}, ("output",), _NOTHING, IDENTIFIERS)
    else:
        reader.leaves.tree((Kind.CONTENT, "0"), output, ("output",))
    reader.fields(body, (), _ANSWER_KNOWN)
    return Document(
        reader.leaves.segments, features={"blocks": count}, unread=frozenset(reader.leaves.unread)
    ), reader.raw


class Reader:
    """Reads content blocks into `leaves`; `raw` lists those of its segments that stand for JSON.

    `apart`: the texts of a tool's result are each alone. In an answer they are not, as nothing in a stream says where
    one ends.
    """

    __slots__ = ("_apart", "leaves", "raw")

    def __init__(self, *, apart: bool = False) -> None:
        self.leaves = Leaves()
        self.raw: list[Segment] = []
        self._apart = apart

    def message(self, message: object, path: Path, name: str, kind: Kind) -> None:
        """A message, or the beginning of one in messageStart."""
        if not isinstance(message, dict):
            self.leaves.tree((kind, name), message, path)
            return
        self.content(message.get("content"), (*path, "content"), name, kind)
        self.leaves.rest((Kind.OTHER, name), message, path, _MESSAGE_KNOWN, IDENTIFIERS)

    def content(self, value: object, path: Path, name: str, kind: Kind) -> None:
        """A list of blocks."""
        if isinstance(value, list):
            for index, item in enumerate(value):
                self.block(item, (*path, index), name, index, kind)
        elif isinstance(value, str):
            self.leaves.text((kind, name), value, path)
        elif value is not None:
            self.leaves.tree((kind, name), value, path)

    def block(self, block: object, path: Path, name: str, index: int, kind: Kind) -> None:
        """One content block, number `index` of message `name`; or the start or a delta of one."""
        if not isinstance(block, dict):
            self.leaves.tree((kind, name), block, path)
            return
        leaves, own = self.leaves, f"{name}.{index}"
        for key, value in block.items():
            here = (*path, key)
            match key, value:
                case "text", str():
                    leaves.text((kind, name), value, here)
                case "reasoningContent", dict():
                    self._reasoning(value, here, name)
                case "toolUse", dict():
                    self._call(value, here, (Kind.TOOL_CALL, own))
                case "toolResult", dict():
                    self._result(value.get("content"), (*here, "content"), (Kind.TOOL, own))
                    leaves.rest((Kind.TOOL, own), value, here, _MESSAGE_KNOWN, IDENTIFIERS)
                case "toolResult", list():
                    self._result(value, here, (Kind.TOOL, own))
                case "guardContent" | "citationsContent", dict():
                    self._wrapped(value, here, name, kind)
                case "citation", _:
                    leaves.tree((Kind.OTHER, name), value, here, IDENTIFIERS)
                case (("document" | "searchResult" | "image" | "video" | "audio"), dict()):
                    self._item({key: value}, path, (Kind.TOOL, own))
                case (("toolAddition" | "toolRemoval"), _):
                    leaves.tree((Kind.TOOLS, own), value, here, IDENTIFIERS)
                case _:
                    leaves.rest((kind, name), {key: value}, path, _NOTHING, IDENTIFIERS)

    def native(self, fields: object, path: Path) -> None:
        """Members in the model's own dialect; tools may be among them."""
        if not isinstance(fields, dict):
            self.leaves.tree(FIELDS, fields, path)
            return
        for key, value in fields.items():
            if key == "tools":
                self.leaves.tree((Kind.TOOLS, "native"), value, (*path, key), SCHEMA_IDENTIFIERS, SCHEMA_WORDS)
            else:
                self.leaves.rest(FIELDS, {key: value}, path, _NOTHING, _NOTHING)

    def fields(self, body: dict[str, Any], path: Path, known: frozenset[str]) -> None:
        """What is said of an answer: usage, the model's own fields, and a guardrail's trace, which may repeat what the
        guardrail took out of the answer."""
        leaves, trace, here = self.leaves, body.get("trace"), (*path, "trace", "guardrail")
        leaves.rest(FIELDS, body, path, known | {"trace"}, IDENTIFIERS)
        guardrail = trace.get("guardrail") if isinstance(trace, dict) else None
        if isinstance(trace, dict) and isinstance(guardrail, dict):
            leaves.tree((Kind.CONTENT, "trace"), guardrail.get("modelOutput"), (*here, "modelOutput"))
            leaves.rest(FIELDS, guardrail, here, frozenset(("modelOutput",)), IDENTIFIERS)
            leaves.rest(FIELDS, trace, here[:-1], frozenset(("guardrail",)), IDENTIFIERS)
        else:
            leaves.tree(FIELDS, trace, here[:-1], IDENTIFIERS)

    def _reasoning(self, value: dict[str, Any], path: Path, name: str) -> None:
        """A block's reasoningText, or the members of a delta."""
        for key, item in value.items():
            match key, item:
                case "text", str():
                    self.leaves.text((Kind.REASONING, name), item, (*path, key))
                case "reasoningText", dict():
                    self._reasoning(item, (*path, key), name)
                case _ if key not in _OPAQUE:
                    self.leaves.rest((Kind.REASONING, name), {key: item}, path, _NOTHING, IDENTIFIERS)

    def _call(self, call: dict[str, Any], path: Path, channel: Channel) -> None:
        leaves, known = self.leaves, {"input"}
        if isinstance(call.get("name"), str):
            known.add("name")
            leaves.alone(channel, call["name"], (*path, "name"))
        leaves.rest(channel, call, path, frozenset(known), IDENTIFIERS)
        match call.get("input"):
            case dict() | list():
                segment = Segment(channel, "", (*path, "input"), raw=True)
                leaves.segments.append(segment)
                self.raw.append(segment)
            case str(text):
                leaves.text(channel, text, (*path, "input"))

    def _result(self, content: object, path: Path, channel: Channel) -> None:
        if isinstance(content, list):
            for index, item in enumerate(content):
                self._item(item, (*path, index), channel)
        elif content is not None:
            self.leaves.tree(channel, content, path)

    def _item(self, item: object, path: Path, channel: Channel) -> None:
        """What came from outside: a part of a tool's result, a document, a search result, media."""
        leaves = self.leaves
        if not isinstance(item, dict):
            leaves.tree(channel, item, path)
            return
        for key, value in item.items():
            here = (*path, key)
            match key, value:
                case "text", str() if not self._apart:
                    leaves.text(channel, value, here)
                case "json", _:
                    leaves.tree(channel, value, here)
                case "searchResult", dict():
                    leaves.tree(channel, value, here)
                case "document", dict():
                    self._sourced(value, here, channel, key)
                case (("image" | "video" | "audio"), dict()):
                    self._sourced(value, here, channel, key)
                case _:
                    leaves.rest(channel, {key: value}, path, _NOTHING, IDENTIFIERS)

    def _sourced(self, value: dict[str, Any], path: Path, channel: Channel, what: str) -> None:
        """A document or media: text is read, everything else of its source is `what`, unread."""
        leaves, source = self.leaves, value.get("source")
        known = set()
        if isinstance(source, dict):
            known.add("source")
            data, read = source.get("bytes"), set()
            if isinstance(data, str):
                read.add("bytes")
                if what == "document":
                    leaves.file(channel, data, (*path, "source", "bytes"), what)
                    leaves.text(channel, "\n", ())
            if what != "document" or "s3Location" in source or not source.keys() & _READABLE:
                leaves.unread.add(what)
            leaves.rest(channel, source, (*path, "source"), frozenset(read), IDENTIFIERS)
        leaves.rest(channel, value, path, frozenset(known), IDENTIFIERS)

    def _wrapped(self, value: dict[str, Any], path: Path, name: str, kind: Kind) -> None:
        """Text of the message in one more wrapping: marked for a guardrail, or with its citations."""
        leaves = self.leaves
        for key, item in value.items():
            here = (*path, key)
            match key, item:
                case "text", dict():
                    self._wrapped(item, here, name, kind)
                case "text", str():
                    leaves.text((kind, name), item, here)
                case "content", list():
                    self.content(item, here, name, kind)
                case "citations", _:
                    leaves.tree((Kind.OTHER, name), item, here, IDENTIFIERS)
                case "image", dict():
                    self._sourced(item, here, (kind, name), key)
                case _:
                    leaves.rest((kind, name), {key: item}, path, _NOTHING, IDENTIFIERS)
