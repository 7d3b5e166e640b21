"""Items of an answer, each judged by itself: conversations with a search API that a policy declares."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.decision import Action, Facts, Result, Verdict
from safeguards_extproc.core.events import BodyMode
from safeguards_extproc.core.listing import MOST_IDS, MOST_NUMBERS, Listing
from safeguards_extproc.core.record import ItemFacts, Items
from safeguards_extproc.core.scan import AT_ONCE
from safeguards_extproc.core.text import Direction, Item, Kind, Listed
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.load import parse
from tests.playbook import RESPONSE, Conversation, request_headers

BAD, WORSE, MAIL = "gunpowder", "bluefinch", "tom.keller@example.com"

POLICY = """\
version: 1
name: shop
detectors:
  lists: {kind: patterns, lists: {bad: {keywords: [gunpowder]}, worse: {keywords: [bluefinch]}}}
  pii: {kind: pii, entities: [email]}
rules:
  - {name: unsafe, when: scores.lists.bad > 0, on: response, then: drop, category: unsafe}
  - {name: worse, when: scores.lists.worse > 0, then: block}
  - {name: mail, when: scores.pii.email > 0.5, on: response, then: redact, entities: [email]}
apis:
  - name: search
    match: {paths: [/v1/search]}
    request: {texts: [$.query]}
    response:
      texts: [$.summary]
      items: {path: $.results, id: "@.id", texts: ["@.title"], count: [$.total]}
"""
SCREENED = """\
  - {name: screened, when: scores.screen.unsafe > 0.5, on: response, in: [content], then: drop}
"""


def policy(text: str = POLICY) -> CompiledPolicy:
    return parse(text, "shop.yaml")


def screened(on_failure: str = "block", on_missing: str = "ignore") -> CompiledPolicy:
    """With a model that judges texts."""
    model = f"  screen: {{kind: classification, model: screen, labels: [unsafe], on_failure: {on_failure}}}\n"
    rule = SCREENED.replace("then: drop", f"then: drop, on_missing: {on_missing}")
    return policy(POLICY.replace("rules:\n", model + "rules:\n" + rule))


def answer(*titles: str, summary: str = "Found.", ids: str = "p-", **more: Any) -> bytes:
    results = [{"id": f"{ids}{at}", "title": title} for at, title in enumerate(titles)]
    return json.dumps({"total": len(titles), "results": results, "summary": summary, **more}, indent=1).encode()


def search(
    found: CompiledPolicy, body: bytes, *, mode: BodyMode = BodyMode.DUPLEX, chunk: int = 0, **more: Any
) -> Conversation:
    """Ask, and answer with `body`."""
    talk = Conversation(found, wire=wire, mode=mode, **more)
    talk.request(b'{"query":"powder"}', path="/v1/search?page=1")
    return talk.response(body, chunk)


def left(talk: Conversation) -> list[str]:
    """The ids that the client has."""
    return [item["id"] for item in json.loads(talk.client_saw())["results"]]


@pytest.mark.parametrize("mode", [BodyMode.DUPLEX, BodyMode.BUFFERED, BodyMode.STREAMED])
@pytest.mark.parametrize("chunk", [0, 7])
def test_a_bad_item_leaves_the_answer(mode: BodyMode, chunk: int) -> None:
    """The rest goes on in order, its count is right, and the record says what went."""
    talk = search(policy(), answer("oak table", f"a {BAD} keg", "pine table"), mode=mode, chunk=chunk)
    expected = answer("oak table", "x", "pine table").replace(b'"total": 3', b'"total": 2')
    begin, end = expected.index(b'{\n   "id": "p-1"'), expected.index(b'{\n   "id": "p-2"')
    assert expected[:begin] + expected[end:] == talk.client_saw()
    phase = talk.record.response
    assert ("drop", "drop", "drop", "") == (phase.decided, phase.action, phase.applied, phase.cause)
    assert Items(3, 1, 1, ["p-1"]) == phase.items
    assert ("drop", "unsafe", "unsafe", "search", "complete") == (
        talk.record.outcome,
        talk.record.rule,
        talk.record.category,
        talk.record.format,
        talk.record.termination,
    )
    assert 3 == phase.features["items"]


def test_all_items_may_go() -> None:
    """The list is empty then."""
    talk = search(policy(), answer(BAD, BAD))
    assert {"total": 0, "results": [], "summary": "Found."} == json.loads(talk.client_saw())


def test_an_answer_without_bad_items_stays_byte_for_byte() -> None:
    """Nothing is edited where nothing is dropped."""
    talk = search(policy(), body := answer("oak", "pine"))
    assert body == talk.client_saw()
    assert ("allow", Items(listed=2)) == (talk.record.response.applied, talk.record.response.items)


def test_other_rules_judge_all_the_text() -> None:
    """One that blocks blocks the whole; what it hides was decided and not dropped."""
    talk = search(policy(), answer(f"a {BAD} keg", f"a {WORSE}"))
    assert talk.refused is not None
    assert 400 == talk.refused.status
    error = json.loads(talk.client_saw())["error"]
    assert {"message", "type", "param", "code"} == error.keys()
    assert ("block", 0, []) == (
        talk.record.response.applied,
        talk.record.response.items.dropped,
        talk.record.response.items.dropped_ids,
    )


def test_redaction_of_what_stays() -> None:
    """Both are done; what goes is not counted as redacted."""
    talk = search(policy(), answer(f"ask {MAIL}", f"{BAD}, ask {MAIL}"))
    [item] = json.loads(talk.client_saw())["results"]
    assert "ask [REDACTED:EMAIL]" == item["title"]
    assert ("drop", {"email": 1}) == (talk.record.response.applied, talk.record.response.redactions)


@pytest.mark.parametrize(
    "body",
    [
        answer("oak", summary=f"about {BAD}"),
        answer("oak", other=f"about {BAD}"),
        answer(summary=BAD),
        json.dumps({"message": BAD}).encode(),
    ],
)
def test_what_is_in_no_item_is_refused(body: bytes) -> None:
    """A rule that drops blocks where there is nothing to drop."""
    talk = search(policy(), body)
    assert talk.refused is not None
    assert ("block", "unsafe") == (talk.record.response.applied, talk.record.rule)


def test_an_error_of_the_api_has_no_items() -> None:
    """Its text is judged as one."""
    talk = Conversation(policy(), wire=wire)
    talk.request(b'{"query":"powder"}', path="/v1/search").response(answer("a", BAD), status=500)
    assert talk.refused is not None


def test_a_search_without_a_body() -> None:
    """A GET has an answer to judge all the same."""
    talk = Conversation(policy(), wire=wire)
    headers = request_headers("/v1/search?q=powder", end=True)
    headers.fields[":method"] = "GET"
    talk.feed(headers)
    talk.response(answer("a", BAD))
    assert ["p-0"] == left(talk)


def test_a_path_that_a_gateway_rewrote() -> None:
    """Envoy's attribute names the one that the client asked for."""
    talk = Conversation(policy(), wire=wire, attributes={"request.path": "/v1/search?page=1"})
    talk.request(b'{"query":"powder"}', path="/backend/7").response(answer("oak", BAD))
    assert ["p-0"] == left(talk)


@pytest.mark.parametrize(("ignore", "status"), [("", 400), (', ignore: ["@.thumb"]', 200)])
def test_what_cannot_be_read_of_an_item(ignore: str, status: int) -> None:
    """A picture among the strings makes the answer unread, unless its place is ignored."""
    results = [{"id": 1, "title": BAD}, {"id": 2, "title": "oak", "thumb": "data:image/png;base64,AAAA"}]
    found = policy(POLICY.replace("count:", f"{ignore[2:]}, count:" if ignore else "count:"))
    talk = search(found, json.dumps({"results": results}).encode())
    assert status == (talk.refused.status if talk.refused is not None else talk.record.status)
    assert ("unread" if status == 400 else "") == talk.record.response.account.uninspectable


def test_in_shadow_the_record_says_what_would_go() -> None:
    """And everything stays."""
    talk = search(policy("mode: shadow\n" + POLICY), body := answer("oak", BAD))
    assert body == talk.client_saw()
    phase = talk.record.response
    assert ("drop", "allow", "allow", "shadow") == (phase.decided, phase.action, phase.applied, phase.cause)
    assert Items(2, 1, 0, [], ["p-1"]) == phase.items


def test_only_watching_drops_nothing() -> None:
    """The same where Envoy does not listen to what is said."""
    talk = search(policy(), answer("oak", BAD), silent=True)
    phase = talk.record.response
    assert ("drop", "allow", "observe", Items(2, 1, 0, [], ["p-1"])) == (
        phase.decided,
        phase.applied,
        phase.cause,
        phase.items,
    )


def test_ids_that_could_be_text_are_counted_only() -> None:
    """Law 9: a record names short slugs and numbers."""
    results = [{"id": id_, "title": BAD} for id_ in (7, "a:b.c-d_E", "two words", "x" * 65, "é", None, 1.5, True, "")]
    talk = search(policy(), json.dumps({"results": results}).encode())
    assert Items(9, 9, 9, ["7", "a:b.c-d_E"]) == talk.record.response.items


def test_all_items_are_out_to_the_models_at_once() -> None:
    """A window each, as many as may wait; what is left follows as answers come, and order changes nothing."""
    titles = [f"table {at}" for at in range(AT_ONCE + 20)]
    talk = search(screened(), answer(*titles))
    assert [Kind.USER] + [Kind.CONTENT] * AT_ONCE == [asked.kind for asked in talk.out]
    while talk.out:
        asked = talk.out[-1]
        unsafe = 0.9 if "table 7" in asked.texts[0] else 0.1
        talk.answer(asked.ticket, [Result("screen", {"screen.unsafe": unsafe})])
    gone = {7, *range(70, 80)}
    assert [f"p-{at}" for at in range(len(titles)) if at not in gone] == left(talk)
    assert len(titles) - len(gone) == json.loads(talk.client_saw())["total"]


def test_a_model_that_fails_for_one_item() -> None:
    """on_failure says what it means: block refuses the whole; with degrade a rule may drop the item that lacks it."""

    def play(found: CompiledPolicy) -> Conversation:
        talk = search(found, answer("one", "two", "three"))
        while talk.out:
            asked = talk.out[0]
            failure = "timeout" if asked.texts[0].startswith("two") else ""
            scores = {} if failure else {"screen.unsafe": 0.1}
            talk.answer(asked.ticket, [Result("screen", scores, failure)])
        return talk

    refused = play(screened()).refused
    assert refused is not None
    assert 503 == refused.status
    assert ["p-0", "p-1", "p-2"] == left(play(screened("allow")))
    assert ["p-0", "p-2"] == left(play(screened("degrade", "fire")))


def test_a_list_that_is_none_is_no_answer_of_the_api() -> None:
    """It is malformed, and policy says what that means."""
    talk = search(policy(), b'{"results": {"a": 1}}')
    assert ("block", "malformed") == (
        talk.record.response.applied,
        talk.record.response.account.uninspectable,
    )


def test_ids_in_a_record_are_bounded() -> None:
    """Counts are not."""
    items = [Item(str(at), frozenset({(Kind.CONTENT, str(at))})) for at in range(MOST_IDS + 5)]
    listing = Listing(Listed(items, lambda body, gone: body), Facts(Direction.RESPONSE))
    every = frozenset(range(len(items)))
    record = listing.record(Verdict(Action.DROP, Action.DROP, drop=every, would_drop=every), applied=True)
    assert (len(items), len(items), MOST_IDS) == (record.listed, record.dropped, len(record.dropped_ids))


def test_the_record_says_what_each_item_scored() -> None:
    """And what the text scored that is in none; where the answer was refused before, that alone was judged."""
    talk = search(policy(), answer("oak", f"a {BAD} keg", summary=f"ask {MAIL}"))
    known = talk.record.response.item_facts
    assert ("all", {"content"}, {}) == (known.known, set(known.scores), known.failed)
    of = known.scores["content"]
    assert ([-1, 0, 1], [0.0, 0.0, 1.0]) == (of.items, of.scores["lists.bad"])
    assert [score > 0.5 for score in of.scores["pii.email"]] == [True, False, False]
    refused = search(policy(), answer(BAD, summary=f"about {WORSE}")).record.response
    assert ("block", "outside") == (refused.applied, refused.item_facts.known)
    assert ItemFacts() == search(policy(), json.dumps({"message": "no"}).encode()).record.response.item_facts


def test_a_model_that_fails_for_an_item_is_in_the_record() -> None:
    """By the item's position, whatever the others got."""
    talk = search(screened("allow"), answer("one", "two", summary=""))
    while talk.out:
        failure = "timeout" if talk.out[0].texts[0].startswith("two") else ""
        talk.answer(talk.out[0].ticket, [Result("screen", {} if failure else {"screen.unsafe": 0.1}, failure)])
    known = talk.record.response.item_facts
    assert {"screen": [1]} == known.failed
    assert [0.1, -1.0] == known.scores["content"].scores["screen.unsafe"]


def test_numbers_of_items_in_a_record_are_bounded() -> None:
    """A list of which not all fits is not told in part."""
    items = [Item(str(at), frozenset({(Kind.CONTENT, str(at))})) for at in range(MOST_NUMBERS // 2)]
    listing = Listing(Listed(items, lambda body, gone: body), Facts(Direction.RESPONSE))
    for item in items:
        listing.absorb(next(iter(item.channels)), {"a.b": 0.5}, [])
    whole = listing.known(judged=True)
    assert (MOST_NUMBERS // 2, "all") == (len(whole.scores["content"].items), whole.known)
    listing.absorb((Kind.CONTENT, "elsewhere"), {}, [])
    assert ItemFacts("none") == listing.known(judged=True)


def test_what_is_learned_of_an_item_asks_for_no_verdict_on_all() -> None:
    """What is in none does."""
    whole = Facts(RESPONSE)
    inside, outside = (Kind.CONTENT, "items.0"), (Kind.CONTENT, "0")
    listing = Listing(Listed([Item("", frozenset({inside}))], lambda body, gone: body), whole)
    assert not listing.absorb(inside, {"a.b": 0.5}, [Result("c", {"c.d": 0.5}), Result("e", failure="timeout")])
    assert listing.absorb(outside, {"a.b": 0.1}, [])
    assert not listing.absorb(outside, {"a.b": 0.1}, [])
    assert ({"a.b": 0.5, "c.d": 0.5}, {"e": "timeout"}) == (
        listing.facts[0].scores[Kind.CONTENT],
        listing.facts[0].failed,
    )
    assert whole.outside is not None
    assert {"a.b": 0.1} == whole.outside.scores[Kind.CONTENT]
