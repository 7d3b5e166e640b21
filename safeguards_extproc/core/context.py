"""What both directions of an exchange share: its policy snapshot, its wire format, its effects, its clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from safeguards_extproc.core.admission import Desk
from safeguards_extproc.core.decision import Action, Policy, Route, Value, Verdict
from safeguards_extproc.core.effects import Effect, Metadata, Refuse
from safeguards_extproc.core.events import BodyMode, Opened
from safeguards_extproc.core.placeholders import Originals
from safeguards_extproc.core.question import Question
from safeguards_extproc.core.record import FiredRule, Phase
from safeguards_extproc.core.scan import Scan
from safeguards_extproc.core.text import Answer, Direction, Format, Refusal, Wire

OURS = "x-safeguards-"
"""Headers that begin so are ours alone: they are removed from what clients and upstreams send."""

MODEL_CHARS = 128
"""The most of a model's name that is kept: a client chooses it, in a path or a body."""

UNROUTED = Route("none", inspect=False)


@dataclass(slots=True)
class Context:
    """`out` collects the effects of one `feed`. `now` is the time of the event at hand, `began` that of the first.

    `pending`: no header tells the format, and the request's body may yet. `bare`: the request has no body. `originals`
    is what was replaced in the request and belongs back into its answer, `question` what the request asks, if some
    model reads that beside the answer or campaigns are looked for in it. `desk` is where it asks for its admission, if
    the policy has it ask.
    """

    policy: Policy
    wire: Wire
    id: str
    opened: Opened
    out: list[Effect]
    tickets: Iterator[int]
    began: float
    now: float
    route: Route = UNROUTED
    format: Format | None = None
    model: str = ""
    streamed: bool = False
    pending: bool = False
    bare: bool = False
    originals: Originals = field(default_factory=Originals)
    question: Question | None = None
    desk: Desk | None = None

    def resolve(self, name: str, fields: Mapping[str, str]) -> None:
        """Find the format: what the policy declares itself comes before what the wire knows."""
        declared = self.policy.declared(name, fields)
        self.format, model = (declared, "") if declared is not None else self.wire.resolve(name, fields)
        self.model = model[:MODEL_CHARS]

    @property
    def unclaimed(self) -> bool:
        """Whether no header tells the format, and none was named."""
        return self.route.format == "auto" and self.format is not None and self.format.name == "opaque"

    @property
    def sheds(self) -> bool:
        """Whether there is no time to read this exchange."""
        return self.opened.overloaded and self.route.shed

    @property
    def limits(self) -> Sequence[tuple[str, str]]:
        """Headers that tell whoever asked about limits."""
        return self.desk.told if self.desk is not None else ()

    def ms(self) -> float:
        """Milliseconds since the exchange began."""
        return round((self.now - self.began) * 1000, 3)

    def mode(self, direction: Direction) -> BodyMode:
        return self.opened.request if direction is Direction.REQUEST else self.opened.response

    def scan(self, direction: Direction) -> Scan:
        """A scan by the route that has been found, knowing what is known so far."""
        features: dict[str, Value] = {"route": self.route.name, "format": self.format.name if self.format else "opaque"}
        envoy_route = self.opened.attributes.get("xds.route_name")
        if envoy_route is not None:
            features["envoy_route"] = envoy_route
        windowing, tickets, out = self.route.windowing, self.tickets, self.out
        if direction is Direction.REQUEST:
            return Scan(self.policy, direction, windowing, tickets, out, features)
        question = self.question if any(model.exchange for model in self.policy.models) else None
        return Scan(self.policy, direction, windowing, tickets, out, features, self.originals, question)

    def refusal(self, verdict: Verdict) -> Refusal:
        """The words for a verdict that says no."""
        message = verdict.message or self.policy.message
        return Refusal(verdict.reason, message, verdict.category, self.id, verdict.retry_after_s)

    def answer(self, verdict: Verdict, *, as_error: bool, streamed: bool) -> Answer:
        """A whole answer that says no: the provider's error, or a successful answer that refuses."""
        if self.format is None:
            raise AssertionError("headers come first")
        if as_error or verdict.reason != "policy":
            return self.format.refuse(self.refusal(verdict))
        return self.format.answer(self.refusal(verdict), model=self.model, streamed=streamed)

    def refuse(self, verdict: Verdict, outcome: str, metadata: Metadata, *, as_error: bool) -> int:
        """Answer the client ourselves; returns the status."""
        answer = self.answer(verdict, as_error=as_error, streamed=self.streamed)
        headers = [*answer.headers, (OURS + "id", self.id), (OURS + "outcome", outcome), *self.limits]
        self.out.append(Refuse(answer.status, headers, answer.body, f"safeguards_{outcome}", metadata))
        return answer.status


def foreign(fields: dict[str, str]) -> list[str]:
    """Names of headers that only we may set."""
    return [name for name in fields if name.startswith(OURS)]


def close(phase: Phase, scan: Scan) -> None:
    """Write what the scan knows into the record's phase."""
    verdict, facts = scan.verdict, scan.facts
    phase.decided, phase.action = verdict.decided.value, verdict.action.value
    phase.fired = [
        FiredRule(fired.rule, fired.action.value, "enforce" if fired.enforced else "shadow", fired.cause)
        for fired in verdict.fired
    ]
    phase.scores = {kind.value: scores for kind, scores in facts.scores.items()}
    phase.failed, phase.skipped, phase.features = facts.failed, facts.skipped, facts.features
    if scan.listing is not None:
        phase.items = scan.listing.record(verdict, applied=phase.applied == Action.DROP)
        phase.item_facts = scan.listing.known(judged=facts.items is scan.listing.facts)
    phase.account = scan.account
    phase.account.coverage = scan.coverage()
