"""Text to windows of tokens: all of it, however long, whatever is in it.

WordPiece gives up on a word that is long or has one character that it does not know: the whole word becomes "unknown".
Here long words are cut, and characters that the vocabulary lacks are taken out of words that it could read without
them, so neither hides anything. The one rule: every word of a text is in a window, whole texts and pairs alike.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer, pre_tokenizers

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

LONGEST_WORD = 80
PROMPT = 3 / 8
"""The share of a pair's window that a question may have where the answer needs the rest."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How texts become windows: at most `window` tokens, two to three of them marks, `overlap` in common with the
    window before. A `pair` is a question and its answer."""

    window: int = 512
    overlap: int = 64
    pair: bool = False

    def __post_init__(self) -> None:
        if not 0 <= 4 * self.overlap <= self.window or self.window < 16:
            raise ValueError("a window has 16 tokens or more, and overlaps by a quarter at most")


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of texts. `seconds` says where in each the second segment begins (its length, if there is none). Those of
    text t are `starts[t]` to `starts[t + 1]`, at least one."""

    ids: list[list[int]]
    seconds: list[int]
    starts: list[int]


class Reader:
    """Reads with a tokenizer.json of Hugging Face. ValueError if it is not one of BERT."""

    def __init__(self, tokenizer: bytes, reading: Reading) -> None:
        self.reading = reading
        self._tokenizer = Tokenizer.from_buffer(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        words = [self._tokenizer.pre_tokenizer, pre_tokenizers.FixedLength(LONGEST_WORD)]
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)
        marks = [self._tokenizer.token_to_id(mark) for mark in ("[CLS]", "[SEP]", "[UNK]", "[PAD]")]
        if None in marks:
            raise ValueError("the tokenizer has no marks of BERT")
        self._first, self._end, self._unknown, self.padding = marks
        self._known = {token for token in self._tokenizer.get_vocab() if len(token) == 1}

    def read(self, texts: Sequence[bytes], prompts: Sequence[bytes] = ()) -> Windows:
        """Windows of UTF-8 texts, each after its prompt in a pair. What is not UTF-8 is left out."""
        if len(prompts) != (len(texts) if self.reading.pair else 0):
            raise ValueError("a pair has a prompt for each text, and nothing else has prompts")
        found = Windows([], [], [0])
        asked = list(dict.fromkeys(prompts))  # windows of one answer have one question
        questions = dict(zip(asked, self._tokens([self._ends(one) for one in asked]), strict=True))
        for number, tokens in enumerate(self._tokens(texts)):
            self._cut(found, questions[prompts[number]] if prompts else [], tokens)
            found.starts.append(len(found.ids))
        return found

    def _ends(self, prompt: bytes) -> bytes:
        """The beginning and the end of a prompt, more than a window holds: the rest need not be tokenised."""
        most = self.reading.window * LONGEST_WORD
        return prompt if len(prompt) <= 2 * most else prompt[:most] + b" " + prompt[-most:]

    def _cut(self, found: Windows, prompt: list[int], tokens: list[int]) -> None:
        head, overlap = [self._first], self.reading.overlap
        room = self.reading.window - 2
        if self.reading.pair:
            room -= 1
            head += [*_middle_out(prompt, max(int(room * PROMPT), room - len(tokens))), self._end]
            room -= len(head) - 2
        count = 1 if len(tokens) <= room else math.ceil((len(tokens) - overlap) / (room - overlap))
        size = math.ceil((len(tokens) + (count - 1) * overlap) / count)
        for number in range(count):
            start = number * (size - overlap)
            window = [*head, *tokens[start : start + size], self._end]
            found.ids.append(window)
            found.seconds.append(len(head) if self.reading.pair else len(window))

    def _tokens(self, texts: Sequence[bytes]) -> list[list[int]]:
        """Ids without marks."""
        decoded = [text.decode("utf-8", "ignore") for text in texts]
        found = [one.ids for one in self._tokenizer.encode_batch_fast(decoded, add_special_tokens=False)]
        for at, ids in enumerate(found):
            if self._unknown in ids:
                mended = self._mended(decoded[at])
                found[at] = self._tokenizer.encode(mended, add_special_tokens=False).ids
        return found

    def _mended(self, text: str) -> str:
        """`text` as the tokenizer sees it, with words that it can read freed of characters that it cannot."""
        words = []
        for word in self._tokenizer.normalizer.normalize_str(text).split():
            kept = "".join(letter for letter in word if letter in self._known)
            words.append(kept or word)
        return " ".join(words)


def _middle_out(tokens: list[int], most: int) -> list[int]:
    """At most `most` tokens: the beginning and the end."""
    if len(tokens) <= most:
        return tokens
    return tokens[: most // 2] + tokens[len(tokens) - (most - most // 2) :]
