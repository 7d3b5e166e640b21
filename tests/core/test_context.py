"""What both directions share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from safeguards_extproc import wire
from safeguards_extproc.core.context import foreign
from safeguards_extproc.core.decision import Action, Facts, Route, Verdict
from safeguards_extproc.core.effects import Refuse
from tests.playbook import Conversation
from tests.world import WordPolicy, plain_request

BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'


@dataclass(frozen=True)
class Says(WordPolicy):
    """The same verdict on everything; a route where a refusal by policy would be a successful answer."""

    verdict: Verdict = field(default_factory=Verdict)
    place: Route = field(default_factory=lambda: Route("test", refuse_as="answer"))

    def decide(self, facts: Facts) -> Verdict:
        return self.verdict


def test_only_our_prefix_is_ours():
    """Other x- headers stay."""
    assert foreign({"x-safeguards-id": "1", "x-request-id": "2"}) == ["x-safeguards-id"]


def test_a_refusal_can_be_quoted():
    """The client can name the exchange, the access log has a slug, metadata has the verdict."""
    refused = Conversation(WordPolicy()).request(plain_request("FORBIDDEN")).refused

    assert isinstance(refused, Refuse)
    assert ("x-safeguards-id", "exchange-1") in refused.headers
    assert refused.details == "safeguards_block"
    assert refused.metadata["outcome"] == "block"


def said(verdict: Verdict) -> tuple[int, str, Mapping[str, str]]:
    """Status, outcome in the record, headers."""
    talk = Conversation(Says(verdict=verdict), wire=wire).request(BODY)
    assert talk.refused is not None
    return talk.refused.status, talk.record.outcome, dict(talk.refused.headers)


def test_who_is_throttled_is_told_for_how_long():
    """As an error, also where a refusal is an answer: a client may ask again, and not before."""
    status, outcome, headers = said(Verdict(Action.THROTTLE, Action.THROTTLE, reason="throttled", retry_after_s=7))
    assert (status, outcome, headers["retry-after"]) == (429, "throttle", "7")
    assert headers["x-safeguards-outcome"] == "throttle"


def test_who_is_suspended_is_told_so_for_good():
    """As an error that no SDK sends again."""
    status, outcome, headers = said(Verdict(Action.SUSPEND, Action.SUSPEND, reason="suspended"))
    assert (status, outcome, headers["x-should-retry"]) == (403, "suspend", "false")
    assert "retry-after" not in headers
