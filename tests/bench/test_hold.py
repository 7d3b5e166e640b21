"""What the window holds an event up for needs no clock: `flush_ms`, and for its last word one event more."""

from __future__ import annotations

import pytest

from bench.hold import percentile, travelled_ms
from bench.processors import MINIMAL
from safeguards_extproc.policy.load import load


@pytest.mark.parametrize("rate", [20, 50, 100])
def test_no_event_is_held_longer_than_the_timer_and_one_event_more(rate: int) -> None:
    """Every event comes through, and none before it was said."""
    policy = load(MINIMAL)
    held = travelled_ms(policy, rate, 100)
    flush_ms = policy.route("POST", "", "/").windowing.flush_ms
    assert 100 == len(held)
    assert 0 <= held[0]
    assert held[-1] <= flush_ms + 1000 / rate + 0.01


def test_a_percentile_is_a_value_that_was_there() -> None:
    """Of a hundred the ninety-ninth."""
    values = [float(number) for number in range(1, 101)]
    assert [50.0, 99.0, 100.0] == [percentile(values, percent) for percent in (50, 99, 100)]
