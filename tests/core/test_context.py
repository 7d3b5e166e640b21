"""What both directions share."""

from safeguards_extproc.core.context import foreign
from safeguards_extproc.core.effects import Refuse
from tests.playbook import Conversation
from tests.world import WordPolicy, plain_request


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
