"""The table of what an action means."""

from safeguards_extproc.core.actions import ACTIONS, Deed, Point, possible
from safeguards_extproc.core.decision import TERMINAL, Action


def test_every_action_means_something_somewhere():
    """No action is without a row."""
    assert all(possible(action) for action in Action)


def test_what_edits_a_request_has_no_meaning_later():
    """Steering and rerouting are possible before the model is asked only."""
    assert possible(Action.STEER) == possible(Action.REROUTE) == [Point.PROMPT]


def test_who_asks_is_refused_before_the_model_is_asked():
    """Throttling and suspending are no judgement of an answer: nothing has left, and nothing has been asked."""
    assert possible(Action.THROTTLE) == possible(Action.SUSPEND) == [Point.PROMPT]


def test_a_response_under_way_is_never_refused():
    """Once bytes have left, a no is said in the stream."""
    ends = {action for (action, point), deed in ACTIONS.items() if point is Point.OPEN and deed is Deed.END}

    assert ends == {action for action in TERMINAL if Point.OPEN in possible(action)}
    assert Deed.REFUSE not in {deed for (_, point), deed in ACTIONS.items() if point is Point.OPEN}
