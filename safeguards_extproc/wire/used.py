"""What an answer says that it used, in every dialect: a count stands at places that only the server writes.

A text that looks like a count is a string, and so never one. Counts in a stream are each the whole until then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from safeguards_extproc.core.account import Usage
from safeguards_extproc.wire.invoke_dialects import METRICS
from safeguards_extproc.wire.leaves import words

PLACES = frozenset(("usage", "usageMetadata", "usage_metadata", METRICS))
"""Members of an answer that hold its counts, Bedrock's own of any dialect among them."""

MOST = 1 << 40
"""A count beyond is no count."""

_INPUT = words(
    "prompt_tokens input_tokens inputTokens promptTokenCount prompt_token_count inputTokenCount inputTextTokenCount"
)
"""What each dialect calls its input: OpenAI, Anthropic, Converse, Gemini, Gemini in Python's names and Llama, Bedrock's
metrics, Titan."""

_OUTPUT = words(
    "completion_tokens output_tokens outputTokens candidatesTokenCount candidates_token_count outputTokenCount "
    "generation_token_count"
)

_MORE_INPUT = words(
    "cache_creation_input_tokens cache_read_input_tokens cacheReadInputTokens cacheWriteInputTokens "
    "cacheReadInputTokenCount cacheWriteInputTokenCount toolUsePromptTokenCount tool_use_prompt_token_count"
)
"""Parts of the input that its count leaves out. (OpenAI's and Gemini's counts hold what was cached.)"""

_MORE_OUTPUT = ("thoughtsTokenCount", "thoughts_token_count")
"""Parts of the output that its count leaves out."""

_ROLES: dict[str, tuple[int, bool]] = {
    **dict.fromkeys(_INPUT, (0, False)),
    **dict.fromkeys(_OUTPUT, (1, False)),
    **dict.fromkeys(_MORE_INPUT, (0, True)),
    **dict.fromkeys(_MORE_OUTPUT, (1, True)),
}
"""By name: whether it counts output, and whether it adds to a count."""

_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count")


def told(body: dict[str, Any]) -> Usage | None:
    """What an answer or a chunk of one, or what stands around its counts, says that it used so far."""
    found = None
    for place in PLACES.intersection(body):
        if isinstance(counts := body[place], dict):
            found = joined(found, _counted(counts))
    return found


def flat(body: dict[str, Any]) -> Usage | None:
    """The same of dialects that write their counts beside the text: Llama and Titan on Bedrock."""
    found = _counted(body)
    results = body.get("results")
    if isinstance(results, list):
        outputs = [result.get("tokenCount") for result in results if isinstance(result, dict)]
        return joined(found, Usage(0, sum(map(_count, outputs)), exact=found is not None))
    output = body.get("totalOutputTextTokenCount")
    return joined(found, Usage(0, _count(output), exact=found is not None)) if output is not None else found


def generated(answers: Iterable[object]) -> Usage | None:
    """What Text Generation Inference says of its answers (`details`). Only with `decoder_input_details` it counts the
    prompt: the count is not exact otherwise."""
    prompt = output = 0
    for answer in answers:
        details = answer.get("details") if isinstance(answer, dict) else None
        if isinstance(details, dict):
            best, prefill = details.get("best_of_sequences"), details.get("prefill")
            prompt += len(prefill) if isinstance(prefill, list) else 0
            output += _count(details.get("generated_tokens"))
            for other in best if isinstance(best, list) else ():
                output += _count(other.get("generated_tokens")) if isinstance(other, dict) else 0
    return Usage(prompt, output, exact=bool(prompt and output)) if prompt or output else None


def joined(one: Usage | None, other: Usage | None) -> Usage | None:
    """What both say: each count is the whole until then."""
    return one.merged(other) if one is not None and other is not None else one or other


def _counted(counts: dict[str, Any]) -> Usage | None:
    told, more, known = [0, 0], [0, 0], False
    for name, value in counts.items():
        role = _ROLES.get(name)
        if role is not None and type(value) is int and 0 <= value < MOST:
            side, adds = role
            if adds:
                more[side] += value
            else:
                told[side], known = max(told[side], value), True
    if known:
        return Usage(told[0] + more[0], told[1] + more[1], exact=True)
    total = max((_count(counts.get(name)) for name in _TOTAL), default=0)
    return Usage(total, exact=True) if total else None


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value < MOST else 0
