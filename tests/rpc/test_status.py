"""Header blocks that need no encoder, read by one that knows all of HPACK."""

from __future__ import annotations

from urllib.parse import unquote

from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.rpc import status
from safeguards_extproc.rpc.status import Status


def test_an_answer_begins_as_grpc_wants_it() -> None:
    """Status 200, the content type, and that messages are to come uncompressed."""
    expected = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-accept-encoding", "identity")]
    assert expected == [(str(name), str(value)) for name, value in Decoder().decode(status.BEGIN)]


@given(text=st.text(max_size=400), code=st.sampled_from(Status))
def test_any_text_can_be_said(text: str, code: Status) -> None:
    """Whatever its characters and length; no byte of it can end the header."""
    fields = {str(name): str(value) for name, value in Decoder().decode(status.trailers(code, text))}
    assert str(int(code)) == fields["grpc-status"]
    said = fields.get("grpc-message", "")
    assert said.isascii()
    assert said.isprintable()
    assert text.encode("utf-8", "replace").decode() == unquote(said)


@given(name=st.binary(min_size=1, max_size=300), value=st.binary(max_size=20_000))
def test_lengths_of_any_size(name: bytes, value: bytes) -> None:
    """An integer of HPACK has one byte or several."""
    assert [(name, value)] == Decoder(1 << 20).decode(status.field(name, value), raw=True)
