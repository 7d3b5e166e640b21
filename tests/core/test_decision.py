"""Facts grow to the maximum; severity is the order of the actions."""

from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.decision import SEVERITY, TERMINAL, Action, Facts
from safeguards_extproc.core.text import Direction, Kind

SCORES = st.dictionaries(st.sampled_from(["screen.attack", "screen.hate"]), st.floats(0, 1))


@given(st.lists(SCORES, max_size=5), st.randoms(use_true_random=False))
def test_facts_do_not_depend_on_the_order_of_windows(windows, random):
    """The maximum counts, whichever window had it."""
    ordered, shuffled = Facts(Direction.REQUEST), Facts(Direction.REQUEST)
    for scores in windows:
        ordered.absorb(Kind.USER, scores)
    random.shuffle(windows)
    for scores in windows:
        shuffled.absorb(Kind.USER, scores)

    assert ordered.scores == shuffled.scores


def test_a_score_of_nothing_is_not_a_missing_score():
    """0.0 says that a detector ran and found nothing."""
    facts = Facts(Direction.REQUEST)
    facts.absorb(Kind.USER, {"screen.attack": 0.0})

    assert facts.scores == {Kind.USER: {"screen.attack": 0.0}}


def test_what_ends_an_exchange_is_most_severe():
    """Nothing softer outranks a no, and "later" is softer than "no": who is told to wait would only ask again."""
    assert max(SEVERITY, key=SEVERITY.__getitem__) is Action.SUSPEND
    assert SEVERITY[Action.THROTTLE] < SEVERITY[Action.BLOCK]
    assert {SEVERITY[action] for action in TERMINAL} == set(range(len(SEVERITY) - len(TERMINAL), len(SEVERITY)))
