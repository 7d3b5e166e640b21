"""A judge behind an endpoint that speaks OpenAI's chat completions, vLLM's for instance: policy in, one word out.

The score is the probability of that word, from the endpoint's log-probabilities, where it gives any; else the word
itself, 0 or 1. The one rule: every text has an answer before the deadline, and an answer that is not one of the row's
is none (NaN), never a guess.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openai
from numpy.typing import NDArray

from guards.rows import Judge

OVERLAP = 8
MOST_TOKENS = 2048
"""What a judge may write, its reasoning included."""
_MEMBER = "verdict"
_CONTROL = re.compile(r"<(?=\|)|<(?=/?(?:s|bos|eos|pad|unk|think|start_of_turn|end_of_turn)>)|\[(?=/?INST\])")


class Unavailable(Exception):
    """The endpoint cannot be reached, is too busy, or answers nobody."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a judge is. `url` ends in /v1; `key` is sent as the bearer's. No text waits longer than `timeout_s`, no
    more than `at_once` are asked at a time. `effort` is the reasoning effort, "" for models that have none."""

    url: str
    model: str
    key: str = ""
    timeout_s: float = 10.0
    at_once: int = 16
    effort: str = ""


class JudgeClient:
    """Asks a judge; for one event loop."""

    def __init__(self, row: Judge, policy: str, endpoint: Endpoint) -> None:
        self.labels = tuple(label for label in row.verdict.values() if label)
        self._row, self._policy, self._endpoint = row, policy, endpoint
        self._client = openai.AsyncOpenAI(
            base_url=endpoint.url, api_key=endpoint.key or "none", timeout=endpoint.timeout_s, max_retries=0
        )
        self._slots = asyncio.Semaphore(endpoint.at_once)

    async def close(self) -> None:
        """Hang up."""
        await self._client.close()

    async def score(self, texts: Sequence[bytes], prompts: Sequence[bytes] = ()) -> NDArray[np.float32]:
        """Scores [texts, labels] of UTF-8 texts; a row of NaN for a text that got no verdict. Unavailable if the
        endpoint answered for none."""
        pairs = [
            (_plain(text), _plain(prompt)) for text, prompt in zip(texts, prompts or [b""] * len(texts), strict=True)
        ]
        asked = [
            (number, asyncio.create_task(self._ask(window, prompt)))
            for number, (text, prompt) in enumerate(pairs)
            for window in _windows(text, self._row.window)
        ]
        done, late = await asyncio.wait([task for _, task in asked], timeout=self._endpoint.timeout_s)
        for task in late:
            task.cancel()
        scores = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        away = bool(late)
        for number, task in asked:
            found = None
            if task in done:
                away |= isinstance(task.exception(), Unavailable)
                found = None if task.exception() else task.result()
            scores[number] = np.maximum(scores[number], [math.nan] if found is None else found)  # NaN stays
        if away and np.isnan(scores).any(axis=1).all():
            raise Unavailable("no text got an answer")
        return scores

    async def _ask(self, text: str, prompt: str) -> list[float] | None:
        """The verdict on one window, None if it is none."""
        row, endpoint = self._row, self._endpoint
        schema = {
            "type": "object",
            "properties": {_MEMBER: {"type": "string", "enum": list(row.verdict)}},
            "required": [_MEMBER],
            "additionalProperties": False,
        }
        asked: dict[str, Any] = {
            "model": endpoint.model,
            "messages": [
                {"role": role, "content": _filled(content, text, prompt, self._policy)}
                for role, content in (row.exchange if prompt else row.request)
            ],
            "temperature": 0,
            "max_completion_tokens": MOST_TOKENS,
            "logprobs": True,
            "top_logprobs": 5,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": _MEMBER, "strict": True, "schema": schema},
            },
        }
        if endpoint.effort:
            asked["reasoning_effort"] = endpoint.effort
        try:
            async with self._slots:
                completion = await self._client.chat.completions.create(**asked)
        except (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError) as error:
            raise Unavailable(type(error).__name__) from None
        except openai.OpenAIError:
            return None
        return read(completion.model_dump(), row.verdict)


def read(completion: Mapping[str, Any], verdict: Mapping[str, str]) -> list[float] | None:
    """The score of each label of `verdict` in a chat completion, None unless it is whole and one of the answers."""
    match completion:
        case {"choices": [{"finish_reason": "stop", "message": {"content": str(content)}, **choice}, *_]}:
            pass
        case _:
            return None
    try:
        word = json.loads(content)[_MEMBER]
    except (ValueError, KeyError, TypeError):
        return None
    if word not in verdict:
        return None
    shares = _shares(choice.get("logprobs"), word, verdict) or {word: 1.0}
    return [shares.get(answer, 0.0) for answer, label in verdict.items() if label]


def _shares(logprobs: Any, word: str, verdict: Mapping[str, str]) -> dict[str, float] | None:
    """The probability of each answer among all of them, at the last token that is the word; None if there is none."""
    match logprobs:
        case {"content": [*tokens]}:
            pass
        case _:
            return None
    for token in reversed(tokens):
        match token:
            case {"token": str(said), "top_logprobs": [*tops]} if _bare(said) == word:
                weights: dict[str, float] = {}
                for top in tops:
                    match top:
                        case {"token": str(other), "logprob": float() | int() as logprob} if _bare(other) in verdict:
                            weights[_bare(other)] = weights.get(_bare(other), 0.0) + math.exp(min(logprob, 0.0))
                total = sum(weights.values())
                return {answer: weight / total for answer, weight in weights.items()} if total > 0 else None
    return None


def _bare(token: str) -> str:
    """A token of JSON without quotes and spaces, which tokenizers glue to words."""
    return token.strip(' "\n')


def _plain(text: bytes) -> str:
    """UTF-8 text in which nothing reads as a control token: the endpoint's tokenizer takes such words for its own.
    A space behind the bracket keeps them readable."""
    return _CONTROL.sub(lambda found: found[0] + " ", text.decode("utf-8", "ignore"))


def _windows(text: str, size: int) -> list[str]:
    step = size - size // OVERLAP
    return [text[start : start + size] for start in range(0, max(len(text) - size // OVERLAP, 1), step)]


def _filled(content: str, text: str, prompt: str, policy: str) -> str:
    """`content` with everything in its place; what is put in is not looked at again."""
    told = {"{text}": text, "{prompt}": prompt, "{policy}": policy}
    return re.sub(r"\{(?:text|prompt|policy)\}", lambda found: told[found[0]], content)
