"""User text shows in no repr (law 9)."""

import pytest

from safeguards_extproc.core.effects import AnswerBody, Classify, Refuse, SendBody
from safeguards_extproc.core.events import Body, Headers
from safeguards_extproc.core.text import Answer, Direction, Document, Edit, Kind, Segment

CANARY = "canary-7f3a"


@pytest.mark.parametrize(
    "value",
    [
        Segment((Kind.USER, "0"), CANARY, ("messages", 0)),
        Document([Segment((Kind.USER, "0"), CANARY, ())]),
        Headers(Direction.REQUEST, {"authorization": CANARY}, False),
        Body(Direction.REQUEST, CANARY.encode(), False),
        SendBody(Direction.REQUEST, CANARY.encode(), False),
        AnswerBody(Direction.REQUEST, CANARY.encode()),
        Refuse(400, [("x", "y")], CANARY.encode(), "safeguards_block"),
        Classify(1, Kind.USER, (CANARY,), (), Direction.REQUEST),
        Answer(400, [], CANARY.encode()),
        Edit((), 0, 1, CANARY),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_repr_shows_text(value):
    """Lengths and places only."""
    assert CANARY not in repr(value)
