"""vLLM's additions to the OpenAI bodies: templates, documents, grammars, token ids, log-probabilities of the prompt."""

from __future__ import annotations

from collections.abc import Mapping

from safeguards_extproc.core.text import Channel, Kind, Path
from safeguards_extproc.wire.leaves import SCHEMA_IDENTIFIERS, SCHEMA_WORDS, Leaves, words

IDENTIFIERS = words("guided_decoding_backend cache_salt request_id")
"""Members of a request that the model never sees."""

_TEMPLATES = words("chat_template chat_template_kwargs")
_GRAMMARS = words(
    "guided_json guided_regex guided_choice guided_grammar guided_whitespace_pattern structural_tag structured_outputs"
)
_GRAMMAR_WORDS = SCHEMA_WORDS | words(
    "json regex choice grammar json_object structural_tag whitespace_pattern disable_fallback disable_any_whitespace "
    "disable_additional_properties"
)
_TOKEN_IDS = words("prompt_token_ids input_ids")
_EMBEDDINGS = words("prompt_embeds input_embeds")
_UNREAD = dict.fromkeys(_TOKEN_IDS, "token-ids") | dict.fromkeys(_EMBEDDINGS, "embeddings")
_TEMPLATE_IDENTIFIERS = words("reasoning_effort")
_DOCUMENT_IDENTIFIERS = words("id doc_id document_id")
_LOGPROB = frozenset(("logprob", "rank", "decoded_token"))

REQUEST_KNOWN = _TEMPLATES | _GRAMMARS | frozenset(_UNREAD) | {"documents"}
"""Members that `request` reads."""


def request(leaves: Leaves, body: Mapping[str, object]) -> None:
    """A template and its arguments are what a system prompt is made by; documents are what a search would have found;
    a grammar is a schema. Prompts as token ids or as embeddings cannot be read."""
    for name, value in body.items():
        here: Path = (name,)
        if name in _TEMPLATES:
            leaves.tree((Kind.SYSTEM, name), value, here, _TEMPLATE_IDENTIFIERS)
        elif name == "documents":
            leaves.tree((Kind.TOOL, name), value, here, _DOCUMENT_IDENTIFIERS)
        elif name in _GRAMMARS:
            leaves.tree((Kind.OTHER, name), value, here, SCHEMA_IDENTIFIERS, _GRAMMAR_WORDS)
        elif name in _UNREAD and value:
            _unreadable(leaves, value, here, _UNREAD[name])


def _unreadable(leaves: Leaves, value: object, path: Path, what: str) -> None:
    """Numbers, or base64 of numbers; base64 of text is read all the same."""
    if isinstance(value, str):
        leaves.file((Kind.USER, str(path[0])), value, path, what)
        return
    leaves.unread.add(what)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, str):
            leaves.file((Kind.USER, str(path[0])), item, (*path, index), what)
        elif isinstance(item, dict | list):
            leaves.tree((Kind.USER, str(path[0])), item, (*path, index))
    if isinstance(value, dict):
        leaves.tree((Kind.USER, str(path[0])), value, path)


def prompt_logprobs(leaves: Leaves, value: object, path: Path, channel: Channel) -> None:
    """The prompt once more, token by token: the first of each position is what stood there, the others are guesses
    that were not taken, as in `top_logprobs`. Anything else than that is read as it comes."""
    if not value:
        return
    tokens: list[tuple[str, Path]] = []
    for index, entry in enumerate(value if isinstance(value, list) else ()):
        if entry is None:
            continue
        if not isinstance(entry, dict) or not all(map(_is_logprob, entry.values())):
            break
        for key, first in entry.items():
            tokens.append((first.get("decoded_token") or "", (*path, index, key, "decoded_token")))
            break
    else:
        if isinstance(value, list):
            for token, place in tokens:
                leaves.text(channel, token, place)
            return
    leaves.tree(channel, value, path)


def _is_logprob(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() <= _LOGPROB
        and isinstance(value.get("decoded_token"), str | None)
        and not isinstance(value.get("logprob"), str | list | dict)
        and not isinstance(value.get("rank"), str | list | dict)
    )
