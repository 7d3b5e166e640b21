"""The keys of a policy that say who asks, how much they may, and what becomes of those who abuse it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from safeguards_extproc.policy.keys import Identifier, Mode, Name, Strict, Text

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*(ms|s|m|h|d|w)")


def seconds(value: object) -> object:
    """ "90s", "15m", "24h" or "7d" as seconds; anything that is not such a string is left for the type check."""
    if not isinstance(value, str):
        return value
    match = _SPAN.fullmatch(value)
    if match is None:
        raise ValueError("must be a time such as 90s, 15m, 24h or 7d")
    return float(match[1]) * _SECONDS[match[2]]


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=10 * 366 * 86_400)]
IdentityName = Literal["tenant", "organisation", "key", "end_user", "model", "region"]
StepName = Literal["warn", "throttle", "restrict", "suspend", "ban"]


class From(Strict):
    """One place where an identity may stand: exactly one of `header`, `json`, `claim`, `attribute`, `metadata`,
    `certificate` and `value`.

    `header`: a request header. It is believed only with `trusted: true`, which says that a proxy before this filter
    sets it or removes what clients send, or with `secret: true`, which says that the value is a credential that the
    upstream checks (an API key), so that nobody can pretend to be another. `prefix` is taken off its front.
    `json`: a place in the request's body, such as `$.user`. It is what the caller says of its own users, so it counts
    within the caller (`within`).
    `claim`: a claim of the JSON Web Token in `header` (by default `authorization`), checked against `keys`, or, with
    `verified_by: envoy`, taken from what Envoy's JWT filter has verified.
    `attribute`: an attribute of Envoy, by its CEL name. `metadata`: "namespace:key.key" of Envoy's dynamic metadata.
    `certificate`: the client's certificate, its `subject`, `uri` or `dns` name. `value`: always this.
    """

    header: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] | None = None
    trusted: bool = False
    secret: bool = False
    prefix: str = ""
    json_path: Annotated[str | None, Field(alias="json", max_length=500)] = None
    claim: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    verified_by: Literal["filter", "envoy"] = "filter"
    attribute: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    metadata: Annotated[str, Field(min_length=3, max_length=400)] | None = None
    certificate: Literal["subject", "uri", "dns"] | None = None
    value: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    @model_validator(mode="after")
    def _one(self) -> From:
        given = [
            name
            for name in ("json_path", "claim", "attribute", "metadata", "certificate", "value")
            if getattr(self, name) is not None
        ]
        if self.header is not None and self.claim is None:
            given.append("header")
        if len(given) != 1:
            raise ValueError("names exactly one place: header, json, claim, attribute, metadata, certificate or value")
        if "header" in given and not (self.trusted or self.secret):
            raise ValueError("a header that clients can set: add trusted: true if a proxy sets it, or secret: true")
        return self


Sources = Annotated[list[From], Field(max_length=16)]


class TokenKeys(Strict):
    """What JSON Web Tokens are checked against: `jwks` is a file with a JSON Web Key Set (RFC 7517), read when the
    policy is; `issuer` and `audience` must be the token's, if given. `leeway` is how far clocks may differ."""

    jwks: Annotated[str, Field(min_length=1, max_length=500)]
    algorithms: Annotated[list[Literal["RS256", "PS256", "ES256", "ES384", "EdDSA"]], Field(min_length=1)] = [
        "RS256",
        "ES256",
    ]
    issuer: str | None = None
    audience: str | None = None
    leeway: Seconds = 30.0


class IdentitySpec(Strict):
    """Where each identity is found; the first place that has it counts. `model` is the body's unless named here.

    `within` says in whom an end user is known: two callers' users of the same name are two, so that no caller can act
    for another's users. `tokens` are what claims are checked against.
    """

    tenant: Sources = []
    organisation: Sources = []
    key: Sources = []
    end_user: Sources = []
    region: Sources = []
    within: list[Literal["tenant", "organisation", "key"]] = ["tenant", "organisation", "key"]
    tokens: TokenKeys | None = None


class QuotaSpec(Strict):
    """How much of `count` is allowed, by each combination of the identities in `per` (none: for all together).

    `rate` and `budget` are "600/1m": a rate is spread evenly, with `burst` at once; a budget is any 600 within the
    last minute. `at_once` bounds streams that are under way. Exactly one of the three.

    Tokens and bytes are reserved on admission: what the request holds, and what it allows the answer, or `reserve`
    where it says nothing; what the answer then used replaces that. `verdicts` counts exchanges that ended so.
    """

    name: Name
    per: list[IdentityName]
    count: Literal["requests", "tokens", "bytes", "streams", "verdicts"] = "requests"
    rate: str | None = None
    budget: str | None = None
    at_once: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    burst: Annotated[int, Field(ge=1, le=1 << 40)] | None = None
    weights: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = {}
    reserve: Annotated[int, Field(ge=0, le=1 << 40)] | None = None
    verdicts: list[Literal["block", "stop", "throttle", "suspend", "redact", "drop", "steer", "annotate"]] = []
    categories: list[str] = []
    mode: Mode = "enforce"
    near: Annotated[float, Field(gt=0, le=1)] = 0.8
    on_failure: Literal["local", "allow", "block"] = "local"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    message: Text | None = None


class Delay(Strict):
    """When a step is taken: after a time drawn evenly between the two, so that nobody learns what led to it."""

    at_least: Seconds
    at_most: Seconds


class StrikeSpec(Strict):
    """What counts as a strike: an exchange whose outcome is in `outcomes` and whose category is `category` (any if not
    given), `weight` strong, half as strong after each `half_life`; the first of an identity weighs `first`."""

    category: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] | None = None
    outcomes: list[Literal["block", "stop", "suspend", "redact", "drop", "steer", "annotate"]] = ["block", "stop"]
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    first: Annotated[float, Field(ge=0, le=1000)] | None = None
    half_life: Seconds | None = None


class Rung(Strict):
    """At `at` strikes the step is taken, `lasting` so long (for ever if not given), after `delay`.

    `share` is what is left of every limit to one who is throttled; `models` and `tools` are what is taken from one who
    is restricted. Each fires once, until the strikes fall below it again.
    """

    at: Annotated[float, Field(gt=0, le=1_000_000)]
    step: StepName
    lasting: Seconds | None = None
    delay: Delay | None = None
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    models: list[str] = []
    tools: bool = False
    reason: Text = "Repeated violations of the usage policy."


class EnforcementSpec(Strict):
    """What strikes are and where they lead. The smallest identity that an exchange names answers for it."""

    strikes: list[StrikeSpec] = []
    ladder: list[Rung] = []


class CampaignSpec(Strict):
    """A pattern over many exchanges, and what happens to the identities in it: a flag that rules can read, a strike's
    weight, a case. `detect` names a row of enforcement/campaigns.

    `threshold` is in the detector's unit, over `window`; `hold` is how long the flag stays. Whoever has one is answered
    with release `window` where the route says `follow`.
    """

    name: Identifier
    detect: Literal["near_duplicates", "template", "velocity", "rotation", "refusals", "probing"]
    threshold: Annotated[float, Field(gt=0)]
    window: Seconds = 3600.0
    hold: Seconds = 86_400.0
    per: IdentityName | None = None
    strike: Annotated[float, Field(ge=0, le=1000)] = 0.0
    mode: Mode = "enforce"

    @model_validator(mode="after")
    def _share(self) -> CampaignSpec:
        if self.detect == "refusals" and self.threshold >= 1:
            raise ValueError("the threshold of refusals is a share, such as 0.3")
        return self


class CampaignsSpec(Strict):
    """`detect` lists the campaigns that are looked for. Nothing of a text is kept but a keyed likeness of it."""

    detect: list[CampaignSpec] = []


AT: dict[tuple[str, ...], type[BaseModel]] = {
    ("identity",): IdentitySpec,
    **{("identity", name, "*"): From for name in ("tenant", "organisation", "key", "end_user", "region")},
    ("identity", "tokens"): TokenKeys,
    ("limits", "*"): QuotaSpec,
    ("enforcement",): EnforcementSpec,
    ("enforcement", "strikes", "*"): StrikeSpec,
    ("enforcement", "ladder", "*"): Rung,
    ("enforcement", "ladder", "*", "delay"): Delay,
    ("campaigns",): CampaignsSpec,
    ("campaigns", "detect", "*"): CampaignSpec,
}
"""What stands where in a document, `*` for a place in a list: for hints about keys that do not exist."""
