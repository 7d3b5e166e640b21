"""Every error that this project raises, by whose fault it is.

    SafeguardsError            code: a slug, used as metric label and documented in the README
    ├── ConfigError            the operator's: file, line, path, message, hint; the thing refuses to load
    ├── PeerError              the other side broke its promise
    │   ├── IllegalEvent       Envoy sent a message that the lifecycle table does not allow
    │   └── MalformedBody      client or provider sent what its format forbids
    ├── LimitExceeded          too large, too deep, held too long
    ├── NotAllowed             the ledger's rules forbid what somebody asked for; nothing was written
    ├── StoreError             counters or standings cannot be had now: a value where they are asked for
    └── DetectorError          unavailable, timeout, bad response: becomes a value at the adapter

No message holds user text: a message says what, where (a JSON path, a byte offset, a line) and how to mend it.
"""

from __future__ import annotations


class SafeguardsError(Exception):
    """Root of the tree. `code` is a stable slug."""

    code = "internal"


class ConfigError(SafeguardsError):
    """The operator wrote something that cannot be used.

    `where` is "file:line" or a dotted path, `hint` says how to mend it.
    """

    code = "config"

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        self.message, self.where, self.hint = message, where, hint
        super().__init__(": ".join(part for part in (where, message) if part) + (f" ({hint})" if hint else ""))


class PeerError(SafeguardsError):
    """The other side broke its promise."""

    code = "peer"


class IllegalEvent(PeerError):
    """Envoy sent a message that the lifecycle table does not allow."""

    code = "illegal-event"


class MalformedBody(PeerError):
    """A body that its format forbids, or that two parsers could read differently.

    `reason` is one of the slugs in `MALFORMED`; `offset` counts bytes from the start of the body, -1 if unknown.
    """

    code = "malformed-body"

    def __init__(self, reason: str, *, offset: int = -1) -> None:
        if reason not in MALFORMED:
            raise ValueError(f"unknown reason {reason!r}")
        self.reason, self.offset = reason, offset
        super().__init__(reason if offset < 0 else f"{reason} at byte {offset}")


MALFORMED = {
    "syntax": "not JSON",
    "encoding": "not UTF-8",
    "surrogate": "a lone surrogate",
    "duplicate-key": "an object names a key twice",
    "number": "NaN, Infinity or a number no double can hold",
    "trailing-data": "something follows the JSON value",
    "depth": "nested too deeply",
    "values": "more values than can be read in time",
    "shape": "not what the API describes",
    "content-encoding": "compressed data that does not decode as its header says",
    "framing": "not a well-formed event stream",
}


class LimitExceeded(SafeguardsError):
    """A configured bound was passed. `limit` names it, as written in the policy."""

    code = "limit"

    def __init__(self, limit: str) -> None:
        self.limit = limit
        super().__init__(f"over {limit}")


class NotAllowed(SafeguardsError):
    """The rules of the ledger forbid it: undoing what is undone, deciding an appeal against oneself, acting on more
    than one person may. Nothing was written; the message says why and what would be allowed."""

    code = "not-allowed"


class StoreError(SafeguardsError):
    """A store of counters or standings gave no answer. `reason` is one of STORE_FAILURES."""

    code = "store"

    def __init__(self, reason: str) -> None:
        if reason not in STORE_FAILURES:
            raise ValueError(f"unknown failure {reason!r}")
        self.reason = reason
        super().__init__(reason)


STORE_FAILURES = {
    "unavailable": "the store cannot be reached, is loading, or is not the writable one",
    "timeout": "no answer within the deadline",
    "full": "the store takes no more: its memory is spent",
    "bad-response": "an answer of the wrong shape, or a key that holds something else",
    "circuit-open": "not asked: it failed too often just now",
    "overload": "not asked: too much is waiting",
    "closed": "not asked: this end is closed",
}


class DetectorError(SafeguardsError):
    """A detector gave no answer. `code` is one of FAILURES."""

    def __init__(self, code: str) -> None:
        if code not in FAILURES:
            raise ValueError(f"unknown failure {code!r}")
        self.code = code
        super().__init__(code)


FAILURES = {
    "unavailable": "the model server cannot be reached or says it is not ready",
    "timeout": "no answer within the budget",
    "bad-response": "an answer of the wrong shape, or scores outside 0 to 1",
    "circuit-open": "not asked: it failed too often just now",
    "overload": "not asked: too much is waiting",
    "budget": "not asked: more windows met its condition than `escalate_at_most` allows",
    "cancelled": "not needed any more",
}
