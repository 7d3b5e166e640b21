"""What comes of an exchange that is decided again: what came of it, where the policy says what it said; and what is
known of it, where not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core.record import ItemFacts, Phase, Record
from safeguards_extproc.core.text import Direction
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.load import parse
from safeguards_extproc.records.encode import from_json, to_json
from safeguards_extproc.replay.settle import Came, How, Said, Was, decide, forced, routes, settle, was
from safeguards_extproc.replay.verdict import UNKNOWN, UNTOUCHED, Side, of
from tests.playbook import Conversation
from tests.world import DONE, event, plain_request

HOW = How()
ALLOWED = Was(Side("allow", "allow", "allow"))
BLOCKED = Was(Side("block", "block", "block"))
NOT_REACHED = Was(UNTOUCHED, judged=False)
NOTHING = Said()
BLOCKS = Said("block", "block", "bad", "harm", fired=True, true=True)

POLICY = """
version: 1
name: test
detectors:
  screen: {kind: classification, model: screen, labels: [bad], on_failure: flag}
  words: {kind: patterns, lists: {odd: {keywords: [odd]}}}
rules:
  - {name: bad, when: scores.screen.bad >= 0.5, then: block, category: harm, on_missing: fire}
  - {name: odd, when: scores.words.odd > 0, then: annotate, annotations: {odd: "yes"}, mode: %s}
uninspectable: {unread: flag}
routes: [{name: all, gate: %s, release: %s, window: {first: 6, largest: 24, overlap: 12}}]
"""
POLICIES = [
    parse(POLICY % how, "test.yaml")
    for how in (("enforce", "hold", "window"), ("shadow", "overlap", "follow"), ("enforce", "observe", "observe"))
]


def came(request: Was, response: Was, asked: Said, answered: Said, after: How = HOW) -> Came:
    return settle(request, response, asked, answered, HOW, after)


def law(again: CompiledPolicy | None = None) -> None:
    """An exchange that a policy decided is decided the same by the same policy, from the record that was written."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.sampled_from(["hello", "BAD", "an odd thing", "odd BAD", "FAILS"]),
        st.lists(st.sampled_from(["some words ", "odd ", "BAD", "x" * 30, " FAILS "]), max_size=6),
        st.sampled_from(POLICIES),
        st.sampled_from(["whole", "cut off", "silent"]),
    )
    def holds(ask: str, answer: list[str], policy: CompiledPolicy, how: str) -> None:
        talk = Conversation(policy, model=lambda text: {"screen.bad": float("BAD" in text)}, silent=how == "silent")
        talk.request(plain_request(ask, stream=True))
        stream = b"".join(event(text=piece) for piece in answer) + DONE
        talk.stream(stream[: len(stream) // 2] if how == "cut off" else stream)
        if not talk.records:
            talk.abort()
        record = from_json(to_json(talk.record))
        assert of(record).said == decide(record, again or policy)[:-1]

    holds()


def test_the_same_policy_decides_the_same() -> None:
    """Held, overlapped, followed or only observed, to its end or cut off."""
    law()


@pytest.mark.long
def test_the_law_bites() -> None:
    """By a policy that fires sooner, it is not the same."""
    with pytest.raises(AssertionError):
        law(parse((POLICY % ("enforce", "hold", "window")).replace(">= 0.5", ">= 0.0"), "test.yaml"))


LISTS = """
version: 1
name: shop
mode: %s
detectors:
  screen: {kind: classification, model: screen, labels: [bad], on_failure: %s}
  words: {kind: patterns, lists: {odd: {keywords: [odd]}}}
rules:
  - {name: odd, when: scores.words.odd > 0, on: response, then: %s, category: odd}
  - {name: bad, when: scores.screen.bad > %s, on: response, in: [content], then: %s, on_missing: %s, category: bad}
  - {name: seen, when: scores.screen.bad > 0.1, on: response, then: annotate, annotations: {seen: "yes"}}
apis:
  - name: search
    match: {paths: [/v1/search]}
    request: {texts: [$.query]}
    response: {texts: [$.summary], items: {path: $.results, id: "@.id", texts: ["@.title"]}}
"""
SHOPS = [
    parse(LISTS % how, "shop.yaml")
    for how in (
        ("enforce", "flag", "drop", "0.5", "drop", "ignore"),
        ("enforce", "degrade", "drop", "0.2", "drop", "fire"),
        ("enforce", "allow", 'annotate, annotations: {odd: "yes"}', "0.7", "drop", "fire"),
        ("shadow", "block", "block", "0.3", "drop", "ignore"),
        ("enforce", "flag", "drop", "0.5", "block", "ignore"),
    )
]
TEXTS = st.sampled_from(["oak", "an odd table", "bad 0.3", "bad 0.6", "odd bad 0.9", "FAILS", ""])


def searched(policy: CompiledPolicy, titles: list[str], summary: str) -> Record:
    """The record of an answer that lists items, as a reader has it."""

    def bad(text: str) -> dict[str, float]:
        return {"screen.bad": float(found[1]) if (found := re.search(r"bad (0\.\d)", text)) else 0.05}

    talk = Conversation(policy, wire=wire, model=bad).request(b'{"query":"powder"}', path="/v1/search")
    results = [{"id": f"p-{at}", "title": title} for at, title in enumerate(titles)]
    talk.response(json.dumps({"results": results, "summary": summary}).encode())
    return from_json(to_json(talk.record))


def items_law(again: Callable[[Record, CompiledPolicy], Came] = decide) -> int:
    """What one policy recorded of a list, any other decides as if it had been there: by each item, and by the text that
    is in none. How many records were enough for it."""
    count = 0

    @settings(max_examples=60, deadline=None, report_multiple_bugs=False)
    @given(st.lists(TEXTS, max_size=5), TEXTS, st.sampled_from(SHOPS), st.sampled_from(SHOPS))
    def holds(titles: list[str], summary: str, one: CompiledPolicy, other: CompiledPolicy) -> None:
        nonlocal count
        record = searched(one, titles, summary)
        assert of(record).said == again(record, one)[:-1]
        if record.response.item_facts.known == "all":
            count += 1
            assert of(searched(other, titles, summary)).said == again(record, other)[:-1]

    holds()
    return count


def test_items_are_decided_again_one_by_one() -> None:
    """By rules that drop, by rules that do not, in shadow, and where a model failed for some."""
    assert items_law() > 20


def test_the_law_of_items_bites() -> None:
    """By the highest scores of all items alone it is another verdict."""

    def whole(record: Record, policy: CompiledPolicy) -> Came:
        response = replace(record.response, item_facts=ItemFacts())
        return decide(replace(record, response=response), policy)

    with pytest.raises(AssertionError):
        items_law(whole)


def test_a_request_that_is_newly_blocked_has_no_answer() -> None:
    """Whatever the answer was, nobody would have asked for it."""
    found = came(ALLOWED, ALLOWED, BLOCKS, NOTHING)
    assert Came(Side("block", "block", "block"), UNTOUCHED, "block", "bad", "harm", True) == found


def test_an_answer_that_was_never_made_is_unknown() -> None:
    """The request would have passed; what the model would have said, no record knows."""
    found = came(BLOCKED, NOT_REACHED, NOTHING, NOTHING)
    assert UNKNOWN == found.response.applied
    assert ("allow", "") == (found.outcome, found.rule)


@pytest.mark.parametrize(("opened", "applied"), [(True, "stop"), (False, "block")])
def test_an_answer_under_way_can_only_be_stopped(opened: bool, applied: str) -> None:
    """Where windows had left, a block of the answer is a stop."""
    assert applied == came(ALLOWED, ALLOWED._replace(opened=opened), NOTHING, BLOCKS).outcome


def test_who_only_watches_changes_nothing() -> None:
    """On a route that observes, a verdict is noted and the exchange goes on; where it stops observing, it does not."""
    watched = came(ALLOWED, ALLOWED, BLOCKS, NOTHING, How(gate="observe"))
    assert (Side("block", "block", "allow"), "allow") == (watched.request, watched.outcome)
    before = Was(Side("block", "block", "allow"), "observe")
    assert "block" == settle(before, ALLOWED, BLOCKS, NOTHING, How(gate="observe"), HOW).outcome


def test_what_could_not_be_read_stays_blocked() -> None:
    """The filter blocked by itself; a policy that asks for nothing changes that as little as one that flags."""
    stuck = BLOCKED._replace(forced=True)
    assert "block" == came(ALLOWED, stuck, NOTHING, NOTHING).outcome
    assert "block" == came(ALLOWED, stuck, NOTHING, Said("annotate", "annotate", "flag", "", True)).outcome
    phase = Phase("block", "block", "block")
    assert forced(phase)
    assert was(Record("x", request=phase), Direction.REQUEST).forced


def test_what_was_never_judged_stays() -> None:
    """A request whose body took too long was refused before any policy was asked."""
    late = Was(Side("allow", "allow", "timeout"), "limit", judged=False)
    assert "timeout" == came(late, NOT_REACHED, BLOCKS, NOTHING).outcome


def test_routes_by_name() -> None:
    """A route that the policy does not have is treated as the record says."""
    found = routes(POLICIES[1])
    assert How(True, "overlap", "follow") == found.of("all", HOW)
    assert HOW == found.of("gone", HOW)
    assert replace(found, by={}).of("all", HOW) == HOW
