"""The arithmetic of limits, against fractions and by hand; the laws of whole stores are in tests/contract."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.account import Count, Limit, Shape
from safeguards_extproc.enforcement import meters
from safeguards_extproc.enforcement.meters import Meter, gauge

START = 1_800_000_000_000_000


def rate(amount: int, period_s: float, burst: int) -> Limit:
    return Limit("rate", (), Count.REQUESTS, Shape.RATE, amount, period_s, burst)


def budget(amount: int, period_s: float = 64.0) -> Limit:
    return Limit("budget", (), Count.REQUESTS, Shape.BUDGET, amount, period_s)


@given(
    st.integers(1, 10**6),
    st.sampled_from([1.0, 7.0, 60.0]),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(1, 12)), max_size=30),
)
def test_a_rate_is_the_generic_cell_rate_algorithm(
    amount: int, period_s: float, burst: int, asks: list[tuple[int, int]]
) -> None:
    """As ITU-T I.371 defines it, in fractions, where no two charges share a slot."""
    scale, meter, now = gauge(rate(amount, period_s, burst)), Meter(), START
    increment, arrival = Fraction(round(period_s * 1e6), amount), Fraction(0)
    for gap, cost in asks:
        now += gap + scale.width
        expected = max(arrival, Fraction(now)) + cost * increment
        allowed = expected <= now + burst * increment
        reading = meters.read(scale, meter, cost, now)
        assert allowed == reading.allowed
        if cost <= burst:
            assert max(Fraction(0), expected - now - burst * increment) <= reading.room_us
        if allowed:
            arrival = expected
            meters.take(scale, meter, cost, now)


@given(st.integers(1, 1 << 40), st.floats(0.001, 10 * 366 * 86_400), st.integers(1, 1 << 40), st.floats(1e-6, 1.0))
def test_numbers_stay_below_what_doubles_tell_apart(amount: int, period_s: float, burst: int, share: float) -> None:
    """Any limit that a policy can hold; and it is never looser than written."""
    limit = rate(amount, period_s, burst)
    scale = gauge(limit, share)
    assert 1 <= scale.most <= burst
    assert scale.most * scale.unit <= meters.MOST
    assert min(scale.drain, scale.unit, scale.width) >= 1
    assert Fraction(scale.drain, scale.unit) <= Fraction(amount, max(1, round(period_s * 1e6)))
    assert gauge(limit).width == scale.width


def test_ordinary_limits_are_exact() -> None:
    """600 a minute, 7 a second, a thousand million bytes a month."""
    for amount, period_s, burst in ((600, 60.0, 20), (7, 1.0, 7), (10**9, 2_592_000.0, 10**6)):
        scale = gauge(rate(amount, period_s, burst))
        assert Fraction(scale.drain, scale.unit) == Fraction(amount, round(period_s * 1e6))


def test_a_burst_comes_at_once_and_then_one_by_one() -> None:
    """Seven of seven a second; the eighth after the time of one, rounded up to a microsecond."""
    scale, meter = gauge(rate(7, 1.0, 7)), Meter()
    for _ in range(7):
        assert meters.read(scale, meter, 1, START).allowed
        meters.take(scale, meter, 1, START)
    refused = meters.read(scale, meter, 1, START)
    assert (False, 142_858) == (refused.allowed, refused.room_us)
    assert not meters.read(scale, meter, 1, START + 142_857).allowed
    assert meters.read(scale, meter, 1, START + 142_858).allowed


def test_what_never_fits_is_told_to_wait_for_a_whole_burst() -> None:
    """So nobody hurries back in vain."""
    assert 2_000_000 == meters.read(gauge(rate(10, 1.0, 20)), Meter(), 21, START).room_us
    assert 64_000_000 == meters.read(gauge(budget(10)), Meter(), 11, START).room_us


def test_a_budget_is_at_most_a_slot_tighter_than_it_says() -> None:
    """What was charged counts for a period, and until its 64th part ends."""
    scale, meter = gauge(budget(10)), Meter()
    meters.take(scale, meter, 10, START + 250_000)
    for later, allowed in ((63_999_999, False), (64_749_999, False), (64_750_000, True)):
        assert allowed == meters.read(scale, meter, 1, START + 250_000 + later).allowed


def test_a_reservation_that_drains_no_more_than_it_took_is_given_back() -> None:
    """Two charges, five seconds apart; the first is taken back: what drained meanwhile is not given twice."""
    scale, meter = gauge(rate(1, 1.0, 10)), Meter()
    meters.take(scale, meter, 10, START)
    meters.take(scale, meter, 5, START + 5_000_000)
    meters.correct(scale, meter, START, -10)
    assert 5 * scale.unit == meters.read(scale, meter, 1, START + 5_000_000).level


def test_a_charge_that_is_gone_gives_nothing_back_but_takes_more() -> None:
    """Slots older than a burst's time are folded into the queue, or have left the period."""
    scale, meter = gauge(rate(1, 1.0, 10)), Meter()
    meters.take(scale, meter, 10, START)
    meters.take(scale, meter, 1, START + 20_000_000)
    meters.correct(scale, meter, START, -10)
    assert scale.unit == meters.read(scale, meter, 0, START + 20_000_000).level
    meters.correct(scale, meter, START, 100)
    assert not meters.read(scale, meter, 0, START + 20_000_000).allowed


def test_a_clock_that_went_back_holds_nobody_up() -> None:
    """Another server took over, an hour behind: the queue drains and the budget leaves as from there on."""
    hour = 3_600_000_000
    for limit, later in ((rate(10, 1.0, 10), 1_000_000), (budget(10), 65_000_000)):
        scale, meter = gauge(limit), Meter()
        meters.take(scale, meter, 10, START)
        assert not meters.read(scale, meter, 1, START - hour).allowed
        meters.take(scale, meter, 0, START - hour)
        assert meters.read(scale, meter, 10, START - hour + later).allowed


def test_another_share_keeps_what_was_counted() -> None:
    """A throttled rate counts what was taken before, in units."""
    limit, meter = rate(100, 10.0, 100), Meter()
    meters.take(gauge(limit), meter, 60, START)
    throttled = meters.read(gauge(limit, 0.5), meter, 1, START)
    assert (False, 60 * gauge(limit, 0.5).unit) == (throttled.allowed, throttled.level)


def test_slots_are_bounded() -> None:
    """However many charges come, a meter has a slot for each 64th part, and the two that are cut."""
    for limit in (rate(10**6, 1.0, 1000), budget(10**6, 0.001), rate(10**6, 1.0, 10)):
        scale, meter = gauge(limit), Meter()
        for step in range(3000):
            meters.take(scale, meter, 1, START + step)
        assert len(meter.slots) <= meters.SLOTS + 2


def test_a_meter_matters_for_as_long_as_it_counts() -> None:
    """A burst's time twice, and the time of what is above it; a period and two slots."""
    assert 4_000_000 == meters.lifetime_us(gauge(rate(10, 1.0, 20)))
    assert 14_000_000 == meters.lifetime_us(gauge(rate(10, 1.0, 20)), 100)
    assert 66_000_000 == meters.lifetime_us(gauge(budget(10)))
