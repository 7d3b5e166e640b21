"""What can be measured of a comparison, by name."""

from __future__ import annotations

from dataclasses import replace

from safeguards_extproc.replay.compare import Comparison
from safeguards_extproc.replay.measures import MEASURES
from safeguards_extproc.replay.verdict import MUST_ALLOW, MUST_BLOCK, Pair
from tests.replay.test_compare import verdict


def test_every_measure_of_a_comparison() -> None:
    """Each has a value where there is something to measure, and none where there is not, counts excepted."""
    comparison = Comparison()
    slow = replace(verdict(1, "block", "r1"), latency_ms=20.0)
    comparison.add(Pair(replace(verdict(1), latency_ms=10.0), slow, MUST_ALLOW))
    comparison.add(Pair(verdict(2, "block", "r1"), verdict(2, "block", "r1"), MUST_BLOCK))
    comparison.undecided["why"] = 2
    found = {name: measure(comparison, comparison.total) for name, measure in MEASURES.items()}
    values = {name: round(figure.value, 2) for name, figure in found.items() if figure}
    assert MEASURES.keys() == values.keys()
    assert (2, 0.5, 1.0, 0.5, 1.0, 1.0, 0.0) == tuple(
        values[name]
        for name in (
            "exchanges",
            "changed_share",
            "block_rate",
            "block_rate_change",
            "false_positives",
            "recall_on_must_block",
            "recall_on_must_block_change",
        )
    )
    assert abs(values["p99_ms_change"] - 10) < 0.5
    assert 0.5 == values["undecided_share"]
    assert all(figure.low <= figure.value <= figure.high for figure in found.values() if figure)
    empty = Comparison()
    known = {name for name, measure in MEASURES.items() if measure(empty, empty.total)}
    assert {"exchanges", "newly_blocked", "newly_allowed", "identities_changed"} == known
