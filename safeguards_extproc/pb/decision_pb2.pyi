from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Decision(_message.Message):
    __slots__ = ("id", "schema", "time", "region", "producer", "epoch", "sequence", "masked", "route", "format", "method", "model", "streamed", "gate", "release", "policy", "versions", "outcome", "termination", "rule", "category", "status", "request", "response", "duration_ms", "trace_id", "identity", "account", "limits", "limits_from", "usage")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class IdentityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MASKED_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STREAMED_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TERMINATION_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FROM_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    schema: int
    time: str
    region: str
    producer: str
    epoch: str
    sequence: int
    masked: _containers.RepeatedScalarFieldContainer[str]
    route: str
    format: str
    method: str
    model: str
    streamed: bool
    gate: str
    release: str
    policy: str
    versions: _containers.ScalarMap[str, str]
    outcome: str
    termination: str
    rule: str
    category: str
    status: int
    request: Phase
    response: Phase
    duration_ms: float
    trace_id: str
    identity: _containers.ScalarMap[str, str]
    account: str
    limits: _containers.RepeatedCompositeFieldContainer[LimitState]
    limits_from: str
    usage: Tokens
    def __init__(self, id: _Optional[str] = ..., schema: _Optional[int] = ..., time: _Optional[str] = ..., region: _Optional[str] = ..., producer: _Optional[str] = ..., epoch: _Optional[str] = ..., sequence: _Optional[int] = ..., masked: _Optional[_Iterable[str]] = ..., route: _Optional[str] = ..., format: _Optional[str] = ..., method: _Optional[str] = ..., model: _Optional[str] = ..., streamed: _Optional[bool] = ..., gate: _Optional[str] = ..., release: _Optional[str] = ..., policy: _Optional[str] = ..., versions: _Optional[_Mapping[str, str]] = ..., outcome: _Optional[str] = ..., termination: _Optional[str] = ..., rule: _Optional[str] = ..., category: _Optional[str] = ..., status: _Optional[int] = ..., request: _Optional[_Union[Phase, _Mapping]] = ..., response: _Optional[_Union[Phase, _Mapping]] = ..., duration_ms: _Optional[float] = ..., trace_id: _Optional[str] = ..., identity: _Optional[_Mapping[str, str]] = ..., account: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[LimitState, _Mapping]]] = ..., limits_from: _Optional[str] = ..., usage: _Optional[_Union[Tokens, _Mapping]] = ...) -> None: ...

class LimitState(_message.Message):
    __slots__ = ("name", "allowed", "remaining", "enforced")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    ENFORCED_FIELD_NUMBER: _ClassVar[int]
    name: str
    allowed: bool
    remaining: int
    enforced: bool
    def __init__(self, name: _Optional[str] = ..., allowed: _Optional[bool] = ..., remaining: _Optional[int] = ..., enforced: _Optional[bool] = ...) -> None: ...

class Tokens(_message.Message):
    __slots__ = ("input_tokens", "output_tokens", "exact")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    output_tokens: int
    exact: bool
    def __init__(self, input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., exact: _Optional[bool] = ...) -> None: ...

class Phase(_message.Message):
    __slots__ = ("decided", "action", "applied", "cause", "fired", "scores", "failed", "skipped", "features", "redactions", "restored", "items", "item_facts", "account", "headers_ms", "ended_ms", "decided_ms", "first_release_ms", "last_release_ms")
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Scores
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Scores, _Mapping]] = ...) -> None: ...
    class FailedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class SkippedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Feature
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Feature, _Mapping]] = ...) -> None: ...
    class RedactionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class RestoredEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    FIRED_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    REDACTIONS_FIELD_NUMBER: _ClassVar[int]
    RESTORED_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    ITEM_FACTS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    HEADERS_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_MS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_MS_FIELD_NUMBER: _ClassVar[int]
    FIRST_RELEASE_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_RELEASE_MS_FIELD_NUMBER: _ClassVar[int]
    decided: str
    action: str
    applied: str
    cause: str
    fired: _containers.RepeatedCompositeFieldContainer[FiredRule]
    scores: _containers.MessageMap[str, Scores]
    failed: _containers.ScalarMap[str, str]
    skipped: _containers.ScalarMap[str, str]
    features: _containers.MessageMap[str, Feature]
    redactions: _containers.ScalarMap[str, int]
    restored: _containers.ScalarMap[str, int]
    items: Items
    item_facts: ItemFacts
    account: Account
    headers_ms: float
    ended_ms: float
    decided_ms: float
    first_release_ms: float
    last_release_ms: float
    def __init__(self, decided: _Optional[str] = ..., action: _Optional[str] = ..., applied: _Optional[str] = ..., cause: _Optional[str] = ..., fired: _Optional[_Iterable[_Union[FiredRule, _Mapping]]] = ..., scores: _Optional[_Mapping[str, Scores]] = ..., failed: _Optional[_Mapping[str, str]] = ..., skipped: _Optional[_Mapping[str, str]] = ..., features: _Optional[_Mapping[str, Feature]] = ..., redactions: _Optional[_Mapping[str, int]] = ..., restored: _Optional[_Mapping[str, int]] = ..., items: _Optional[_Union[Items, _Mapping]] = ..., item_facts: _Optional[_Union[ItemFacts, _Mapping]] = ..., account: _Optional[_Union[Account, _Mapping]] = ..., headers_ms: _Optional[float] = ..., ended_ms: _Optional[float] = ..., decided_ms: _Optional[float] = ..., first_release_ms: _Optional[float] = ..., last_release_ms: _Optional[float] = ...) -> None: ...

class FiredRule(_message.Message):
    __slots__ = ("rule", "action", "mode", "cause")
    RULE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    rule: str
    action: str
    mode: str
    cause: str
    def __init__(self, rule: _Optional[str] = ..., action: _Optional[str] = ..., mode: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class Scores(_message.Message):
    __slots__ = ("scores",)
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SCORES_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.ScalarMap[str, float]
    def __init__(self, scores: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Feature(_message.Message):
    __slots__ = ("truth", "integer", "number", "name")
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    truth: bool
    integer: int
    number: float
    name: str
    def __init__(self, truth: _Optional[bool] = ..., integer: _Optional[int] = ..., number: _Optional[float] = ..., name: _Optional[str] = ...) -> None: ...

class Items(_message.Message):
    __slots__ = ("listed", "decided", "dropped", "dropped_ids", "spared_ids")
    LISTED_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    DROPPED_IDS_FIELD_NUMBER: _ClassVar[int]
    SPARED_IDS_FIELD_NUMBER: _ClassVar[int]
    listed: int
    decided: int
    dropped: int
    dropped_ids: _containers.RepeatedScalarFieldContainer[str]
    spared_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, listed: _Optional[int] = ..., decided: _Optional[int] = ..., dropped: _Optional[int] = ..., dropped_ids: _Optional[_Iterable[str]] = ..., spared_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ItemFacts(_message.Message):
    __slots__ = ("known", "scores", "failed")
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ItemScores
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ItemScores, _Mapping]] = ...) -> None: ...
    class FailedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Positions
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Positions, _Mapping]] = ...) -> None: ...
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    known: str
    scores: _containers.MessageMap[str, ItemScores]
    failed: _containers.MessageMap[str, Positions]
    def __init__(self, known: _Optional[str] = ..., scores: _Optional[_Mapping[str, ItemScores]] = ..., failed: _Optional[_Mapping[str, Positions]] = ...) -> None: ...

class ItemScores(_message.Message):
    __slots__ = ("items", "scores")
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Numbers
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Numbers, _Mapping]] = ...) -> None: ...
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedScalarFieldContainer[int]
    scores: _containers.MessageMap[str, Numbers]
    def __init__(self, items: _Optional[_Iterable[int]] = ..., scores: _Optional[_Mapping[str, Numbers]] = ...) -> None: ...

class Positions(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, items: _Optional[_Iterable[int]] = ...) -> None: ...

class Numbers(_message.Message):
    __slots__ = ("numbers",)
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    numbers: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, numbers: _Optional[_Iterable[float]] = ...) -> None: ...

class Account(_message.Message):
    __slots__ = ("bytes_in", "bytes_decoded", "bytes_released", "bytes_written", "frames", "frames_unread", "windows", "channels", "checks", "released_unscanned", "uninspectable", "coverage")
    class ChannelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ChannelAccount
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ChannelAccount, _Mapping]] = ...) -> None: ...
    class ChecksEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Checks
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Checks, _Mapping]] = ...) -> None: ...
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_DECODED_FIELD_NUMBER: _ClassVar[int]
    BYTES_RELEASED_FIELD_NUMBER: _ClassVar[int]
    BYTES_WRITTEN_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    FRAMES_UNREAD_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    RELEASED_UNSCANNED_FIELD_NUMBER: _ClassVar[int]
    UNINSPECTABLE_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    bytes_in: int
    bytes_decoded: int
    bytes_released: int
    bytes_written: int
    frames: int
    frames_unread: int
    windows: int
    channels: _containers.MessageMap[str, ChannelAccount]
    checks: _containers.MessageMap[str, Checks]
    released_unscanned: bool
    uninspectable: str
    coverage: str
    def __init__(self, bytes_in: _Optional[int] = ..., bytes_decoded: _Optional[int] = ..., bytes_released: _Optional[int] = ..., bytes_written: _Optional[int] = ..., frames: _Optional[int] = ..., frames_unread: _Optional[int] = ..., windows: _Optional[int] = ..., channels: _Optional[_Mapping[str, ChannelAccount]] = ..., checks: _Optional[_Mapping[str, Checks]] = ..., released_unscanned: _Optional[bool] = ..., uninspectable: _Optional[str] = ..., coverage: _Optional[str] = ...) -> None: ...

class ChannelAccount(_message.Message):
    __slots__ = ("chars", "scanned")
    CHARS_FIELD_NUMBER: _ClassVar[int]
    SCANNED_FIELD_NUMBER: _ClassVar[int]
    chars: int
    scanned: int
    def __init__(self, chars: _Optional[int] = ..., scanned: _Optional[int] = ...) -> None: ...

class Checks(_message.Message):
    __slots__ = ("run", "failed", "skipped", "not_due")
    RUN_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    NOT_DUE_FIELD_NUMBER: _ClassVar[int]
    run: int
    failed: int
    skipped: int
    not_due: int
    def __init__(self, run: _Optional[int] = ..., failed: _Optional[int] = ..., skipped: _Optional[int] = ..., not_due: _Optional[int] = ...) -> None: ...
