"""Text Generation Inference: where text stands in requests, answers and the events of a stream.

Channels: the input is (USER, "0"); the answer (CONTENT, "0"), the further sequences of `best_of` "1", "2", ….
"""

from __future__ import annotations

import re
from typing import Any, TypeGuard

from safeguards_extproc.core.text import Channel, Kind, Path
from safeguards_extproc.wire.leaves import SCHEMA_IDENTIFIERS, SCHEMA_WORDS, Leaves, words
from safeguards_extproc.wire.openai_api import prompts

FIELDS: Channel = (Kind.OTHER, "fields")
ERROR: Channel = (Kind.ERROR, "error")

TOKEN_FIELDS = words("id text logprob special")

REPLICAS = ("tokens", "top_tokens")
"""Members of a sequence's details that repeat its text, token by token; they go when the text is edited."""

is_special = re.compile(r"<[^<>\s]{1,64}>|\[[A-Z_]{1,32}\]").fullmatch
"""Whether a token that is marked as special has the form of one: `</s>`, `<|eot_id|>`, `[EOS]`."""

_MEDIA = re.compile(r"!\[[^\]]*\]\(data:(image|audio|video)/", re.IGNORECASE).finditer
_REQUEST_KNOWN = words("inputs parameters")
_PARAMETERS_KNOWN = words("grammar")
_IDENTIFIERS = words("adapter_id finish_reason error_type")
_GRAMMAR_WORDS = SCHEMA_WORDS | words("value")


def request(leaves: Leaves, body: dict[str, Any]) -> int:
    """Read a request; returns how many inputs it has. Pictures stand in the input as Markdown, and are unread."""
    inputs, parameters = body.get("inputs"), body.get("parameters")
    count = prompts(leaves, inputs, ("inputs",)) if inputs else 0
    for text in inputs if isinstance(inputs, list) else [inputs]:
        if isinstance(text, str):
            leaves.unread.update(match[1].lower() for match in _MEDIA(text))
    if isinstance(parameters, dict):
        leaves.tree(FIELDS, parameters.get("grammar"), ("parameters", "grammar"), SCHEMA_IDENTIFIERS, _GRAMMAR_WORDS)
        leaves.rest(FIELDS, parameters, ("parameters",), _PARAMETERS_KNOWN, _IDENTIFIERS)
    else:
        leaves.tree(FIELDS, parameters, ("parameters",))
    leaves.rest(FIELDS, body, (), _REQUEST_KNOWN, _IDENTIFIERS)
    return count


def sequence(leaves: Leaves, body: dict[str, Any], path: Path, position: int) -> None:
    """One answer, whole, with its details and the other sequences in them."""
    name, text, details = str(position), body.get("generated_text"), body.get("details")
    if isinstance(text, str):
        leaves.text((Kind.CONTENT, name), text, (*path, "generated_text"))
    else:
        leaves.tree((Kind.CONTENT, name), text, (*path, "generated_text"))
    inside = details if isinstance(details, dict) else body
    here = (*path, "details") if inside is details else path
    _tokens(leaves, inside.get("tokens"), (*here, "tokens"), name, text)
    _prefill(leaves, inside.get("prefill"), (*here, "prefill"), name)
    if not are_guesses(inside.get("top_tokens")):
        leaves.tree((Kind.OTHER, name + ".tokens"), inside["top_tokens"], (*here, "top_tokens"))
    others = inside.get("best_of_sequences")
    for index, other in enumerate(others if isinstance(others, list) else ()):
        if isinstance(other, dict):
            sequence(leaves, other, (*here, "best_of_sequences", index), position + index + 1)
        else:
            leaves.tree((Kind.CONTENT, str(position + index + 1)), other, (*here, "best_of_sequences", index))
    if not isinstance(others, list):
        leaves.tree(FIELDS, others, (*here, "best_of_sequences"))
    if "error" in body:
        leaves.tree(ERROR, body["error"], (*path, "error"))
    if inside is details:
        leaves.rest(FIELDS, inside, here, _SEQUENCE_KNOWN, _IDENTIFIERS)
        leaves.rest(FIELDS, body, path, _ANSWER_KNOWN, _IDENTIFIERS)
    else:
        leaves.rest(FIELDS, body, path, _SEQUENCE_KNOWN, _IDENTIFIERS)


_ANSWER_KNOWN = words("generated_text details error")
_SEQUENCE_KNOWN = words("generated_text error tokens prefill top_tokens best_of_sequences")


def token(leaves: Leaves, fields: dict[str, Any], path: Path) -> str:
    """One token of a stream; returns its text where the answer goes on with it."""
    text, said = fields.get("text"), ""
    if not isinstance(text, str):
        leaves.tree((Kind.CONTENT, "0"), text, (*path, "text"))
    elif fields.get("special") is not True:
        said = text
        leaves.text((Kind.CONTENT, "0"), text, (*path, "text"))
    elif not is_special(text):
        leaves.alone((Kind.OTHER, "0.special"), text, (*path, "text"))
    leaves.rest(FIELDS, fields, path, frozenset(("text",)), frozenset())
    return said


def _tokens(leaves: Leaves, value: object, path: Path, name: str, text: object) -> None:
    """Tokens that repeat the text are its replica; tokens that say something else are a text of their own."""
    channel = (Kind.OTHER, name + ".tokens")
    if not _is_list_of_tokens(value):
        leaves.tree(channel, value, path)
        return
    ordinary = [item["text"] for item in value if item.get("special") is not True]
    strange = any(item.get("special") is True and not is_special(item["text"]) for item in value)
    if "".join(ordinary) != text or strange:
        for index, item in enumerate(value):
            leaves.text(channel, item["text"], (*path, index, "text"))


def _prefill(leaves: Leaves, value: object, path: Path, name: str) -> None:
    """The input once more, token by token."""
    channel = (Kind.OTHER, name + ".prefill")
    if not _is_list_of_tokens(value):
        leaves.tree(channel, value, path)
        return
    for index, item in enumerate(value):
        leaves.text(channel, item["text"], (*path, index, "text"))


def _is_list_of_tokens(value: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(
        isinstance(item, dict)
        and item.keys() <= TOKEN_FIELDS
        and isinstance(item.get("text"), str)
        and not any(isinstance(item.get(key), str | list | dict) for key in ("id", "logprob", "special"))
        for item in value
    )


def are_guesses(value: object) -> bool:
    """Whether this is what could have stood at one place, or at each of several."""
    if value is None or _is_list_of_tokens(value):
        return True
    return isinstance(value, list) and all(map(_is_list_of_tokens, value))
