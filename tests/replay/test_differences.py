"""Two policies side by side: each difference once, with the rules that it concerns."""

from __future__ import annotations

from safeguards_extproc.policy.load import parse
from safeguards_extproc.replay.differences import differences
from tests.replay.decided import POLICY, policy


def lines(*changes: tuple[str, str]) -> list[tuple[str, list[str]]]:
    text = POLICY
    for change in changes:
        assert change[0] in text
        text = text.replace(*change)
    found = differences(policy().document, parse(text, "after.yaml").document)
    return [(each.line, each.rules) for each in found]


def test_a_threshold_concerns_those_who_read_it() -> None:
    """By its name, whole."""
    assert [("thresholds.attack: 0.7 → 0.8", ["attack"])] == lines(("attack: 0.7", "attack: 0.8"))


def test_a_detector_concerns_those_who_read_its_scores() -> None:
    """What changed of it is named by its key."""
    found = lines(("model: s, labels: [attack]", "model: s, labels: [attack, x, y], on_failure: flag"))
    assert [
        ("detectors.s.labels: 1 entries, 0 of them only here → 3 entries, 2 of them only here", ["attack", "both"]),
        ("detectors.s.on_failure: block → flag", ["attack", "both"]),
    ] == found


def test_rules_by_their_names() -> None:
    """Another order is no difference; one that is gone and one that is new are."""
    before = (
        "  - {name: attack, when: scores.s.attack >= thresholds.attack, on: request, then: block, category: attack}\n"
    )
    moved = ("", "")
    assert [] == lines((before, ""), ("  - {name: toxic", before + "  - {name: toxic"), moved)
    found = lines(("name: both", "name: together"))
    assert [["both"], ["together"]] == [rules for _, rules in found]
    assert ("rules.both: removed (scores.t.toxic >= 0.5 && scores.s.attack >= 0.5)") == found[0][0]


def test_what_decides_nothing_is_no_difference() -> None:
    """A name."""
    assert [] == lines(("name: shop", "name: other"))
    assert [("mode: enforce → shadow", [])] == lines(("name: shop", "name: shop\nmode: shadow"))
