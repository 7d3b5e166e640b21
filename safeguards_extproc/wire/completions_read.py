"""OpenAI's legacy completions: a prompt and what follows it, without messages.

Channels: prompt n is (USER, "n"), what stands after the gap (USER, "suffix"); choice n is (CONTENT, "n").
"""

from __future__ import annotations

from typing import Any

from safeguards_extproc.core.text import Document, Kind, Path
from safeguards_extproc.wire import azure_read, openai_read, vllm_read
from safeguards_extproc.wire.leaves import Leaves, words
from safeguards_extproc.wire.openai_api import prompts
from safeguards_extproc.wire.openai_message import IDENTIFIERS, message

CHOICE_FIELDS = words("index text finish_reason stop_reason logprobs")
"""Members of a choice that goes on; `stop_reason` is read where the choice ends."""

_REQUEST_KNOWN = words("prompt suffix")
_CHOICE_KNOWN = words("text message delta logprobs prompt_logprobs") | azure_read.VERDICTS


def request(body: dict[str, Any]) -> Document:
    """What a request says; `echo` and `logprobs` are features, for both give the prompt back."""
    leaves = Leaves()
    count = prompts(leaves, body["prompt"], ("prompt",)) if body.get("prompt") else 0
    if isinstance(body.get("suffix"), str):
        leaves.text((Kind.USER, "suffix"), body["suffix"], ("suffix",))
    else:
        leaves.tree((Kind.USER, "suffix"), body.get("suffix"), ("suffix",))
    openai_read.members(leaves, body, _REQUEST_KNOWN)
    return openai_read.asked(
        leaves, body, count, logprobs=isinstance(body.get("logprobs"), int), echo=body.get("echo") is True
    )


def response(body: dict[str, Any]) -> Document:
    """What an answer says."""
    return openai_read.answer(body, choices)


def choices(leaves: Leaves, body: dict[str, Any]) -> None:
    """Every choice of an answer or a chunk, and what the server says beside them."""
    openai_read.each_choice(leaves, body, _choice)


def _choice(leaves: Leaves, choice: dict[str, Any], path: Path, name: str) -> None:
    text = choice.get("text")
    if isinstance(text, str):
        leaves.text((Kind.CONTENT, name), text, (*path, "text"))
    else:
        leaves.tree((Kind.CONTENT, name), text, (*path, "text"))
    for key in ("message", "delta"):  # Mistral fills the middle with a message
        if isinstance(choice.get(key), dict):
            message(leaves, choice[key], (*path, key), name, Kind.CONTENT)
        else:
            leaves.tree((Kind.CONTENT, name), choice.get(key), (*path, key))
    if choice.get("logprobs"):
        _logprobs(leaves, choice["logprobs"], (*path, "logprobs"), name, text)
    said = (Kind.OTHER, name + ".prompt_logprobs")
    vllm_read.prompt_logprobs(leaves, choice.get("prompt_logprobs"), (*path, "prompt_logprobs"), said)
    azure_read.verdicts(leaves, choice, path, azure_read.VERDICTS)
    leaves.rest((Kind.OTHER, name), choice, path, _CHOICE_KNOWN, IDENTIFIERS)


def _logprobs(leaves: Leaves, value: object, path: Path, name: str, text: object) -> None:
    """Tokens that repeat the text are its replica; tokens that say something else are a text of their own."""
    channel = (Kind.OTHER, name + ".logprobs")
    if not isinstance(value, dict):
        leaves.tree(channel, value, path)
        return
    tokens = value.get("tokens")
    if isinstance(tokens, list) and all(isinstance(token, str) for token in tokens):
        if "".join(tokens) != text:
            for index, token in enumerate(tokens):
                leaves.text(channel, token, (*path, "tokens", index))
    else:
        leaves.tree(channel, tokens, (*path, "tokens"))
    if not _are_guesses(value.get("top_logprobs")):
        leaves.tree(channel, value["top_logprobs"], (*path, "top_logprobs"))
    leaves.rest(channel, value, path, _LOGPROBS_KNOWN, frozenset())


_LOGPROBS_KNOWN = words("tokens top_logprobs")


def _are_guesses(value: object) -> bool:
    """Whether this is what could have stood at each place: by token, a number."""
    return value is None or (
        isinstance(value, list)
        and all(
            entry is None or (isinstance(entry, dict) and all(isinstance(item, float | int) for item in entry.values()))
            for entry in value
        )
    )
