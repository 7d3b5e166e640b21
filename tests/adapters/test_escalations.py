"""A share of windows holds for every stretch of them, and what became of each is told."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.adapters.escalations import BURST, RECENT, Escalations
from safeguards_extproc.core.decision import Escalation, Model


def guard(at_most: float) -> Model:
    return Model("guard", "guard", 100, escalation=Escalation(at_most=at_most))


class Told:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.results: Counter[str] = Counter()
        self.share = 0.0

    def escalation(self, detector: str, result: str, share: float) -> None:
        assert detector == "guard"
        self.results[result] += 1
        self.share = share


def admitted(model: Model, due: list[bool], it: Escalations) -> list[bool]:
    """Which of the windows it was asked about."""
    asked = []
    for wanted in due:
        if not wanted:
            it.spared([model])
        asked.append(wanted and it.admits(model))
    return asked


def law_of_shares(make: type[Escalations]) -> None:
    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from([0.05, 0.2, 0.5, 1.0]), st.lists(st.tuples(st.booleans(), st.integers(1, 200)), max_size=8))
    def law(at_most: float, runs: list[tuple[bool, int]]) -> None:
        due = [wanted for wanted, count in runs for _ in range(count)]
        asked = admitted(guard(at_most), due, make())
        sums = [0]
        for one in asked:
            sums.append(sums[-1] + one)
        # Of any stretch of windows no more than the share and the burst: a low mark that follows the sums.
        low = 0.0
        for count, total in enumerate(sums):
            low = min(low, total - at_most * count)
            assert total - at_most * count - low <= BURST + 1e-6

    law()


def test_no_stretch_of_windows_has_more_than_its_share() -> None:
    """Whenever it begins and however long it is, and whichever windows are due."""
    law_of_shares(Escalations)


@pytest.mark.long
def test_a_share_that_saves_up_is_caught() -> None:
    """Planted fault: quiet times are saved without end."""

    class Saving(Escalations):
        def spared(self, models: object) -> None:
            for account in self._accounts.values():
                account.tokens += 1

    with pytest.raises(AssertionError):
        law_of_shares(Saving)


def test_what_is_within_its_share_is_never_refused() -> None:
    """One window in five, of one in five."""
    assert all(admitted(guard(0.2), [True] * 2000, Escalations())[:: BURST * 5][:1])
    due = [number % 5 == 0 for number in range(2000)]
    assert due == admitted(guard(0.2), due, Escalations())


def test_without_a_share_or_a_condition_every_window_is_asked() -> None:
    """And a model that is always asked is not counted."""
    told = Told()
    it = Escalations(told)
    assert all(admitted(guard(1.0), [True] * 500, it))
    assert told.results == {"asked": 500}
    assert all(it.admits(Model("screen", "screen", 100)) for _ in range(500))
    it.spared([Model("screen", "screen", 100)])
    assert told.results == {"asked": 500}


def test_what_became_of_each_window_is_told() -> None:
    """Asked, not due, or refused for the share; and the share of those lately."""
    told = Told()
    it = Escalations(told)
    admitted(guard(0.1), [True] * (BURST + 10) + [False] * 26, it)
    assert (BURST + 10, 26) == (told.results["asked"] + told.results["budget"], told.results["not-due"])
    assert told.share == pytest.approx(told.results["asked"] / 100)
    admitted(guard(0.1), [False] * 20 * RECENT, it)
    assert told.share < 1e-6


def test_a_new_policy_may_change_the_share() -> None:
    """The account goes on under the new one."""
    it = Escalations()
    assert not all(admitted(guard(0.1), [True] * 200, it))
    assert all(admitted(guard(1.0), [True] * 200, it))
