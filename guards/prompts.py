"""What a model reads: its own template with the texts put in as tokens, so that no text can play the template's part.

The template is rendered around marks, and what lies between them is tokenised with its control tokens. A text is
tokenised by itself and gets none, whatever stands in it: `<|eot_id|>` in a text is nine characters and no end of a
turn. The one rule: a control token in a prompt comes from the template.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from encoders.checkpoint import BadCheckpoint
from guards.rows import Ask, Messages, Writer

TEXT, PROMPT = "\ue000text\ue001", "\ue000prompt\ue001"
_MARKS = re.compile(f"({TEXT}|{PROMPT})")

Part = list[int] | str
"""Tokens of the template, or a mark."""


class PlainTokenizer:
    """Tokenises texts of users: what is written like a control token is characters."""

    def __init__(self, tokenizer: Any) -> None:
        told = json.loads(tokenizer.backend_tokenizer.to_str())
        self._control = set()
        for added in told["added_tokens"]:
            if added["special"]:
                self._control.add(added["id"])
            elif re.fullmatch(r"<.+>|\[.+\]", added["content"]):
                added["special"] = True
        self._tokenizer = Tokenizer.from_str(json.dumps(told))
        self._tokenizer.encode_special_tokens = True
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def encode(self, texts: Sequence[bytes]) -> list[list[int]]:
        """Ids of UTF-8 texts; what is not UTF-8 is left out. A Unigram model may still find a control token among its
        pieces, so those are taken out."""
        decoded = [text.decode("utf-8", "ignore") for text in texts]
        found = self._tokenizer.encode_batch_fast(decoded, add_special_tokens=False)
        return [[token for token in one.ids if token not in self._control] for one in found]


def windows(tokens: list[int], size: int, overlap: int) -> list[list[int]]:
    """All of `tokens` in windows of `size` at most that share the length evenly; at least one."""
    if len(tokens) <= size:
        return [tokens]
    count = math.ceil((len(tokens) - overlap) / (size - overlap))
    each = math.ceil((len(tokens) + (count - 1) * overlap) / count)
    return [tokens[start : start + each] for start in range(0, count * (each - overlap), each - overlap)]


def ends(tokens: list[int], most: int) -> list[int]:
    """At most `most` tokens: the beginning and the end."""
    return tokens if len(tokens) <= most else tokens[: most // 2] + tokens[len(tokens) - (most - most // 2) :]


def parts(tokenizer: Any, row: Writer, ask: Ask, exchange: bool, policy: str) -> list[Part]:
    """The prompt of a question, with marks where the texts go in, and the opening of the answer.

    BadCheckpoint if the checkpoint has no chat template, or one that does not show the texts.
    """
    messages = row.exchange if exchange else row.request
    variables = (exchange and ask.of_answers) or ask.variables
    wanted = {TEXT, PROMPT} if exchange else {TEXT}
    why = "the checkpoint brings no chat template"
    for as_parts in (False, True) if tokenizer.chat_template else ():
        try:
            rendered = _render(tokenizer, messages, policy, variables, as_parts)
        except Exception as error:  # noqa: BLE001 (a template raises what it likes)
            why = f"the chat template: {type(error).__name__}: {error}"
            continue
        if set(_MARKS.findall(rendered)) == wanted:
            if not rendered.endswith(ask.opening):
                rendered += ask.opening
            pieces = (part for part in _MARKS.split(rendered) if part)
            return [part if part in wanted else _ids(tokenizer, part) for part in pieces]
        why = "the chat template does not show what is to be judged"
    raise BadCheckpoint(why)


def fill(template: Sequence[Part], text: list[int], prompt: list[int]) -> list[int]:
    """The ids of a prompt with the texts in."""
    filled: list[int] = []
    for part in template:
        match part:
            case str():
                filled += text if part == TEXT else prompt
            case _:
                filled += part
    return filled


def choices(tokenizer: Any, before: str, answers: Sequence[str]) -> tuple[list[int], list[int]]:
    """How the answers go on after `before`: the ids that all begin with, and the one that tells each apart.

    BadCheckpoint if two have no such id.
    """
    whole = [_ids(tokenizer, before + answer) for answer in answers]
    shared = 0
    while all(len(one) > shared and one[shared] == whole[0][shared] for one in whole):
        shared += 1
    told = [one[shared] if len(one) > shared else -1 for one in whole]
    if -1 in told or len(set(told)) < len(told):
        raise BadCheckpoint("the tokenizer begins two answers with the same token")
    return whole[0][:shared], told


def _render(tokenizer: Any, messages: Messages, policy: str, variables: Mapping[str, Any], as_parts: bool) -> str:
    """Some templates read a content as a string, some as a list of parts."""
    told = []
    for role, content in messages:
        text = content.replace("{text}", TEXT).replace("{prompt}", PROMPT).replace("{policy}", policy)
        told.append({"role": role, "content": [{"type": "text", "text": text}] if as_parts else text})
    rendered = tokenizer.apply_chat_template(told, tokenize=False, add_generation_prompt=True, **variables)
    return str(rendered)


def _ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found
