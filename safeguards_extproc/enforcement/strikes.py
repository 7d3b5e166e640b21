"""Which settled exchanges are strikes, and how a strike travels.

The exchange that an admission refused is none: whoever asks again too early while a limit or a suspension holds has not
offended again. Nor is one that was refused because a check failed: nobody offends by a model that is away.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from safeguards_extproc.core.account import Settlement
from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.policy.account_document import StrikeSpec


def strike(settlement: Settlement, specs: Sequence[StrikeSpec], policy: str, digest: str, at: float) -> Strike | None:
    """The strike that `settlement` is, by the first of `specs` that fits it, against the smallest identity that answers
    for it; None if it is none. `policy` and `digest` are the policy's, `at` seconds since the epoch."""
    kind, subject = settlement.admission.identity.responsible
    if settlement.refused or not settlement.judged or not subject:
        return None
    for spec in specs:
        if settlement.outcome in spec.outcomes and spec.category in (None, settlement.category):
            return Strike(
                subject=subject,
                subject_kind=kind,
                record=settlement.admission.id,
                category=settlement.category,
                rule=settlement.rule,
                weight=spec.weight,
                first=spec.first,
                half_life=spec.half_life,
                at=at,
                policy=policy,
                digest=digest,
            )
    return None


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Strike)


def encode(one: Strike) -> str:
    """A strike as it travels, in JSON."""
    return _ENCODER.encode(one).decode()


def decode(raw: bytes | str) -> Strike | None:
    """What `encode` made; None where something else came."""
    try:
        return _DECODER.decode(raw)
    except msgspec.MsgspecError:
        return None
