"""Reading records back, and noticing what is not there."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.records.encode import to_json
from safeguards_extproc.records.read import Reader, gaps
from tests.records.samples import record


def test_torn_lines_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    """What a killed process left behind costs no other record."""
    first, second = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    first.write_bytes(to_json(record(0)) + b"\n" + to_json(record(1))[:40] + b"\n\n" + to_json(record(2)) + b"\n")
    second.write_bytes(to_json(record(3)) + b"\n" + to_json(record(4))[:-1])
    reader = Reader([first, second])
    assert [read.sequence for read in reader] == [0, 2, 3]
    assert reader.skipped == 2


@given(st.sets(st.integers(1, 60), min_size=1))
def test_missing_numbers_are_named(kept: set[int]) -> None:
    """The ranges hold exactly the numbers below the highest that no record has."""
    missing = gaps(record(number) for number in kept)
    expected = set(range(1, max(kept))) - kept
    assert expected == {number for part in missing.get(("worker", ""), []) for number in part}


def test_each_producer_counts_for_itself() -> None:
    """Two processes, or two lives of one, do not fill each other's gaps."""
    kept = [record(1, "a"), record(2, "a"), record(1, "b"), record(3, "b"), record(1, "b", "later")]
    assert gaps(kept) == {("b", ""): [range(2, 3)]}
