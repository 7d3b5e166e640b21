"""Where identities stand, in memory: the most severe counts, what is known stays until something newer is said."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.account import IN_GOOD_STANDING, STEPS, Standing, Step
from safeguards_extproc.enforcement.snapshot import Snapshot, decode, encode, good

STANDINGS = st.builds(
    Standing,
    step=st.sampled_from(Step),
    rule=st.text(max_size=5),
    until=st.sampled_from([0.0, 50.0, 150.0, 1e9]),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    models=st.frozensets(st.sampled_from("ab*")),
    tools=st.booleans(),
    flags=st.frozensets(st.sampled_from(["farm", "probing"])),
    revision=st.integers(0, 1 << 50),
)


def test_nobody_known_is_in_good_standing():
    """Whoever the ledger has nothing about may go on."""
    assert Snapshot().of(["a", "b"]) is IN_GOOD_STANDING


@pytest.mark.long
@given(st.lists(STANDINGS, min_size=1, max_size=4))
def test_the_most_severe_of_an_exchange_counts_with_what_is_taken_from_any(standings):
    """A throttled key whose user is restricted is both; flags of all are seen by rules."""
    snapshot = Snapshot(clock=lambda: 100.0)
    names = [str(place) for place in range(len(standings))]
    snapshot.put(zip(names, standings, strict=True))
    found = snapshot.of(names)
    live = [one for one in standings if not one.until or one.until > 100.0]

    assert STEPS[found.step] == max((STEPS[one.step] for one in live), default=0)
    for one in (one for one in live if not good(one)):
        assert found.share <= one.share
        assert found.models >= one.models
        assert found.tools >= one.tools
    assert found.flags == frozenset().union(*(one.flags for one in standings))


def test_a_step_ends_on_time_though_nobody_says_so():
    """A keeper that is away makes no suspension longer."""
    now = [100.0]
    snapshot = Snapshot(clock=lambda: now[0])
    snapshot.put([("a", Standing(Step.SUSPENDED, until=160.0, flags=frozenset({"farm"}), revision=1))])
    before, now[0] = snapshot.of(["a"]), 160.0

    assert before.step is Step.SUSPENDED
    assert snapshot.of(["a"]) == Standing(flags=frozenset({"farm"}), revision=1)


def test_what_is_older_than_what_is_known_is_passed_over():
    """Two ways lead here, and one of them may be slow."""
    snapshot = Snapshot()
    snapshot.put([("a", Standing(Step.BANNED, revision=7))])
    snapshot.put([("a", Standing(Step.WARNED, revision=6))])

    assert snapshot.of(["a"]).step is Step.BANNED


def test_who_is_in_good_standing_again_is_not_held():
    """Memory is for those who are not."""
    snapshot = Snapshot()
    snapshot.put([("a", Standing(Step.WARNED, revision=1)), ("b", Standing(flags=frozenset({"farm"}), revision=2))])
    snapshot.put([("a", Standing(revision=3))])

    assert list(snapshot.held) == ["b"]


def test_a_reload_is_all_there_is():
    """Whoever is not in it was reinstated while nobody listened."""
    snapshot = Snapshot()
    snapshot.put([("a", Standing(Step.BANNED, revision=7))])
    snapshot.reload({"b": Standing(Step.WARNED, revision=2), "c": Standing(revision=3)})

    assert snapshot.held == {"b": Standing(Step.WARNED, revision=2)}


@given(STANDINGS)
def test_a_standing_travels_as_json(standing):
    """And comes back the same."""
    assert decode(encode(standing)) == standing


@pytest.mark.parametrize("raw", [b"", b"{", b'{"step":"exiled"}', b"[]"])
def test_what_is_no_standing_is_not_read(raw):
    """A newer version may know steps that this one does not."""
    assert decode(raw) is None


def test_the_law_bites():
    """A snapshot that took the last standing of several would be found out."""
    worst, mild = Standing(Step.BANNED, revision=1), Standing(Step.WARNED, revision=2)
    snapshot = Snapshot()
    snapshot.put([("a", worst), ("b", mild)])

    assert snapshot.of(["a", "b"]) == replace(worst) != mild
