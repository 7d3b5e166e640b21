"""One run of a script on Redis, whose failure is raised."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from safeguards_extproc.adapters.redis_link import Call, RedisLink, Script
from safeguards_extproc.errors import StoreError


def script(text: str) -> Script:
    """A script by its text."""
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


async def ask(link: RedisLink, what: Script, keys: Sequence[str], args: Sequence[str | int]) -> Any:
    """The script's answer. Raises StoreError; then the script may have run."""
    (answer,) = await link.run(what, [Call(keys, args)])
    if isinstance(answer, StoreError):
        raise answer
    return answer
