"""What a request says beside its text: the values at places that the policy names, and how long its answer may be.

A value is picked only where one reading of the body is possible (strict_json), so that no two parsers see two users.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from safeguards_extproc.core.text import MAX_TOKENS, Path
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import json_paths
from safeguards_extproc.wire.strict_json import loads

LONGEST = 512
"""Characters of a value that stands for itself."""

DIGEST = "sha256:"
"""What a longer value begins with: it stands as its digest, for values cut short could be the same."""

MOST = 1 << 31
"""The most tokens that a request can ask for: what it says beyond is as good as this."""

_OPENAI: tuple[Path, ...] = (("max_completion_tokens",), ("max_tokens",), ("max_output_tokens",))
_GOOGLE: tuple[Path, ...] = tuple(
    (config, most)
    for config in ("generationConfig", "generation_config")
    for most in ("maxOutputTokens", "max_output_tokens")
)
_CONVERSE: tuple[Path, ...] = (("inferenceConfig", "maxTokens"), ("inferenceConfig", "max_new_tokens"))
_INVOKED: tuple[Path, ...] = (
    ("max_tokens",),
    ("max_tokens_to_sample",),
    ("max_gen_len",),
    ("maxTokens",),
    ("textGenerationConfig", "maxTokenCount"),
)
_SERVED: tuple[Path, ...] = (("parameters", "max_new_tokens"), ("parameters", "max_tokens"))

BOUNDS: dict[str, tuple[Path, ...]] = {
    "anthropic_messages": (("max_tokens",),),
    "bedrock_converse": _CONVERSE,
    "bedrock_invoke": (*_INVOKED, *_CONVERSE),
    "gemini": _GOOGLE,
    "kserve_v2": (("max_tokens",), *_SERVED),
    "openai_chat": _OPENAI,
    "openai_completions": _OPENAI,
    "openai_responses": _OPENAI,
    "tgi": _SERVED,
}
"""Where each format bounds the tokens of an answer. What another API calls its bound says nothing here: a client could
write it to seem cheap. Any format that is not named may use any of these names."""

_ANY = tuple(dict.fromkeys(path for paths in BOUNDS.values() for path in paths))

TIMES: tuple[Path, ...] = (
    ("n",),
    ("best_of",),
    ("num_generations",),
    ("generationConfig", "candidateCount"),
    ("generation_config", "candidate_count"),
    ("parameters", "best_of"),
)
"""How many answers are generated: the largest counts."""


def pick(body: bytes, paths: Sequence[str], format: str = "") -> dict[str, str]:
    """See core.text.Wire."""
    wanted = _compiled(tuple(paths))
    if b"\\u" not in body and not _named(tuple(paths), format)(body):
        return {}
    try:
        value = loads(body)
    except MalformedBody:
        return {}
    found = {path: said for path, steps in wanted if (said := told(json_paths.find(value, steps)))}
    if MAX_TOKENS in paths and (most := max_tokens(value, format)):
        found[MAX_TOKENS] = str(most)
    return found


def max_tokens(body: Any, format: str = "") -> int:
    """The most tokens that a request's answers may have together, 0 if it does not say."""
    most = max(map(_count, _values(body, BOUNDS.get(format, _ANY))), default=0)
    times = max(map(_count, _values(body, TIMES)), default=0)
    return min(most * max(times, 1), MOST)


def _values(body: Any, paths: Iterable[Path]) -> Iterable[object]:
    return (json_paths.find(body, path) for path in paths)


def _count(value: object) -> int:
    # JSON knows one kind of number, and some clients write 100.0.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return min(value, MOST) if type(value) is int and value > 0 else 0


def told(value: object) -> str:
    """A scalar of a body as it is told (see `pick`), "" for anything else."""
    match value:
        case str():
            if len(value) <= LONGEST and not value.startswith(DIGEST):
                return value
            return DIGEST + hashlib.sha256(value.encode()).hexdigest()
        case bool() | int() | float():
            return told(json.dumps(value))
    return ""


@lru_cache(maxsize=64)
def _compiled(paths: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    """The paths that name one place each; a policy with others does not load."""
    parsed = ((path, json_paths.singular(json_paths.parse(path, "$"))) for path in paths if path != MAX_TOKENS)
    return tuple((path, steps) for path, steps in parsed if steps)


@lru_cache(maxsize=256)
def _named(paths: tuple[str, ...], format: str) -> Callable[[bytes], object]:
    """Whether a body has a member by one of the names that lead to something, if no name in it is escaped."""
    places = [steps for _, steps in _compiled(paths)]
    if MAX_TOKENS in paths:
        places += BOUNDS.get(format, _ANY)
    last = [next((step for step in reversed(steps) if isinstance(step, str)), None) for steps in places]
    if not all(last):
        return bool
    names = b"|".join(re.escape(json.dumps(name, ensure_ascii=False).encode()) for name in last)
    return re.compile(b"(?:" + names + rb")[ \t\n\r]*:").search
