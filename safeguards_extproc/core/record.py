"""The decision record: what happened to one exchange, complete without a word of its text.

Fields are plain data, so any encoder can write them; `records/` does. Counts are exact: `Account` says how many bytes
came in, were decoded, were scanned and went on, so a record cannot say "passed" where nothing ran.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from safeguards_extproc.core.decision import Value

SCHEMA = 1


@dataclass(slots=True)
class Checks:
    """How often a detector was asked about a window of this direction, and how that went. `not_due` counts the windows
    for which its condition did not hold."""

    run: int = 0
    failed: int = 0
    skipped: int = 0
    not_due: int = 0


@dataclass(slots=True)
class ChannelAccount:
    """Characters of one kind of text: read out of the body, and scanned by every check that was due."""

    chars: int = 0
    scanned: int = 0


@dataclass(slots=True)
class Account:
    """Coverage of one direction. `coverage` is derived: "full", "partial" or "none", "empty" without text.

    `bytes_released` counts bytes of the peer's body that went on (edited or not), `bytes_written` what we sent.
    `released_unscanned` is True if bytes went on before their verdict, as follow, observe and overlap do by design.
    """

    bytes_in: int = 0
    bytes_decoded: int = 0
    bytes_released: int = 0
    bytes_written: int = 0
    frames: int = 0
    frames_unread: int = 0
    windows: int = 0
    channels: dict[str, ChannelAccount] = field(default_factory=dict)
    checks: dict[str, Checks] = field(default_factory=dict)
    released_unscanned: bool = False
    uninspectable: str = ""
    coverage: str = "none"


@dataclass(slots=True)
class FiredRule:
    """A rule that took part. `mode` "enforce" or "shadow"; `cause` "true", "missing" or "failure"."""

    rule: str
    action: str
    mode: str
    cause: str


@dataclass(slots=True)
class Items:
    """The list of an answer whose items were judged one by one: how many it had, how many were to be dropped with rules
    in shadow counted, and how many were dropped. The ids are of the dropped ones and of those that were only `decided`:
    the first 100 of each that are short slugs or numbers; all others are counted and not named."""

    listed: int = 0
    decided: int = 0
    dropped: int = 0
    dropped_ids: list[str] = field(default_factory=list)
    spared_ids: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ItemScores:
    """Scores of one kind of text, by "detector.label": a number for each of `items`, which have such text, -1 where
    nobody gave that one."""

    items: list[int] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class ItemFacts:
    """What rules that drop decide by, where an answer lists items: `scores` by kind of text, and of which items each
    detector that `failed` gave no answer. An item is its position in the list; -1 is the text that is in no item.

    `known` is "" where there is no list, "all" where each item was judged by itself, "outside" where the answer ended
    before, so that only what is in no item was judged, and "none" where there are more numbers than a record keeps.
    """

    known: str = ""
    scores: dict[str, ItemScores] = field(default_factory=dict)
    failed: dict[str, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class LimitState:
    """How a limit stood when the exchange was admitted, or was not: what was left, in its unit, and whether it is more
    than a shadow."""

    name: str
    allowed: bool
    remaining: int
    enforced: bool


@dataclass(slots=True)
class Tokens:
    """What an exchange used. `exact` where the provider counted; an estimate otherwise."""

    input_tokens: int = 0
    output_tokens: int = 0
    exact: bool = False


@dataclass(slots=True)
class Phase:
    """One direction of an exchange: verdict, what was done about it, and everything the verdict depended on.

    `decided` counts shadow rules, `action` does not, `applied` is what was done: one of the actions, "pass" where the
    direction was not inspected, or "refuse" where a limit refused. `cause` says why `applied` is not `action`:
    "", "observe", "shadow", "phase", "limit", "failure". `redactions` and `restored` count pieces of text by entity:
    replaced by a placeholder, and put back in its place.
    Times are milliseconds from the first message of the exchange, -1 where it did not happen.
    """

    decided: str = "allow"
    action: str = "allow"
    applied: str = "pass"
    cause: str = ""
    fired: list[FiredRule] = field(default_factory=list)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    features: dict[str, Value] = field(default_factory=dict)
    redactions: dict[str, int] = field(default_factory=dict)
    restored: dict[str, int] = field(default_factory=dict)
    items: Items = field(default_factory=Items)
    item_facts: ItemFacts = field(default_factory=ItemFacts)
    account: Account = field(default_factory=Account)
    headers_ms: float = -1.0
    ended_ms: float = -1.0
    decided_ms: float = -1.0
    first_release_ms: float = -1.0
    last_release_ms: float = -1.0


@dataclass(slots=True)
class Record:
    """One exchange. `producer`, `epoch` and `sequence` identify its record: who wrote it, in which life, and its number
    there, from 1 without gaps. `masked` names the fields that configuration emptied before the record was written.
    `outcome` is the most severe `applied` of both phases; `termination` says how it ended:
    "complete", "refused", "stopped", "closed" (a peer went away), "shutdown", "error".

    Of an exchange that asked for its admission: `identity` are the pseudonyms of who asked, by kind, `account` is the
    step at which they stood, "" if there was no answer, and `limits` how each limit stood, as counted by `limits_from`:
    "store", "local" or "none".
    """

    id: str
    schema: int = SCHEMA
    time: str = ""  # RFC 3339, UTC, stamped by the driver at the first message
    region: str = ""
    producer: str = ""
    epoch: str = ""  # one per start of a process; epochs sort by time
    sequence: int = 0
    masked: list[str] = field(default_factory=list)
    route: str = ""
    format: str = ""
    method: str = ""
    model: str = ""
    streamed: bool = False
    gate: str = ""
    release: str = ""
    policy: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    outcome: str = "allow"
    termination: str = "complete"
    rule: str = ""
    category: str = ""
    status: int = 0  # the status that the client got, as far as this filter knows
    request: Phase = field(default_factory=Phase)
    response: Phase = field(default_factory=Phase)
    duration_ms: float = 0.0
    trace_id: str = ""
    identity: dict[str, str] = field(default_factory=dict)
    account: str = ""
    limits: list[LimitState] = field(default_factory=list)
    limits_from: str = ""
    usage: Tokens = field(default_factory=Tokens)
