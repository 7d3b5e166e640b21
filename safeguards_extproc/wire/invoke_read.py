"""Bodies of InvokeModel: where text stands in prompts and in what answers them. Messages have readers of their own.

Members decide, whichever vendor's they are, so that a body that mixes two dialects hides nothing. Channels: a prompt
is (USER, "0"), turn n of a conversation beside it "n"; answer n is (CONTENT, "n"). A whole answer and the chunks that
make it up are read by the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from safeguards_extproc.core.text import Document, Kind, Path, Segment
from safeguards_extproc.wire import anthropic_read, bedrock_read, openai_read
from safeguards_extproc.wire.bedrock import FIELDS
from safeguards_extproc.wire.invoke_dialects import CONVERSATIONS, FLAT, Dialect
from safeguards_extproc.wire.leaves import SCHEMA_IDENTIFIERS, SCHEMA_WORDS, Leaves, words

UNKNOWN = "dialect"
"""Unread: every string of it is read, but what it means is not known."""

_ROLES = {"system": Kind.SYSTEM, "user": Kind.USER, "chatbot": Kind.ASSISTANT, "tool": Kind.TOOL}
_MEDIA = {
    "images": "image",
    "image": "image",
    "inputImage": "image",
    "artifacts": "image",
    "init_image": "image",
    "inputVideo": "video",
    "inputAudio": "audio",
}
_PROMPTS = words("prompt inputText message query texts suffix inputs text_prompts")
_ASKS = _PROMPTS | words("preamble chat_history documents tool_results")
_REQUEST_IDENTIFIERS = words(
    "input_type truncate embedding_types embeddingTypes taskType return_likelihoods prompt_truncation citation_quality "
    "safety_mode schemaVersion type id"
)
_ANSWER_IDENTIFIERS = words(
    "id type stop_reason finish_reason completionReason event_type response_type generation_id response_id object role "
    "amazon-bedrock-guardrailAction p"
)
_TEXTS = frozenset(flat.text for flat in FLAT.values() if not flat.chunk_listed)
_LISTS = frozenset(flat.listed for flat in FLAT.values() if flat.listed) - {""}
_TURN_KNOWN = frozenset(("message",))
_NOTHING: frozenset[str] = frozenset()


def request(body: dict[str, Any], dialect: Dialect | None) -> tuple[Document, list[Segment]]:
    """What a request says, and the segments whose text is the JSON at their path, which the caller fills in.

    What no dialect knows is the user's text, and unread. A prompt beside messages stays the user's text: a member more
    that looks like another vendor's makes nothing else of it.
    """
    leaves, history, tools = Leaves(), body.get("chat_history"), body.get("tools")
    turns = len(history) if isinstance(history, list) else 0
    if dialect in CONVERSATIONS:
        for key in filter(_ASKS.__contains__, body):
            _asked(leaves, key, body[key], turns)
        document, raw = _conversation({key: body[key] for key in body if key not in _ASKS}, dialect)
        document.segments += leaves.segments
        document.unread |= leaves.unread
        return document, raw
    if dialect is None:
        leaves.unread.add(UNKNOWN)
        leaves.tree((Kind.USER, "0"), body, ())
        return _document(leaves), []
    for key, value in body.items():
        _asked(leaves, key, value, turns)
    document = _document(leaves)
    document.features = {
        "messages": turns + 1,
        "tools": len(tools) if isinstance(tools, list) else 0,
        "prefill": False,
    }
    return document, []


def _conversation(body: dict[str, Any], dialect: Dialect) -> tuple[Document, list[Segment]]:
    match dialect:
        case Dialect.ANTHROPIC:
            return anthropic_read.request(body)
        case Dialect.NOVA:
            return bedrock_read.request(body)
    return openai_read.request(body), []


def _asked(leaves: Leaves, key: str, value: object, turns: int) -> None:
    match key, value:
        case (("prompt" | "inputText" | "message"), str()):
            leaves.text((Kind.USER, str(turns)), value, (key,))
        case _ if key in _PROMPTS:
            leaves.tree((Kind.USER, key), value, (key,))
        case (("preamble" | "system"), _):
            leaves.tree((Kind.SYSTEM, key), value, (key,))
        case "chat_history", list():
            for index, turn in enumerate(value):
                _turn(leaves, turn, (key, index), str(index))
        case (("documents" | "tool_results"), _):
            leaves.tree((Kind.TOOL, key), value, (key,))
        case "tools", _:
            leaves.tree((Kind.TOOLS, key), value, (key,), SCHEMA_IDENTIFIERS, SCHEMA_WORDS)
        case _, dict() if key.endswith("Params"):
            for name, item in value.items():
                _parameter(leaves, key, name, item)
        case _ if key in _MEDIA and value:
            leaves.unread.add(_MEDIA[key])
        case _:
            leaves.rest(FIELDS, {key: value}, (), _NOTHING, _REQUEST_IDENTIFIERS)


def _parameter(leaves: Leaves, task: str, name: str, value: object) -> None:
    """Of a task of Nova's: what to paint or embed, and pictures to begin with."""
    what = next((what for what in ("image", "video", "audio") if what in name.lower()), None)
    if what is not None and value:
        leaves.unread.add(what)
    else:
        leaves.rest((Kind.USER, task), {name: value}, (task,), _NOTHING, _NOTHING)


def _turn(leaves: Leaves, turn: object, path: Path, name: str) -> None:
    if not isinstance(turn, dict):
        leaves.tree((Kind.USER, name), turn, path)
        return
    role = turn.get("role")
    kind = _ROLES.get(role.strip().lower(), Kind.USER) if isinstance(role, str) else Kind.USER
    said = turn.get("message")
    if isinstance(said, str):
        leaves.text((kind, name), said, (*path, "message"))
    else:
        leaves.tree((kind, name), said, (*path, "message"))
    leaves.rest((Kind.OTHER, name), turn, path, _TURN_KNOWN, words("role"))


def answer(body: dict[str, Any], dialect: Dialect | None) -> tuple[Document, list[Segment]]:
    """The same of an answer; what no dialect knows is the model's text, and unread."""
    match dialect:
        case Dialect.ANTHROPIC:
            return anthropic_read.response(body)
        case Dialect.NOVA:
            return bedrock_read.response(body)
        case Dialect.CHAT:
            return openai_read.response(body), []
    leaves = Leaves()
    flat(leaves, body, dialect)
    return _document(leaves), []


def flat(leaves: Leaves, body: Mapping[str, Any], dialect: Dialect | None) -> None:
    """An answer in a dialect without messages, or one chunk of it."""
    if dialect is None:
        leaves.unread.add(UNKNOWN)
        leaves.tree((Kind.CONTENT, "0"), body, (), _ANSWER_IDENTIFIERS)
        return
    index = body.get("index")
    name, others = str(index) if type(index) is int else "0", {}
    for key, value in body.items():
        match key, value:
            case _, str() if key in _TEXTS:
                leaves.text((Kind.CONTENT, name), value, (key,))
            case _, list() if key in _LISTS:
                for position, item in enumerate(value):
                    _answered(leaves, item, (key, position), position)
            case "tool_calls", _:
                leaves.tree((Kind.TOOL_CALL, name), value, (key,), words("id"))
            case "response", _:  # the last chunk of Command R repeats the answer
                leaves.tree((Kind.CONTENT, "whole"), value, (key,), _ANSWER_IDENTIFIERS)
            case _ if key in _MEDIA and value:
                leaves.unread.add(_MEDIA[key])
            case _:
                others[key] = value
    leaves.rest(FIELDS, others, (), _NOTHING, _ANSWER_IDENTIFIERS)


def _answered(leaves: Leaves, item: object, path: Path, position: int) -> None:
    """One of several answers; `index` says which, else its place does."""
    if not isinstance(item, dict):
        leaves.tree((Kind.CONTENT, str(position)), item, path)
        return
    index = item.get("index")
    name = str(index) if type(index) is int else str(position)
    for key, value in item.items():
        if isinstance(value, str) and key in _TEXTS:
            leaves.text((Kind.CONTENT, name), value, (*path, key))
        else:
            leaves.rest((Kind.OTHER, name), {key: value}, path, _NOTHING, _ANSWER_IDENTIFIERS)


def _document(leaves: Leaves) -> Document:
    return Document(leaves.segments, unread=frozenset(leaves.unread))
