"""A small day of the bench: each attack shows within 1,000 queries, and honest traffic does not."""

from __future__ import annotations

import pytest

from bench.campaign_traffic import ATTACKS
from bench.campaigns import QUERIES, SPECS, Seen, day, play
from safeguards_extproc.enforcement.campaigns import near_duplicates, probing, template
from safeguards_extproc.enforcement.sketch import Sketcher

pytestmark = pytest.mark.long

HONEST = 4000


@pytest.fixture(scope="module")
def seen() -> Seen:
    """What came of it."""
    return play(day(5, HONEST))


def test_every_attack_shows(seen: Seen) -> None:
    """Within its first 1,000 queries, by the detector that is for it among others."""
    assert ATTACKS.keys() == seen.alarms.keys()
    assert all(min(each.values()) <= QUERIES for each in seen.alarms.values())
    meant = {"boundary": "search", "best-of-n": "search"}
    assert all(meant.get(attack, attack) in shown for attack, shown in seen.alarms.items())


def test_honest_traffic_does_not(seen: Seen) -> None:
    """No case without an attacker."""
    assert [] == seen.false


def test_without_sketches_templates_hide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: nothing likens texts."""
    monkeypatch.setattr(Sketcher, "sketch", lambda self, text: 0)
    blind = play(day(5, 1000, attacks=("boundary", "template")))
    assert {"search", "template"}.isdisjoint({*blind.alarms.get("boundary", {}), *blind.alarms.get("template", {})})


def test_without_shares_honest_people_are_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: refusals count, and not what was allowed beside them. Thresholds are for a small day."""
    low = {"search": 8.0, "template": 8.0, "probing": 3.0}
    specs = [each.model_copy(update={"threshold": low[each.name]}) for each in SPECS if each.name in low]
    asks = day(5, HONEST, attacks=())
    assert [] == play(asks, specs).false
    for detector in (near_duplicates, probing, template):
        monkeypatch.setattr(detector, "SHARE", 0.0)
    assert play(asks, specs).false
