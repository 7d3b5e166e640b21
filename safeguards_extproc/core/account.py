"""Who asks, what that may cost, and where they stand: what an exchange asks of the account store, and what it hears.

Identities are pseudonyms (enforcement/pseudonyms.py) before they come here, save model and region, which name nobody.
An exchange asks once, when it knows who asks for what (`Admission`), and tells once, when it is over (`Settlement`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from safeguards_extproc.core.events import Opened

NAMES = ("tenant", "organisation", "key", "end_user", "model", "region")
"""What an exchange is counted by, the largest first."""

ANSWERABLE = ("end_user", "key", "organisation", "tenant")
"""Whom enforcement acts on: the first of these that an exchange names, the smallest responsible identity."""


class Step(enum.StrEnum):
    """Where an identity stands, mildest first; `STEPS` is this order."""

    GOOD = "good"
    WARNED = "warned"
    THROTTLED = "throttled"
    RESTRICTED = "restricted"
    SUSPENDED = "suspended"
    BANNED = "banned"


STEPS = {step: rank for rank, step in enumerate(Step)}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `names` maps members of NAMES to pseudonyms, absent where the exchange does not say. `former` are the
    pseudonyms of the same identities under keys that are still readable, newest first. `token` is what became of the
    token that claims are read from: "valid", "invalid" or "absent", "" where no claim is read."""

    names: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    token: str = ""

    @property
    def responsible(self) -> tuple[str, str]:
        """Kind and pseudonym of the smallest identity that enforcement can act on; ("", "") if there is none."""
        return next(((kind, self.names[kind]) for kind in ANSWERABLE if kind in self.names), ("", ""))


NOBODY = Identity()


class Who(Protocol):
    """Says who asks, in pseudonyms. One for each policy and set of keys; it is an exchange's to its end."""

    @property
    def wants(self) -> tuple[str, ...]:
        """Paths of the request's body that are to be told ("$.user"), as `aside.Parse.wants` takes them."""
        ...

    @property
    def sketch(self) -> Callable[[str], int] | None:
        """Makes a keyed likeness of what a request asks (enforcement/sketch.py), None where the policy looks for no
        campaigns that want one."""
        ...

    def identify(self, fields: Mapping[str, str], opened: Opened, told: Mapping[str, str]) -> Identity:
        """The request's headers, what Envoy says of it, and what its body says (nothing, where it was not read) as an
        identity. The model is not in it: the exchange adds that. Never raises."""
        ...


class NobodyKnown:
    """A `Who` that knows nobody."""

    wants: tuple[str, ...] = ()
    sketch: Callable[[str], int] | None = None

    def identify(self, fields: Mapping[str, str], opened: Opened, told: Mapping[str, str]) -> Identity:
        return NOBODY


NOBODY_KNOWN = NobodyKnown()


class Count(enum.StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    BYTES = "bytes"
    STREAMS = "streams"
    VERDICTS = "verdicts"


class Shape(enum.StrEnum):
    """How a limit counts: `rate` is GCRA, `budget` a sliding window, `concurrent` leases that are out."""

    RATE = "rate"
    BUDGET = "budget"
    CONCURRENT = "concurrent"


class OnFailure(enum.StrEnum):
    """What happens to a limit whose store does not answer: count here, with a share of it; let pass; refuse."""

    LOCAL = "local"
    ALLOW = "allow"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the policy. `amount` in `period_s` seconds; a rate also has a `burst`, the most that may come at once
    (ITU-T I.371's generic cell rate algorithm: an increment of period/amount, a tolerance of burst increments).

    `per` names the identities that it is counted by, members of NAMES. `near` is the share of it from which it is said
    to be near. `reserve` is what is reserved for an answer whose length the request does not bound, in tokens or bytes.
    `verdicts` are outcomes of exchanges that count (for VERDICTS), `categories` narrows them; none is all.
    `weights` is what a request to a model weighs, by model, 1 where not given.
    """

    name: str
    per: tuple[str, ...]
    count: Count
    shape: Shape
    amount: int
    period_s: float = 1.0
    burst: int = 0
    enforced: bool = True
    near: float = 0.8
    reserve: int = 0
    verdicts: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    weights: Mapping[str, int] = field(default_factory=dict)
    on_failure: OnFailure = OnFailure.LOCAL
    share: float = 1.0
    message: str = ""

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Charge:
    """What an exchange costs under a limit: `cost` is taken on admission, and put right when it is over. `subject` are
    the pseudonyms of `limit.per`, in its order. `cost` 0 looks and takes nothing."""

    limit: Limit
    subject: tuple[str, ...]
    cost: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an identity stands. `until` is when the step ends, seconds since the epoch, 0 if never. `share` is what is
    left of every limit to one who is throttled. `models` and `tools` are what one who is restricted may not use: names
    of models, "*" for all; tools at all. `flags` name campaigns and other marks. `revision` is the ledger's."""

    step: Step = Step.GOOD
    rule: str = ""
    reason: str = ""
    until: float = 0.0
    share: float = 1.0
    models: frozenset[str] = frozenset()
    tools: bool = False
    flags: frozenset[str] = frozenset()
    revision: int = 0


IN_GOOD_STANDING = Standing()


@dataclass(frozen=True, slots=True)
class Admission:
    """What an exchange asks: may it go on? `id` is the exchange's, and names its leases."""

    id: str
    identity: Identity
    charges: Sequence[Charge] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """How a limit stands after an exchange was admitted, or was not. `remaining` is in the limit's unit, `reset_s` is
    when all of it is there again, `retry_after_s` when this exchange's cost may be (0 where it is admitted)."""

    limit: Limit
    allowed: bool
    remaining: int
    reset_s: float = 0.0
    retry_after_s: float = 0.0

    @property
    def near(self) -> bool:
        """Whether less is left than the limit's `near` leaves."""
        most = self.limit.burst if self.limit.shape is Shape.RATE else self.limit.amount
        return self.remaining < most * (1.0 - self.limit.near) or not self.allowed


@dataclass(frozen=True, slots=True)
class Admitted:
    """The answer. Refused if a limit that is enforced did not allow it, and then nothing is taken of any limit.
    `source` is who counted: "store", "local" (the store did not answer), "none" (there was nothing to count or nobody
    who could). `standing` is the most severe of the identities'."""

    counted: Sequence[Counted] = ()
    standing: Standing = IN_GOOD_STANDING
    source: str = "none"

    @property
    def refused(self) -> Counted | None:
        """The enforced limit that did not allow it and asks for the longest wait."""
        over = [each for each in self.counted if not each.allowed and each.limit.enforced]
        return max(over, key=lambda each: each.retry_after_s, default=None)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an exchange used. `exact` if the provider said how many tokens; they are estimated otherwise."""

    input_tokens: int = 0
    output_tokens: int = 0
    bytes: int = 0
    exact: bool = False

    def merged(self, other: Usage) -> Usage:
        """What two counts of the same exchange say: each is the whole until it was made."""
        return Usage(
            max(self.input_tokens, other.input_tokens),
            max(self.output_tokens, other.output_tokens),
            max(self.bytes, other.bytes),
            self.exact or other.exact,
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of an exchange that was admitted: exactly one follows each Admission, however the exchange ended.

    `outcome`, `category` and `rule` are the record's, `decided` the outcome with rules in shadow counted. `sketch` is
    a keyed likeness of what the request asks (enforcement/sketch.py, 256 bits), 0 where nothing was taken. `model` is
    the record's, `refused` whether the admission refused it. `judged` if the outcome is what a rule makes of what was
    said, not of a check that failed or of a text that could not be read.
    """

    admission: Admission
    usage: Usage
    outcome: str
    decided: str = ""
    category: str = ""
    rule: str = ""
    model: str = ""
    sketch: int = 0
    refused: bool = False
    judged: bool = True
