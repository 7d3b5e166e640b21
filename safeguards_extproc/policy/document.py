"""The policy document: every key that exists, its type and its default. An unknown key is an error.

What one key allows depends on another stands in checks.py; what a condition may say, in cel.py.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from safeguards_extproc.core.decision import Limits, Windowing
from safeguards_extproc.core.known import MOST
from safeguards_extproc.core.text import Direction
from safeguards_extproc.errors import FAILURES
from safeguards_extproc.policy import account_document
from safeguards_extproc.policy.account_document import CampaignsSpec, EnforcementSpec, IdentitySpec, QuotaSpec
from safeguards_extproc.policy.capture_document import CaptureSpec
from safeguards_extproc.policy.keys import (
    ActionName,
    Bytes,
    DirectionName,
    HeaderName,
    HeaderValue,
    Identifier,
    KindName,
    Mode,
    Name,
    OnUninspectable,
    Score,
    Strict,
    Text,
    VerdictName,
    scalar,
)
from safeguards_extproc.policy.problems import PolicyError, Problem, suggest
from safeguards_extproc.policy.source import Path, Source


class Classification(Strict):
    """A classifier on a model server. `on_failure` says what it means if there is no answer.

    With `when` it is asked about a window only where the condition, over that window's scores of other detectors and
    over features, holds or is unknown; elsewhere its scores are 0.0. `escalate_at_most` bounds the share of windows
    that it is asked about; above it there is no answer.

    One that reads an `exchange` sees the request's question beside each window of the answer; it is not asked about
    requests. One that reads `sentences` sees those of a window that has several, each by itself; of any other its
    scores are 0.0.
    """

    kind: Literal["classification"]
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
    labels: Annotated[list[Identifier], Field(min_length=1, max_length=256)]
    budget_ms: Annotated[int, Field(ge=1, le=60_000)] = 300
    on_failure: Literal["block", "allow", "flag", "degrade"] = "block"
    reads: Literal["text", "exchange", "sentences"] = "text"
    on: Annotated[list[DirectionName], Field(min_length=1)] = ["request", "response"]
    kinds: Annotated[list[KindName], Field(alias="in")] = []
    hedge_ms: Annotated[int, Field(ge=1, le=60_000)] | None = None
    when: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    escalate_at_most: Annotated[float, Field(gt=0, le=1)] | None = None

    @property
    def directions(self) -> frozenset[Direction]:
        """What it is asked about."""
        return frozenset({Direction.RESPONSE}) if self.reads == "exchange" else frozenset(map(Direction, self.on))


class InProcess(BaseModel):
    """A detector of detectors.DETECTORS. Keys other than these are its own options, and it checks them."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    kind: str
    kinds: Annotated[list[KindName], Field(alias="in")] = []

    @property
    def options(self) -> dict[str, Any]:
        """What the detector's factory gets."""
        return dict(self.model_extra or {})


def _sort(value: object) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "classification" if kind == "classification" else "in-process"


DetectorSpec = Annotated[
    Annotated[Classification, Tag("classification")] | Annotated[InProcess, Tag("in-process")], Discriminator(_sort)
]


class RuleSpec(Strict):
    """When `when` is true of a text of these kinds in this direction, do `then`.

    A rule that drops judges each item of an answer by itself. `entities` belong to redact, `instruction` to steer,
    `headers` to reroute, `retry_after_s` (60 unless given) to throttle; `annotations` may stand with any action. A
    score that is missing makes a rule unknown; `on_missing` says whether it then fires.
    """

    name: Name
    when: Annotated[str, Field(min_length=1, max_length=4000)]
    on: Literal["request", "response", "any"] = "any"
    kinds: Annotated[list[KindName], Field(alias="in")] = []
    then: ActionName
    mode: Mode = "enforce"
    on_missing: Literal["ignore", "fire"] = "ignore"
    category: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_-]{0,63})?$")] = ""
    message: Text | None = None
    entities: Annotated[list[str], Field(min_length=1)] | None = None
    placeholder: Literal["mark", "numbered"] = "mark"
    restore: bool = False
    instruction: Text | None = None
    headers: Annotated[dict[HeaderName, HeaderValue], Field(min_length=1)] | None = None
    retry_after_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    annotations: dict[HeaderName, HeaderValue] = {}


class Uninspectable(Strict):
    """What it means that a body could not be read, by the reason. `flag` lets it pass and says so.

    `opaque` is text or JSON that no format knows; `opaque-answer` an answer that no format knows to a request without
    a body, or the page of a redirect or an error; `websocket` any tunnel; `grpc` and `binary` what a media type names;
    `unavailable` what is large and was not read in time; `overloaded` an exchange that began while too much waited.
    """

    opaque: OnUninspectable = "block"
    opaque_answer: Annotated[OnUninspectable, Field(alias="opaque-answer")] = "flag"
    malformed: OnUninspectable = "block"
    encoding: OnUninspectable = "block"
    too_large: Annotated[OnUninspectable, Field(alias="too-large")] = "block"
    unread: OnUninspectable = "block"
    not_sent: Annotated[OnUninspectable, Field(alias="not-sent")] = "block"
    unavailable: OnUninspectable = "block"
    overloaded: OnUninspectable = "block"
    websocket: OnUninspectable = "block"
    grpc: OnUninspectable = "block"
    binary: OnUninspectable = "block"


class Match(Strict):
    """Which exchanges a route takes: each list that is given must have a member that fits.

    In `paths`, `*` is any run of characters within a segment and `**` crosses segments; in `hosts`, `*` is any run.
    Paths are matched in normal form: small letters, decoded, without dot segments and final slash.
    """

    methods: list[Annotated[str, Field(pattern=r"^[A-Z]{1,20}$")]] = []
    hosts: list[Annotated[str, Field(pattern=r"^[a-z0-9*._:\[\]-]{1,253}$")]] = []
    paths: list[Annotated[str, Field(pattern=r"^/[^?#]{0,511}$")]] = []


class TextPath(Strict):
    """Texts of another kind than the usual one."""

    path: str
    kind: Annotated[KindName, Field(alias="in")]


def _text_path(value: object) -> object:
    return "plain" if isinstance(value, str) else "of a kind"


TextSpec = Annotated[Annotated[str, Tag("plain")] | Annotated[TextPath, Tag("of a kind")], Discriminator(_text_path)]
Texts = Annotated[list[TextSpec], Field(max_length=64)]
Places = Annotated[list[str], Field(max_length=64)]


class ApiRequest(Strict):
    """Where a request holds text, by default the user's, and the model's name. What is ignored is not read."""

    texts: Texts = []
    model: str | None = None
    ignore: Places = []


class ApiItems(Strict):
    """The list of an answer whose items can be dropped, and the numbers that count them. All paths but `path` and those
    in `count` are paths within an item."""

    path: str
    id: str | None = None
    texts: Texts = []
    ignore: Places = []
    count: Places = []


class ApiResponse(Strict):
    """Where an answer holds text, by default content. What is ignored is not read."""

    texts: Texts = []
    ignore: Places = []
    items: ApiItems | None = None


class ApiSpec(Strict):
    """A JSON API: what requests belong to it, beside those of a route that names it as its format, and where its bodies
    hold what. A string in no declared place is read as `other`."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    match: Match | None = None
    request: ApiRequest = ApiRequest()
    response: ApiResponse = ApiResponse()


class WindowSpec(Strict):
    """How text is cut, in characters; `flush_ms` is how long a slow stream's text waits for more. With `paragraphs`
    models read each paragraph of a request's window by itself, too; with `turns` the user's turns together, too."""

    first: Annotated[int, Field(ge=1, le=100_000)] = Windowing().first
    largest: Annotated[int, Field(ge=1, le=100_000)] = Windowing().largest
    overlap: Annotated[int, Field(ge=0, le=100_000)] = Windowing().overlap
    flush_ms: Annotated[int, Field(ge=1, le=60_000)] = Windowing().flush_ms
    paragraphs: bool = Windowing().paragraphs
    turns: bool = Windowing().turns


class LimitSpec(Strict):
    """Bounds of one exchange. Bytes as a number or as "8MiB"."""

    request_bytes: Bytes = Limits().request_bytes
    response_bytes: Bytes = Limits().response_bytes
    event_bytes: Bytes = Limits().event_bytes
    held_bytes: Bytes = Limits().held_bytes
    windows: Annotated[int, Field(ge=1, le=1_000_000)] = Limits().windows
    request_body_s: Annotated[float, Field(gt=0, le=3600)] = Limits().request_body_s


class RouteSpec(Strict):
    """How the exchanges that match are treated. The first route that matches counts."""

    name: Name
    match: Match = Match()
    inspect: bool = True
    shed: bool = True
    format: str = "auto"
    gate: Literal["hold", "overlap", "observe"] = "hold"
    release: Literal["window", "follow", "observe"] = "window"
    window: WindowSpec = WindowSpec()
    limits: LimitSpec = LimitSpec()
    refuse_as: Literal["error", "answer"] = "error"
    strip_accept_encoding: bool = True


class Example(Strict):
    """Facts and the verdict that they must have. `text` runs the in-process detectors; `scores` stand for models.

    `expect` is the verdict with rules in shadow left out, `decided` the one with them counted. `mode: shadow` of the
    whole policy does not change either, so a policy can be put in shadow without rewriting its examples. `item`: the
    text is that of one item of an answer's list.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    on: DirectionName
    kind: Annotated[KindName | None, Field(alias="in")] = None
    text: str | None = None
    scores: dict[str, Score] = {}
    failed: dict[str, Literal[tuple(FAILURES)]] = {}  # type: ignore[valid-type]
    features: dict[Identifier, Annotated[Any, BeforeValidator(scalar)]] = {}
    uninspectable: Literal[
        "",
        "opaque",
        "opaque-answer",
        "malformed",
        "encoding",
        "too-large",
        "unread",
        "not-sent",
        "unavailable",
        "overloaded",
        "websocket",
        "grpc",
        "binary",
    ] = ""
    item: bool = False
    expect: VerdictName
    decided: VerdictName | None = None


class Document(Strict):
    """A whole policy. `thresholds` name numbers that conditions use as thresholds.<name>. Of `remember` windows of
    requests a worker remembers what detectors in process found (core/known.py)."""

    version: Literal[1]
    name: Name
    message: Text = "This was declined by the safety policy."
    mode: Mode = "enforce"
    thresholds: dict[Identifier, float] = {}
    detectors: dict[Identifier, DetectorSpec] = {}
    rules: list[RuleSpec] = []
    uninspectable: Uninspectable = Uninspectable()
    apis: list[ApiSpec] = []
    routes: list[RouteSpec] = []
    identity: IdentitySpec = IdentitySpec()
    limits: list[QuotaSpec] = []
    enforcement: EnforcementSpec = EnforcementSpec()
    campaigns: CampaignsSpec = CampaignsSpec()
    capture: CaptureSpec | None = None
    remember: Annotated[int, Field(ge=0, le=1 << 20)] = MOST
    examples: list[Example] = []


_AT: dict[tuple[str, ...], type[BaseModel]] = {
    (): Document,
    ("detectors", "*"): Classification,
    ("rules", "*"): RuleSpec,
    ("uninspectable",): Uninspectable,
    ("apis", "*"): ApiSpec,
    ("apis", "*", "match"): Match,
    ("apis", "*", "request"): ApiRequest,
    ("apis", "*", "response"): ApiResponse,
    ("apis", "*", "response", "items"): ApiItems,
    ("routes", "*"): RouteSpec,
    ("routes", "*", "match"): Match,
    ("routes", "*", "window"): WindowSpec,
    ("routes", "*", "limits"): LimitSpec,
    ("capture",): CaptureSpec,
    ("examples", "*"): Example,
    **account_document.AT,
}

_LISTS = {path[:-1] for path in _AT if path[-1:] == ("*",)}
"""What holds names or numbers that the operator chose, not keys."""

_PLAIN = {
    "missing": "is required",
    "extra_forbidden": "unknown key",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}

_PATTERNS = {
    r"^[a-z][a-z0-9_-]{0,63}$": "must be a name: a small letter, then small letters, digits, '-' and '_', at most 64",
    r"^([a-z][a-z0-9_-]{0,63})?$": "must be a name: a small letter, then small letters, digits, '-' and '_'",
    r"^[a-z][a-z0-9_]{0,63}$": "must be a name: a small letter, then small letters, digits and '_', at most 64",
    r"^[a-z_][a-z0-9_]{0,63}$": "must be an identifier: small letters, digits and '_', not beginning with a digit",
    r"^[a-z0-9][a-z0-9-]{0,63}$": "must be a header's name: small letters, digits and '-'",
    r"^[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?$": "must be a header's value: printable ASCII, at most 256",
    r"^[A-Z]{1,20}$": "must be an HTTP method in capitals",
    r"^[a-z0-9*._:\[\]-]{1,253}$": "must be a host in small letters, with * for any run of characters",
    r"^/[^?#]{0,511}$": "must be a path that begins with / and has no query",
}


def parse(source: Source) -> Document:
    """The document in `source`. Raises PolicyError with every mistake in it."""
    try:
        return Document.model_validate(source.data)
    except pydantic.ValidationError as error:
        found = [_problem(source, dict(item)) for item in error.errors(include_url=False)]
        raise PolicyError(sorted(dict.fromkeys(found), key=lambda p: int(p.where.rpartition(":")[2]))) from None


def _problem(source: Source, error: dict[str, Any]) -> Problem:
    path = _path(source.data, error["loc"])
    ctx = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            model = _AT.get(tuple("*" if path[:i] in _LISTS else str(step) for i, step in enumerate(path[:-1])))
            known = [field.alias or name for name, field in model.model_fields.items()] if model else []
            return source.problem(path, "unknown key", suggest(str(path[-1]), known))
        case "literal_error" | "enum":
            value, expected = error["input"], ctx["expected"]
            options = re.findall(r"'([^']*)'", expected)
            hint = suggest(value, options) if isinstance(value, str) else ""
            return source.problem(path, f"must be {expected}", hint if hint.startswith("did") else "")
        case "string_pattern_mismatch":
            return source.problem(path, _PATTERNS.get(ctx["pattern"], "is not written as it must be"))
        case "string_type":
            hint = "put it in quotes" if isinstance(error["input"], bool | int | float) else ""
            return source.problem(path, "must be a string", hint)
        case "value_error":
            return source.problem(path, str(ctx["error"]))
        case kind:
            message = str(error["msg"])
            return source.problem(path, _PLAIN.get(kind, message[:1].lower() + message[1:]))


def _path(data: Any, loc: tuple[str | int, ...]) -> Path:
    """pydantic's location without the steps that name a type and not a place."""
    path: list[str | int] = []
    for i, step in enumerate(loc):
        written = isinstance(data, dict) and step in data
        if isinstance(data, dict) and (written or i == len(loc) - 1):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int):
            data = data[step] if step < len(data) else None
        else:
            continue
        if written or step != "[key]":  # pydantic's name for a key itself, and anybody's for a key of theirs
            path.append(step)
    return tuple(path)
