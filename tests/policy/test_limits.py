"""Limits are read with all their mistakes told at once, and an exchange is charged by what its request says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.account import Count, Identity, Limit, OnFailure, Shape
from safeguards_extproc.policy.limits import MOST, charges
from tests.policy.written import mistakes, policy

WHO = "identity: {key: [{header: authorization, secret: true}], organisation: [{header: x-org, trusted: true}]}\n"
ASKER = Identity({"key": "key-1", "organisation": "organisation-1", "model": "small"})


def limited(*rows: str) -> str:
    """A policy whose limits are these."""
    return WHO + "limits:\n" + "".join(f"  - {{name: l{i}, {row}}}\n" for i, row in enumerate(rows))


def limit(row: str) -> Limit:
    return policy(limited(row)).limits[0]


def test_a_rate() -> None:
    """Is spread over its time, and lets so many at once as a second allows."""
    read = limit("per: [key], rate: 600/1m, message: Slow down.")
    assert (read.per, read.count, read.shape) == (("key",), Count.REQUESTS, Shape.RATE)
    assert (read.amount, read.period_s, read.burst, read.message) == (600, 60.0, 10, "Slow down.")
    assert read.enforced
    assert read.on_failure is OnFailure.LOCAL


BURSTS = [
    ("per: [], rate: 3/1m", 1),
    ("per: [], rate: 60/1m, burst: 20", 20),
    ("per: [], rate: 90/1m", 2),
    ("per: [], rate: 60/1m, weights: {large: 5}", 5),
    ("per: [], rate: 100000/1m, count: tokens", 100_000),
    ("per: [], rate: 1MiB / 1h, count: bytes", 1 << 20),
]


@pytest.mark.parametrize(("row", "expected"), BURSTS)
def test_what_may_come_at_once(row: str, expected: int) -> None:
    """Without a word on it: a second's worth, but never less than one request may cost."""
    assert expected == limit(row).burst


def test_the_other_shapes() -> None:
    """A budget slides, streams are leases, verdicts cost nothing before there is one."""
    budget = limit("per: [organisation], count: tokens, budget: 1000000/1d")
    assert (budget.shape, budget.amount, budget.period_s, budget.reserve) == (Shape.BUDGET, 1_000_000, 86_400.0, 1024)
    streams = limit("per: [key], count: streams, at_once: 4")
    assert (streams.shape, streams.amount) == (Shape.CONCURRENT, 4)
    verdicts = limit("per: [key], count: verdicts, budget: 5/1h, categories: [harmful]")
    assert (verdicts.verdicts, verdicts.categories) == (frozenset({"block", "stop"}), frozenset({"harmful"}))
    assert limit("per: [], count: bytes, budget: 10MiB/1h").reserve == 16 << 10


def test_shadow() -> None:
    """A limit in shadow refuses nothing, nor does any limit of a policy in shadow."""
    assert not limit("per: [], rate: 1/1s, mode: shadow").enforced
    assert not policy("mode: shadow\n" + limited("per: [], rate: 1/1s")).limits[0].enforced


WRONG = [
    (
        "per: []",
        "limits[0]: has none of rate, budget and at_once, and needs exactly one (write for example rate: 600/1m)",
    ),
    ("per: [], rate: 1/1s, budget: 5/1h", "limits[0]: has rate and budget, and needs exactly one"),
    ("per: [], count: streams, rate: 5/1m", "limits[0].rate: streams are counted while they are under way"),
    ("per: [], at_once: 5", "limits[0].at_once: belongs to count: streams, not to count: requests"),
    ("per: [], count: verdicts, rate: 5/1h", "limits[0].rate: verdicts are counted by a budget only"),
    ("per: [], rate: often", "limits[0].rate: must be an amount, a slash and a time (write for example 600/1m)"),
    ("per: [], rate: 5/1y", "limits[0].rate: must be a time such as 90s, 15m, 24h or 7d"),
    ("per: [], rate: 0/1m", f"limits[0].rate: the amount must be from 1 to {MOST}"),
    ("per: [], rate: 1/400d", "limits[0].rate: the time must be more than nothing and at most 366d"),
    ("per: [], rate: 1/0s", "limits[0].rate: the time must be more than nothing and at most 366d"),
    ("per: [], rate: 1MiB/1m", "limits[0].rate: only bytes have a unit"),
    ("per: [], budget: 5/1h, burst: 2", "limits[0].burst: belongs to a rate"),
    ("per: [], rate: 5/1h, burst: 9", "limits[0].burst: must not be more than the rate's amount"),
    ("per: [], rate: 5/1h, reserve: 9", "limits[0].reserve: belongs to count: tokens or bytes, not to count: requests"),
    ("per: [], rate: 5/1h, verdicts: [block]", "limits[0].verdicts: belongs to count: verdicts"),
    ("per: [], count: tokens, rate: 5/1h, weights: {a: 2}", "limits[0].weights: belongs to count: requests"),
    ("per: [], budget: 5/1h, weights: {a: 9}", "limits[0].weights.a: weighs more than the budget of 5"),
    ("per: [], rate: 5/1h, on_failure: allow, share: 0.5", "limits[0].share: belongs to on_failure: local"),
    ("per: [key, key], rate: 5/1h", "limits[0].per[1]: 'key' stands twice"),
    (
        "per: [end_user], rate: 5/1h",
        "limits[0].per[0]: no exchange names an end_user, so this limits nothing (say where it is found: "
        "identity.end_user)",
    ),
]


@pytest.mark.parametrize(("row", "expected"), WRONG)
def test_a_mistake(row: str, expected: str) -> None:
    """Is told with its place, and how to mend it."""
    (found,) = mistakes(limited(row))
    assert expected in found


def test_names_are_unique() -> None:
    """Counts are kept by the limit's name."""
    row = "per: [], rate: 5/1h"
    (found,) = mistakes(f"limits: [{{name: a, {row}}}, {{name: a, {row}}}]")
    assert "limits[1].name: 'a' stands twice" in found


UNKNOWN = [
    ("limits: [{name: a, per: [], rate: 5/1h, bursts: 2}]", "limits[0].bursts: unknown key (did you mean 'burst'?)"),
    ("identity: {keys: []}", "identity.keys: unknown key (did you mean 'key'?)"),
    ("identity: {key: [{headr: x, value: y}]}", "identity.key[0].headr: unknown key (did you mean 'header'?)"),
    ("identity: {tokens: {jwks: a, issuers: b}}", "identity.tokens.issuers: unknown key (did you mean 'issuer'?)"),
    ("enforcement: {ladders: []}", "enforcement.ladders: unknown key (did you mean 'ladder'?)"),
    (
        "enforcement: {ladder: [{at: 1.0, step: warn, last: 1d}]}",
        "ladder[0].last: unknown key (did you mean 'lasting'?)",
    ),
    ("enforcement: {strikes: [{wight: 1.0}]}", "strikes[0].wight: unknown key (did you mean 'weight'?)"),
    ("campaigns: {detct: []}", "campaigns.detct: unknown key (did you mean 'detect'?)"),
]


@pytest.mark.parametrize(("text", "expected"), UNKNOWN)
def test_a_misspelt_key(text: str, expected: str) -> None:
    """Is told with the key that was meant, in the sections of accounts as anywhere."""
    (found,) = mistakes(text)
    assert expected in found


def test_what_an_exchange_costs() -> None:
    """Requests by their model's weight, tokens and bytes with what the answer may have, verdicts nothing yet."""
    rows = policy(
        limited(
            "per: [key], rate: 60/1m, weights: {small: 3}",
            "per: [key], count: tokens, budget: 100000/1h, reserve: 500",
            "per: [key, model], count: bytes, budget: 10MiB/1h",
            "per: [organisation], count: streams, at_once: 3",
            "per: [], count: verdicts, budget: 5/1h",
        )
    ).limits
    found = charges(rows, ASKER, "small", 40, 0, 900)
    assert [each.cost for each in found] == [3, 540, 900 + (16 << 10), 1, 0]
    assert [each.subject for each in found] == [("key-1",), ("key-1",), ("key-1", "small"), ("organisation-1",), ()]
    assert [each.cost for each in charges(rows, ASKER, "other", 40, 100, 900)][:2] == [1, 140]


def test_who_is_not_known_is_not_counted() -> None:
    """A limit by an identity that the exchange does not name leaves it out; one for all together does not."""
    rows = policy(limited("per: [key], rate: 60/1m", "per: [], rate: 60/1m")).limits
    assert [each.limit.name for each in charges(rows, Identity(), "", 1, 1, 1)] == ["l1"]


@pytest.mark.long
@given(st.sets(st.sampled_from(["key", "organisation", "model"])), st.integers(0, 1 << 60))
def test_every_charge_has_a_whole_subject(known: set[str], size: int) -> None:
    """Whoever asks: one pseudonym for each name in `per`, and a cost that every store can count."""
    rows = policy(limited("per: [key, model], rate: 60/1m", "per: [organisation], count: bytes, budget: 5/1h")).limits
    who = Identity({name: f"{name}-1" for name in known})
    for charge in charges(rows, who, "", 0, 0, size):
        assert charge.subject == tuple(f"{name}-1" for name in charge.limit.per)
        assert 0 <= charge.cost <= MOST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        (WHO, True),
        ("limits: [{name: a, per: [], rate: 5/1h}]", True),
        ("enforcement: {strikes: [{}]}", True),
        ("campaigns: {detect: [{name: c, detect: velocity, threshold: 5.0}]}", True),
    ],
)
def test_who_asks(text: str, expected: bool) -> None:
    """Exchanges ask for their admission where a policy has something to say about accounts, and only there."""
    assert expected == policy(text).admits


def test_only_limits_of_tokens_reserve_them() -> None:
    """What bounds an answer is read for these alone."""
    assert policy(limited("per: [key], count: tokens, budget: 9/1h")).reserves
    assert not policy(limited("per: [key], count: bytes, budget: 9/1h")).reserves


def test_a_model_that_weighs_nothing_is_free() -> None:
    """It is not counted at all, so a limit that others have used up does not stand in its way."""
    rows = policy(limited("per: [key], rate: 60/1m, weights: {tiny: 0}")).limits
    assert charges(rows, ASKER, "tiny", 1, 1, 1) == []
    assert [each.cost for each in charges(rows, ASKER, "other", 1, 1, 1)] == [1]
