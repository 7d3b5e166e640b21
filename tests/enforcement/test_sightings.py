"""What is told of a campaign: who, how much, on what evidence."""

from __future__ import annotations

from safeguards_extproc.enforcement.campaigns.counting import Finding
from safeguards_extproc.enforcement.sightings import Member, decode, encode, sighting
from tests.enforcement.campaigns.playing import exchange, spec


def test_notes_are_members_and_records() -> None:
    """A note with a name in it is somebody, each once; any other is evidence. Who asked comes first."""
    seen = exchange(7, user="ann", refused=True)
    finding = Finding(("template:0-1",), ("end_user", "ann"), 30, 20, 2)
    told = sighting(
        spec("template", 20), seen, finding, ["end_user bob r3", "end_user ann r2", "end_user bob r1", "r9"]
    )
    assert (Member("end_user", "ann", "r7"), Member("end_user", "bob", "r3")) == told.members
    assert ("r9",) == told.records
    assert (2, 30, 20) == (told.identities, told.asks, told.refusals)
    assert told == decode(encode(told))


def test_shadow() -> None:
    """A campaign in shadow says so."""
    finding = Finding(("refusals:ann",), ("end_user", "ann"), 30, 20)
    assert not sighting(spec("refusals", 0.3, mode="shadow"), exchange(1), finding, ()).enforced


def test_what_is_no_sighting() -> None:
    """Something else in the queue is nothing."""
    assert decode(b"\x93\x01\x02\x03") is None
    assert decode(b"") is None
