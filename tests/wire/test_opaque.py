"""What nobody claims is not read, and says so."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.core.text import Edit, Reading, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire.opaque import UNREAD, Opaque


def test_nothing_is_read_and_that_is_said() -> None:
    """A document without text is not one that passed."""
    for document in (Opaque().read_request(b"\xff"), Opaque().read_response(b"\xff", 200)):
        assert document.segments == []
        assert document.unread == UNREAD


def test_nothing_can_be_edited() -> None:
    """There is no place to put an edit or an instruction."""
    reader = Opaque().stream()
    assert Opaque().edit(b"x", []) == reader.edit(b"x", []) == b"x"
    edit = Edit(("a",), 0, 0, "")
    with pytest.raises(MalformedBody, match="shape"):
        Opaque().edit(b"x", [edit])
    with pytest.raises(MalformedBody, match="shape"):
        reader.edit(b"x", [edit])
    with pytest.raises(MalformedBody, match="shape"):
        Opaque().steer(b"{}", "be kind")


def test_a_stream_goes_by_unread() -> None:
    """Frames are cut, not understood; there is no dialect to end it in."""
    reader = Opaque().stream()
    reader.released(b"data: x\n\n")
    assert reader.read(b"data: x\n\n") == Reading()
    assert reader.ending(Refusal("policy", "no")) == b""


def test_a_no_is_a_plain_error_even_where_an_answer_was_wished_for() -> None:
    """No dialect, no success."""
    refusal = Refusal("policy", "no", id="e1")
    assert Opaque().answer(refusal, model="m", streamed=True) == Opaque().refuse(refusal)
    assert json.loads(Opaque().refuse(refusal).body) == {"error": {"message": "no", "type": "policy", "id": "e1"}}
