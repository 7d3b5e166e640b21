"""The keys of a policy that let traffic be captured."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated

from pydantic import Field, model_validator

from safeguards_extproc.policy.account_document import Seconds
from safeguards_extproc.policy.keys import Bytes, Name, Score, Strict
from safeguards_extproc.policy.problems import Problem, suggest
from safeguards_extproc.policy.source import Source


class CaptureSpec(Strict):
    """Which exchanges may be captured, text and all, where the filter is started with `--capture`.

    `tenants` are the pseudonyms of those whose contract allows it, or "*" where everybody's does: nobody is captured
    who is not named. Of theirs, on `routes` (all if none is named), a `share` is taken by chance, and every exchange in
    which one of `rules` took part, in shadow too. A capture expires after `keep`; an exchange of more than
    `exchange_bytes` is left out.
    """

    tenants: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(min_length=1)]
    routes: list[Name] = []
    share: Score = 0.0
    rules: list[Name] = []
    keep: Annotated[Seconds, Field(le=366 * 86_400)] = 7 * 86_400.0
    exchange_bytes: Bytes = 4 << 20

    @model_validator(mode="after")
    def _something(self) -> CaptureSpec:
        if not self.share and not self.rules:
            raise ValueError("takes nothing: give share, rules or both")
        return self


def check(
    spec: CaptureSpec | None, rules: Collection[str], routes: Collection[str], source: Source
) -> Iterator[Problem]:
    """Names that the policy does not have."""
    for key, known in (("rules", rules), ("routes", routes)):
        for index, name in enumerate(getattr(spec, key, ())):
            if name not in known:
                yield source.problem(("capture", key, index), f"there is no {name!r}", suggest(name, list(known)))
