"""An exchange that begins when too much waits already: policy says what that means, before anything of it is read."""

import json

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.account import Admitted
from safeguards_extproc.core.events import Body
from safeguards_extproc.policy.load import parse
from tests.playbook import REQUEST, Conversation, request_headers

ASK = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}).encode()
SAID = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}}]}).encode()


def overloaded(policy: str = "", **options) -> Conversation:
    """A conversation with a filter that has too much to do."""
    talk = Conversation(
        parse(f"version: 1\nname: shed\ndetectors: {{secrets: {{kind: secrets}}}}\n{policy}", "shed"),
        wire=wire,
        **options,
    )
    talk.opened.overloaded = True
    return talk


def test_it_is_refused_by_its_headers_alone():
    """In the dialect, with a status and a header that say later; nothing goes on, and the record says why."""
    talk = overloaded()
    talk.feed(request_headers())

    assert talk.refused is not None
    assert (503, "1") == (talk.refused.status, dict(talk.refused.headers)["retry-after"])
    assert "server_error" == json.loads(talk.refused.body)["error"]["type"]
    assert ("overloaded", "block", "none") == (
        talk.record.request.account.uninspectable,
        talk.record.outcome,
        talk.record.request.account.coverage,
    )
    assert ["uninspectable:overloaded"] == [fired.rule for fired in talk.record.request.fired]


def test_who_is_refused_for_it_is_not_counted():
    """No limit is asked, so nothing is charged."""
    talk = overloaded(
        "limits: [{name: few, per: [end_user], rate: 1/1s}]\nidentity: {end_user: [{header: x-user, trusted: true}]}\n"
    )
    talk.feed(request_headers())

    assert talk.refused is not None
    assert talk.admission is None


@pytest.mark.parametrize("gate", ["hold", "overlap", "observe"])
def test_a_policy_may_let_it_go_on_unread(gate):
    """Neither half is read, both say so, and every byte arrives."""
    talk = overloaded(f"uninspectable: {{overloaded: flag}}\nroutes: [{{name: all, gate: {gate}, release: window}}]\n")
    talk.request(ASK).response(SAID)

    assert (ASK, SAID) == (talk.upstream_saw(), talk.client_saw())
    record = talk.record
    assert ["overloaded"] * (2 if gate != "observe" else 1) == [
        phase.account.uninspectable for phase in (record.request, record.response) if phase.account.uninspectable
    ]


def test_who_may_not_ask_is_refused_however_much_there_is_to_do():
    """To let go on unread is not to let in: accounts are asked all the same."""
    limited = (
        "limits: [{name: few, per: [end_user], rate: 1/1s}]\nidentity: {end_user: [{header: x-user, trusted: true}]}\n"
    )
    talk = overloaded(f"uninspectable: {{overloaded: allow}}\n{limited}")
    talk.feed(request_headers())

    assert talk.admission is not None
    assert talk.refused is None
    talk.admitted(Admitted())
    talk.send(REQUEST, [ASK])
    assert ASK == talk.upstream_saw()


def test_a_route_may_be_read_however_long_that_takes():
    """What is never shed is read as ever."""
    talk = overloaded("routes: [{name: all, shed: false}]\n").request(ASK).response(SAID)

    assert ("full", "full") == (talk.record.request.account.coverage, talk.record.response.account.coverage)


def test_a_request_without_a_body_is_answered():
    """There is nothing to read of it, and little of its answer."""
    talk = overloaded()
    talk.feed(request_headers("/v1/models", end=True))
    talk.response(b"{}")

    assert talk.refused is None


def test_an_observed_request_goes_on_and_its_answer_is_read():
    """Nobody may be refused for what is only observed; what is enforced of the answer is enforced."""
    talk = overloaded("routes: [{name: all, gate: observe}]\n").request(ASK).response(SAID)

    assert (ASK, SAID) == (talk.upstream_saw(), talk.client_saw())
    assert ("overloaded", "full") == (
        talk.record.request.account.uninspectable,
        talk.record.response.account.coverage,
    )


def test_what_comes_after_the_refusal_is_nobodys():
    """Envoy's next chunk was on its way."""
    talk = overloaded()
    talk.feed(request_headers())

    assert [] == talk.feed(Body(REQUEST, ASK, True))
