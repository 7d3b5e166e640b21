"""Events carry places and sizes in their repr, never what they hold."""

from safeguards_extproc.core.events import Body, Headers
from safeguards_extproc.core.text import Direction


def test_sizes_show():
    """Enough to follow a conversation in a log."""
    assert repr(Body(Direction.REQUEST, b"abc", True)) == "Body(request, 3 bytes, end=True)"
    assert repr(Headers(Direction.RESPONSE, {"a": "b"}, False)) == "Headers(response, 1 fields, end=False)"
