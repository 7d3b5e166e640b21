"""The limits of a policy, checked and compiled, and what an exchange costs under each.

Without `burst`, a rate of requests allows at once what it allows in a second, but never less than its heaviest request;
one of tokens or bytes allows all of its amount, since one request alone may cost so much.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from safeguards_extproc.core.account import Charge, Count, Identity, Limit, OnFailure, Shape
from safeguards_extproc.policy.account_document import IdentitySpec, QuotaSpec, seconds
from safeguards_extproc.policy.document import Document
from safeguards_extproc.policy.keys import size
from safeguards_extproc.policy.problems import Problem
from safeguards_extproc.policy.source import Path, Source

RESERVES = {Count.TOKENS: 1024, Count.BYTES: 16 << 10}
"""What is reserved for an answer whose length the request does not bound, if the limit does not say."""

VERDICTS = frozenset({"block", "stop"})
"""Outcomes that a limit on verdicts counts, if it does not say which."""

LONGEST_S = 366 * 86_400.0
"""The longest period of a limit, seconds."""

SHAPES = {"rate": Shape.RATE, "budget": Shape.BUDGET, "at_once": Shape.CONCURRENT}

MOST = 1 << 48
"""The largest amount: sums of it are exact in the numbers of every store."""

_QUOTA = re.compile(r"\s*([0-9]{1,15}(?:\s*[kKMG]i?B)?)\s*/\s*(\S+)\s*")


def limits(document: Document, source: Source, problems: list[Problem]) -> tuple[Limit, ...]:
    """Every limit that could be read, in the order of the file. Mistakes are added to `problems`."""
    found = []
    for index, spec in enumerate(document.limits):
        path: Path = ("limits", index)
        problems += _wrong(spec, path, source, document.identity)
        limit = _limit(spec, path, source, problems, enforced=document.mode == "enforce")
        if limit is not None:
            found.append(limit)
    return tuple(found)


def charges(
    limits: Sequence[Limit], identity: Identity, model: str, prompt_tokens: int, max_tokens: int, bytes: int
) -> list[Charge]:
    """What an exchange costs under each limit that counts it, in order.

    A limit by an identity that the exchange does not have does not count it. `max_tokens` is what the request allows
    its answer, 0 where it says nothing. A model of weight 0 is free. A limit on verdicts costs nothing before there is
    one.
    """
    names = {**identity.names, "model": model} if model else identity.names
    found = []
    for limit in limits:
        if not all(name in names for name in limit.per):
            continue
        match limit.count:
            case Count.REQUESTS:
                cost = limit.weights.get(model, 1)
                if not cost:  # a charge of nothing would be refused all the same once others have used the limit up
                    continue
            case Count.TOKENS:
                cost = prompt_tokens + (max_tokens or limit.reserve)
            case Count.BYTES:
                cost = bytes + limit.reserve
            case Count.STREAMS:
                cost = 1
            case Count.VERDICTS:
                cost = 0
        found.append(Charge(limit, tuple(names[name] for name in limit.per), min(cost, MOST)))
    return found


def _limit(spec: QuotaSpec, path: Path, source: Source, problems: list[Problem], *, enforced: bool) -> Limit | None:
    given = [key for key in SHAPES if getattr(spec, key) is not None]
    if len(given) != 1:
        return None
    (key,), count = given, Count(spec.count)
    amount, period_s = spec.at_once or 0, 1.0
    if key != "at_once":
        read = _quota(getattr(spec, key), in_bytes=count is Count.BYTES)
        if isinstance(read, str):
            hint = "write for example 10MiB/1h" if count is Count.BYTES else "write for example 600/1m"
            problems.append(source.problem((*path, key), read, hint))
            return None
        amount, period_s = read
    burst = _burst(spec, count, amount, period_s) if key == "rate" else 0
    if key == "rate" and burst > amount and spec.burst is not None:
        problems.append(source.problem((*path, "burst"), "must not be more than the rate's amount"))
    if key != "at_once" and count is Count.REQUESTS:
        fits, what = (burst, "burst") if key == "rate" else (amount, "budget")
        for model, weight in spec.weights.items():
            if weight > fits:
                why = f"weighs more than the {what} of {fits}, so it would never be admitted"
                problems.append(source.problem((*path, "weights", model), why))
    return Limit(
        name=spec.name,
        per=tuple(spec.per),
        count=count,
        shape=SHAPES[key],
        amount=amount,
        period_s=period_s,
        burst=burst,
        enforced=enforced and spec.mode == "enforce",
        near=spec.near,
        reserve=RESERVES.get(count, 0) if spec.reserve is None else spec.reserve,
        verdicts=frozenset(spec.verdicts) or (VERDICTS if count is Count.VERDICTS else frozenset()),
        categories=frozenset(spec.categories),
        weights=spec.weights,
        on_failure=OnFailure(spec.on_failure),
        share=spec.share,
        message=spec.message or "",
    )


def _burst(spec: QuotaSpec, count: Count, amount: int, period_s: float) -> int:
    if spec.burst is not None:
        return spec.burst
    if count is not Count.REQUESTS:
        return amount
    return min(amount, max(1, math.ceil(amount / period_s), *spec.weights.values(), 1))


def _quota(text: str, *, in_bytes: bool) -> tuple[int, float] | str:
    """Amount and seconds of "600/1m", or what is wrong with it."""
    match = _QUOTA.fullmatch(text)
    if match is None:
        return "must be an amount, a slash and a time"
    if not in_bytes and not match[1].isdecimal():
        return "only bytes have a unit"
    try:
        amount, period = size(match[1]), seconds(match[2])
    except ValueError as error:
        return str(error)
    if not isinstance(amount, int) or not isinstance(period, float):
        raise AssertionError("an amount and a time were read from strings")
    if not 1 <= amount <= MOST:
        return f"the amount must be from 1 to {MOST}"
    if not 0 < period <= LONGEST_S:
        return "the time must be more than nothing and at most 366d"
    return amount, period


def _wrong(spec: QuotaSpec, path: Path, source: Source, identity: IdentitySpec) -> Iterator[Problem]:
    given = [key for key in SHAPES if getattr(spec, key) is not None]
    count = spec.count
    if len(given) != 1:
        said = f"has {' and '.join(given)}" if given else "has none of rate, budget and at_once"
        usual = "at_once: 8" if count == "streams" else "budget: 5/1h" if count == "verdicts" else "rate: 600/1m"
        yield source.problem(path, f"{said}, and needs exactly one", f"write for example {usual}")
    elif count == "streams" and given != ["at_once"]:
        yield source.problem((*path, given[0]), "streams are counted while they are under way", "write at_once: 8")
    elif count != "streams" and given == ["at_once"]:
        yield source.problem((*path, "at_once"), f"belongs to count: streams, not to count: {count}")
    elif count == "verdicts" and given != ["budget"]:
        yield source.problem((*path, given[0]), "verdicts are counted by a budget only", "write budget: 5/1h")
    for key, counts in (
        ("weights", ("requests",)),
        ("reserve", ("tokens", "bytes")),
        ("verdicts", ("verdicts",)),
        ("categories", ("verdicts",)),
    ):
        if key in spec.model_fields_set and count not in counts:
            yield source.problem((*path, key), f"belongs to count: {' or '.join(counts)}, not to count: {count}")
    if spec.burst is not None and given != ["rate"]:
        yield source.problem((*path, "burst"), "belongs to a rate")
    if "share" in spec.model_fields_set and spec.on_failure != "local":
        yield source.problem((*path, "share"), f"belongs to on_failure: local, not to on_failure: {spec.on_failure}")
    for index, name in enumerate(spec.per):
        if name in spec.per[:index]:
            yield source.problem((*path, "per", index), f"{name!r} stands twice")
        elif name != "model" and not getattr(identity, name):
            hint = f"say where it is found: identity.{name}"
            yield source.problem((*path, "per", index), f"no exchange names {_a(name)}, so this limits nothing", hint)


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
