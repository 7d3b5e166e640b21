"""A campaign as it was seen in one exchange, on its way to where cases are kept: pseudonyms, counts, record ids."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from safeguards_extproc.enforcement.campaigns.counting import Finding, Seen
from safeguards_extproc.policy.account_document import CampaignSpec


class Member(msgspec.Struct, frozen=True, array_like=True):
    """An identity in a campaign, and an exchange of it that shows that."""

    kind: str
    pseudonym: str
    record: str


class Sighting(msgspec.Struct, frozen=True, array_like=True):
    """`keys` name the case, which is one case if any of them is; `members` are who is in it, the one who asked first;
    `identities`, `asks` and `refusals` are what was counted in the window. `records` are further evidence. `strike` is
    the weight of the strike that each member gets once, `hold_s` how long the flag `campaign` stays with them; both
    count only if `enforced`. `at` is seconds since the epoch."""

    campaign: str
    detect: str
    keys: tuple[str, ...]
    at: float
    members: tuple[Member, ...]
    records: tuple[str, ...]
    identities: int
    asks: int
    refusals: int
    hold_s: float
    strike: float
    enforced: bool


def sighting(spec: CampaignSpec, seen: Seen, finding: Finding, notes: Sequence[str]) -> Sighting:
    """What to tell of a finding. A note is a record's id, or kind, pseudonym and record of one who is in it too."""
    members = {finding.subject[1]: Member(*finding.subject, seen.record)}
    records: dict[str, None] = {}
    for note in notes:
        match note.split(" "):
            case [kind, pseudonym, record]:
                members.setdefault(pseudonym, Member(kind, pseudonym, record))
            case [record] if record != seen.record:
                records[record] = None
            case _:
                pass
    return Sighting(
        campaign=spec.name,
        detect=spec.detect,
        keys=finding.keys,
        at=seen.at,
        members=tuple(members.values()),
        records=tuple(records),
        identities=max(finding.identities, len(members)),
        asks=finding.asks,
        refusals=finding.refusals,
        hold_s=spec.hold,
        strike=spec.strike,
        enforced=spec.mode == "enforce",
    )


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Sighting)


def encode(one: Sighting) -> bytes:
    """A sighting as it travels."""
    return _ENCODER.encode(one)


def decode(raw: bytes) -> Sighting | None:
    """What `encode` made; None where something else came."""
    try:
        return _DECODER.decode(raw)
    except msgspec.MsgspecError:
        return None
