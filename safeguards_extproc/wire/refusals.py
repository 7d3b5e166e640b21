"""What a refusal is in HTTP, the same for every dialect: status, headers, and whether a client may try again.

The official SDKs retry 408, 409, 429 and 5xx by themselves; `x-should-retry: false` stops them, so that a policy's
word is asked for once. Throttling and outages pass, so those may be retried, unless that is longer than SDKs wait.
"""

from __future__ import annotations

from safeguards_extproc.core.text import Answer, Refusal

STATUS = {
    "policy": 400,
    "suspended": 403,
    "throttled": 429,
    "too-large": 413,
    "unsupported-encoding": 415,
    "malformed": 400,
    "unavailable": 503,
    "timeout": 408,
}
PASSING = frozenset((408, 429, 503))
"""Statuses that say: not now."""

PATIENCE_S = 120
"""The longest `retry-after` that OpenAI's SDK keeps; it asks within seconds if it is told more."""

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"


def status(refusal: Refusal) -> int:
    """The HTTP status; a reason that is not in the table is a policy's."""
    return STATUS.get(refusal.reason, 400)


def error(refusal: Refusal, body: bytes, *, id_header: str) -> Answer:
    """An error answer with the provider's error object; `id_header` is where the dialect's SDK looks for an id."""
    code = status(refusal)
    headers = [("content-type", JSON)]
    if code not in PASSING or refusal.retry_after_s > PATIENCE_S:
        headers.append(("x-should-retry", "false"))
    if code in PASSING and refusal.retry_after_s > 0:
        headers.append(("retry-after", str(refusal.retry_after_s)))
    if refusal.id:
        headers.append((id_header, refusal.id))
    return Answer(code, headers, body)


def success(refusal: Refusal, body: bytes, *, id_header: str, streamed: bool) -> Answer:
    """A complete answer that says no."""
    headers = [("content-type", EVENTS if streamed else JSON)]
    if streamed:
        headers.append(("cache-control", "no-cache"))
    if refusal.id:
        headers.append((id_header, refusal.id))
    return Answer(200, headers, body)
