"""Many accounts with one template, among many people with one question."""

from __future__ import annotations

import pytest

from safeguards_extproc.enforcement.campaigns import template
from safeguards_extproc.policy.account_document import CampaignSpec
from tests.enforcement.campaigns.playing import play, settled, sketch, spec

TEMPLATE = spec("template", 20, window="24h")
POPULAR = [settled(n, user=f"user-{n}", refused=n % 40 == 0, sketch=sketch(5, 6)) for n in range(1200)]
"""A benchmark's question: 1,200 people ask it, 30 of them are refused."""


async def test_a_template_shows() -> None:
    """Half of what 60 accounts send is refused, each in words of its own with one fragment in common."""
    asks = [settled(n, user=f"sock-{n % 60}", refused=n % 2 == 0, sketch=sketch(n + 100, 7)) for n in range(120)]
    told = await play(TEMPLATE, asks)
    assert ("template:1-00000007",) == told[0].keys
    assert 20 == told[0].identities == len(told[0].members)
    assert {f"sock-{n}" for n in range(0, 60, 2)} == {member.pseudonym for each in told for member in each.members}


async def test_a_popular_question_does_not() -> None:
    """Many are refused for it, but hardly any of those who ask it."""
    assert [] == await play(TEMPLATE, POPULAR)


async def test_it_is_the_share_that_spares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: a detector that counts refused people and not the others."""
    monkeypatch.setattr(template, "SHARE", 0.0)
    assert await play(TEMPLATE, POPULAR)


async def test_one_who_repeats_is_one() -> None:
    """Nineteen accounts are not twenty, however often they ask."""
    asks = [settled(n, user=f"sock-{n % 19}", refused=True, sketch=sketch(7)) for n in range(200)]
    assert [] == await play(TEMPLATE, asks)


async def test_counted_by_another_identity() -> None:
    """Accounts of one organisation are one where the policy counts organisations."""
    asks = [settled(n, user=f"sock-{n}", refused=True, sketch=sketch(7)) for n in range(60)]
    by_organisation: CampaignSpec = spec("template", 20, per="organisation")
    assert [] == await play(by_organisation, asks)
    assert await play(TEMPLATE, asks)
