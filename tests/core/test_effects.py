"""Effects carry places and sizes in their repr, never what they hold."""

from safeguards_extproc.core.effects import AnswerBody, Classify, Refuse, SendBody
from safeguards_extproc.core.text import Direction, Kind


def test_sizes_show():
    """Enough to follow a conversation in a log."""
    assert repr(SendBody(Direction.REQUEST, b"abc", True)) == "SendBody(request, 3 bytes, end=True)"
    assert repr(AnswerBody(Direction.REQUEST)) == "AnswerBody(request, unchanged)"
    assert repr(Refuse(400, [], b"no", "safeguards_block")) == "Refuse(400, safeguards_block, 2 bytes)"
    assert repr(Classify(3, Kind.USER, ("a", "b"), (), Direction.REQUEST)) == "Classify(3, user, 2 views)"
