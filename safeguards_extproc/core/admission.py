"""An exchange's admission: asked for once, as soon as it is known who asks for what, and settled once.

What is charged depends on the request alone, never on how it was cut into chunks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from safeguards_extproc.core.account import (
    NOBODY,
    STEPS,
    Admission,
    Admitted,
    Count,
    Settlement,
    Usage,
    Who,
)
from safeguards_extproc.core.decision import SEVERITY, Action, Policy, Value
from safeguards_extproc.core.effects import Admit, Effect
from safeguards_extproc.core.events import Opened
from safeguards_extproc.core.record import Account, LimitState, Record, Tokens
from safeguards_extproc.core.text import MAX_TOKENS, Document, Kind

CHARACTERS = 4
"""Characters that are taken for a token where the provider does not count, or bytes where the body is not read."""

UNITS = {Count.BYTES: "content-bytes", Count.STREAMS: "concurrent-requests", Count.TOKENS: "tokens"}
"""`qu` of a limit (draft-ietf-httpapi-ratelimit-headers-10, whose registry has no tokens); others are of requests."""

TOOLS = frozenset({Kind.TOOLS, Kind.TOOL, Kind.TOOL_CALL})
"""Kinds of text that only a request with tools has."""


class Desk:
    """Where an exchange asks. `answer` is None until it has come. Nothing is asked once it is `closed`.

    `told` are headers about its limits for whoever asked.
    """

    __slots__ = ("_id", "_opened", "_out", "_policy", "answer", "asked", "closed", "told", "who")

    def __init__(self, policy: Policy, who: Who, id: str, opened: Opened, out: list[Effect]) -> None:
        self.who = who
        self.asked: Admission | None = None
        self.answer: Admitted | None = None
        self.closed = False
        self.told: list[tuple[str, str]] = []
        self._policy, self._id, self._opened, self._out = policy, id, opened, out

    @property
    def waits(self) -> bool:
        """Whether the answer has yet to come."""
        return self.asked is not None and self.answer is None

    @property
    def wants(self) -> tuple[str, ...]:
        """What a request's body is asked for (`aside.Parse.wants`)."""
        return (*self.who.wants, MAX_TOKENS) if self._policy.reserves else self.who.wants

    def ask(
        self,
        fields: Mapping[str, str],
        told: Mapping[str, str],
        model: str,
        bytes: int,
        document: Document | None = None,
    ) -> None:
        """Ask, unless that was done. `bytes` of the body, which says `document` and `told`, if it could be read."""
        if self.asked is not None or self.closed:
            return
        found = self.who.identify(fields, self._opened, told)
        identity = replace(found, names={**found.names, "model": model}) if model else found
        characters, most = bytes, 0
        if document is not None:
            characters = sum(len(segment.text) for segment in document.segments)
            bound = document.features.get(MAX_TOKENS, 0)
            most = bound if isinstance(bound, int) else 0
        charges = self._policy.charges(identity, model, tokens(characters), most, bytes)
        self.asked = Admission(self._id, identity, charges)
        self._out.append(Admit(self.asked))

    def take(self, answer: Admitted) -> dict[str, Value]:
        """The answer has come; what rules may know of it."""
        self.answer = answer
        self.told = headers(answer)
        standing, counted = answer.standing, answer.counted
        identity = self.asked.identity if self.asked is not None else NOBODY
        said: dict[str, Value] = {"token": identity.token} if identity.token else {}
        return {
            **said,
            "account_step": standing.step.value,
            "account_severity": STEPS[standing.step],
            "campaign": ",".join(sorted(standing.flags)),
            "limit": next((each.limit.name for each in counted if not each.allowed), ""),
            "limit_near": next((each.limit.name for each in counted if each.near), ""),
            "identified": bool(identity.responsible[0]),
        }

    def write(self, record: Record, usage: Usage | None) -> None:
        """Say in the record who asked, how they stood, and what the exchange used. Nothing is asked after that."""
        self.closed = True
        if self.asked is None:
            return
        record.identity = dict(self.asked.identity.names)
        if self.answer is not None:
            record.account, record.limits_from = self.answer.standing.step.value, self.answer.source
            record.limits = [
                LimitState(each.limit.name, each.allowed, each.remaining, each.limit.enforced)
                for each in self.answer.counted
            ]
        record.usage = used(record, usage)


def settlement(record: Record, admission: Admission, answer: Admitted, sketch: int = 0) -> Settlement:
    """What became of an exchange whose record is kept."""
    used, request, response = record.usage, record.request, record.response
    refused = answer.refused is not None
    fired = (*request.fired, *response.fired)
    size = 0 if refused else request.account.bytes_in + response.account.bytes_in
    return Settlement(
        admission,
        Usage(used.input_tokens, used.output_tokens, size, used.exact),
        record.outcome,
        max(request.decided, response.decided, key=lambda decided: SEVERITY[Action(decided)]),
        record.category,
        record.rule,
        record.model,
        sketch,
        refused=refused,
        judged=any(one.rule == record.rule and one.cause == "true" for one in fired),
    )


def tokens(characters: int) -> int:
    """An estimate."""
    return -(-characters // CHARACTERS)


def used(record: Record, usage: Usage | None) -> Tokens:
    """The tokens of an exchange: those that its provider counted, else an estimate. What the provider turned away used
    none, nor did a request that never reached it. Of an answer that was broken off, what came of it counts."""
    request, response = record.request, record.response
    status = response.features.get("status", 0)
    if isinstance(status, int) and status >= 400:
        return Tokens()
    output, prompt = _read(response.account), _read(request.account) if request.account.bytes_released else 0
    if usage is None:
        return Tokens(prompt, output)
    if record.termination != "complete":
        return Tokens(usage.input_tokens or prompt, max(usage.output_tokens, output))
    if not usage.exact:  # some servers count what they generate, and not what they were sent
        return Tokens(usage.input_tokens or prompt, usage.output_tokens or output)
    return Tokens(usage.input_tokens, usage.output_tokens, usage.exact)


def headers(answer: Admitted) -> list[tuple[str, str]]:
    """The fields RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10) of the limits in force."""
    shown = [each for each in answer.counted if each.limit.enforced]
    if not shown:
        return []
    policies, states = [], []
    for each in shown:
        limit = each.limit
        unit = f';qu="{UNITS[limit.count]}"' if limit.count in UNITS else ""
        window = f";w={math.ceil(limit.period_s)}" if limit.count is not Count.STREAMS else ""
        policies.append(f'"{limit.name}";q={limit.amount}{window}{unit}')
        reset = f";t={seconds(each.reset_s)}" if limit.count is not Count.STREAMS else ""
        states.append(f'"{limit.name}";r={max(each.remaining, 0)}{reset}')
    return [("ratelimit-policy", ", ".join(policies)), ("ratelimit", ", ".join(states))]


def seconds(value: float) -> int:
    """Whole seconds, rounded up; a year at most."""
    return math.ceil(min(max(value, 0.0), 366 * 86_400.0)) if value == value else 0


def _read(account: Account) -> int:
    if account.channels:
        return tokens(sum(channel.chars for channel in account.channels.values()))
    return tokens(account.bytes_in)
