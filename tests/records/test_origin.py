"""Where records come from."""

from __future__ import annotations

from safeguards_extproc.core.record import Record
from safeguards_extproc.records.origin import Origin, epoch


def test_two_lives_have_two_epochs_that_sort_by_time() -> None:
    """A restarted process begins a sequence of its own; even two that start in the same millisecond do."""
    epochs = [epoch() for _ in range(1000)]
    assert 1000 == len(set(epochs))
    begins = [each[:11] for each in epochs]
    assert begins == sorted(begins)


def test_a_record_says_where_it_comes_from() -> None:
    """Region, producer and epoch."""
    record = Record("1")
    Origin("eu-1", "filter-0", "e").stamp(record)
    assert ("eu-1", "filter-0", "e") == (record.region, record.producer, record.epoch)
