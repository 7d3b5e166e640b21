"""The client reads its own words where the model wrote a placeholder; the upstream never has them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Action, Gate, Limits, Model, Placeholder, Release, Route, Windowing
from safeguards_extproc.core.events import BodyMode
from safeguards_extproc.core.placeholders import Originals
from safeguards_extproc.errors import MalformedBody
from tests.playbook import RESPONSE, Conversation
from tests.world import DONE, SORRY, PlainReader, WordPolicy, event, plain_request, plain_stream

SMALL = Route("test", windowing=Windowing(first=4, largest=12, overlap=6))
WORDS = {"fox": Action.REDACT, "FORBIDDEN": Action.BLOCK}
ASK = plain_request("my fox and your fox")


def talk(
    *, mode: BodyMode = BodyMode.DUPLEX, ask: bytes = ASK, words: dict[str, Action] | None = None, **place: object
) -> Conversation:
    route = Route("test", windowing=SMALL.windowing, **place)  # type: ignore[arg-type]
    policy = WordPolicy(words=words or WORDS, place=route, placeholder=Placeholder.RESTORED)
    return Conversation(policy, mode=mode).request(ask)


def spoken(stream: bytes) -> str:
    events = [frame.removeprefix(b"data: ") for frame in stream.split(b"\n\n") if frame.startswith(b"data: {")]
    return "".join(json.loads(each).get("text", "") for each in events)


def test_the_upstream_reads_placeholders_and_the_client_its_words() -> None:
    """The whole of it; the record counts, and says no word."""
    book = talk().response(json.dumps({"text": "I keep <FOX_1>.", "usage": {"n": 7}}).encode())
    assert {"text": "my <FOX_1> and your <FOX_1>", "stream": False} == json.loads(book.upstream_saw())
    assert {"text": "I keep fox.", "usage": {"n": 7}} == json.loads(book.client_saw())
    record = book.record
    assert ({"fox": 2}, {}) == (record.request.redactions, record.request.restored)
    assert ({}, {"fox": 1}) == (record.response.redactions, record.response.restored)


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(["<FOX_1>", "<FOX_2>", "<", "FOX_1>", "a word ", "<FO", "X_1", ">"]), max_size=9
    ).map("".join),
    size=st.sampled_from([1, 2, 5, 40]),
    chunk=st.sampled_from([0, 1, 9]),
)
def test_a_placeholder_cut_over_events_is_put_back(pieces: str, size: int, chunk: int) -> None:
    """However the model and the network cut it, and the answer is the same as if it had come whole."""
    said = [pieces[at : at + size] for at in range(0, len(pieces), size)]
    book = talk().stream(plain_stream(*said), chunk)
    assert pieces.replace("<FOX_1>", "fox") == spoken(book.client_saw())
    whole = talk().response(json.dumps({"text": pieces}).encode())
    assert spoken(book.client_saw()) == json.loads(whole.client_saw())["text"]
    assert whole.record.response.restored == book.record.response.restored


@pytest.mark.interpreted
def test_a_tail_that_is_not_held_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: nothing waits for the rest of a placeholder."""
    monkeypatch.setattr(Originals, "tail", lambda self, text, least=0: least)
    said = ["x" * before + "<FOX_1>" for before in range(12)]
    assert any("x<" in spoken(talk().stream(plain_stream(*text)).client_saw()) for text in said)


def test_what_turns_out_to_be_none_is_let_go() -> None:
    """At the end at the latest; the bytes are as they came."""
    stream = plain_stream("a <FO", "ND", " and <FOX_")
    assert stream == talk().stream(stream).client_saw()


def test_events_without_a_placeholder_are_as_they_came() -> None:
    """Law 10: only those that hold a piece of one are written anew."""
    odd = b'data: {"text":   "untouched " }\n\n'
    book = talk().stream(odd + event(text="<FOX") + event(text="_1>!") + odd + DONE)
    assert odd + event(text="fox") + event(text="!") + odd + DONE == book.client_saw()


def test_a_call_is_restored_too() -> None:
    """Also where the model escaped the brackets in its arguments, and over two events of it."""
    call = r'{"to": "<FOX_1>", "cc": "\u003cFOX_1\u003e"}'
    book = talk().stream(event(call=call[:12]) + event(call=call[12:]) + event(end=True) + DONE)
    events = [json.loads(frame.removeprefix(b"data: ")) for frame in book.client_saw().split(b"\n\n")[:2]]
    assert {"to": "fox", "cc": "fox"} == json.loads("".join(each["call"] for each in events))
    assert {"fox": 2} == book.record.response.restored


@pytest.mark.parametrize("mode", [BodyMode.DUPLEX, BodyMode.STREAMED, BodyMode.BUFFERED])
def test_in_every_mode(mode: BodyMode) -> None:
    """Paired answers grow and shrink with what they hold."""
    book = talk(mode=mode).stream(plain_stream("to <FO", "X_1>", " now"), 11)
    assert "to fox now" == spoken(book.client_saw())
    assert mode is BodyMode.DUPLEX or 0 == book.owed(RESPONSE)


def test_a_stop_comes_after_what_was_put_back() -> None:
    """A stream that is ended is ended as ever."""
    words = {**WORDS, "HALT": Action.STOP}
    book = talk(words=words).stream(plain_stream("to <FOX_1> now. ", "and then HALT it"), 5)
    assert book.client_saw().endswith(SORRY)
    assert b"to fox now" in book.client_saw()
    assert b"HALT" not in book.client_saw()


def test_an_answer_that_is_redacted_still_gets_its_values() -> None:
    """What the answer says of its own is marked; what the client said is put back, and not redacted again."""
    book = talk().stream(plain_stream("fox is not ", "<FOX_1>, I think"), 7)
    assert "[REDACTED:FOX] is not fox, I think" == spoken(book.client_saw())
    response = book.record.response
    assert ({"fox": 1}, {"fox": 1}) == (response.redactions, response.restored)


def test_models_see_placeholders_only() -> None:
    """What was taken out of the request goes to no model with the answer."""
    seen: list[str] = []

    def model(text: str) -> dict[str, float]:
        seen.append(text)
        return {}

    screen = Model("screen", "screen", 100, request=False)
    policy = WordPolicy(words=WORDS, place=SMALL, placeholder=Placeholder.RESTORED, models=(screen,))
    book = Conversation(policy, model=model).request(ASK).stream(plain_stream("to ", "<FOX", "_1>"))
    assert "to fox" == spoken(book.client_saw())
    assert seen
    assert not any("fox" in text.replace("<FOX_1>", "") for text in seen)


def test_what_is_redacted_around_a_placeholder_takes_it_along() -> None:
    """It is a part of what must not be seen."""
    words = {"fox": Action.REDACT, "say <FOX_1> twice": Action.REDACT}
    book = talk(words=words).response(json.dumps({"text": "I say <FOX_1> twice."}).encode())
    assert "I [REDACTED:SAY <FOX_1> TWICE]." == json.loads(book.client_saw())["text"]
    assert {} == book.record.response.restored


def test_an_answer_cannot_be_blown_up() -> None:
    """A short placeholder may stand for a long text: no more is put back than a response may hold."""
    book = talk(limits=Limits(response_bytes=40)).stream(plain_stream(*["<FOX_1> "] * 30))
    said = spoken(book.client_saw())
    assert (13, 17) == (said.replace("<FOX_1>", "").count("fox"), said.count("<FOX_1>"))
    assert {"fox": 13} == book.record.response.restored


@pytest.mark.parametrize("shadow", [True, False])
def test_nothing_is_put_back_where_nothing_was_taken(shadow: bool) -> None:
    """A rule in shadow, and a request that had nothing."""
    policy = WordPolicy(words=WORDS, place=SMALL, placeholder=Placeholder.RESTORED, shadow=shadow)
    ask = ASK if shadow else plain_request("hello")
    stream = plain_stream("to <FOX_1>")
    assert stream == Conversation(policy).request(ask).stream(stream).client_saw()


@pytest.mark.parametrize("gate", [Gate.OVERLAP, Gate.OBSERVE])
def test_a_request_that_has_gone_has_lost_nothing(gate: Gate) -> None:
    """Nothing was replaced in it, so nothing is put back."""
    stream = plain_stream("to <FOX_1>")
    book = talk(gate=gate).stream(stream)
    assert (ASK, stream) == (book.upstream_saw(), book.client_saw())


def test_observability_changes_nothing() -> None:
    """Envoy has passed both sides on long ago."""
    policy = WordPolicy(words=WORDS, place=SMALL, placeholder=Placeholder.RESTORED)
    book = Conversation(policy, silent=True).request(ASK).stream(plain_stream("to <FOX_1>"))
    assert ({}, {}) == (book.record.request.redactions, book.record.response.restored)


@pytest.mark.parametrize("ahead", ["", "a word or two "])
def test_what_cannot_be_edited_ends_the_stream(ahead: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that cannot put it there says so: the answer ends as a refusal, nothing half-edited leaves."""

    def unable(reader: PlainReader, frame: bytes, edits: object) -> bytes:
        raise MalformedBody("shape")

    monkeypatch.setattr(PlainReader, "edit", unable)
    book = talk().stream(plain_stream(*([ahead] if ahead else []), "to <FOX_1>"), 9)
    assert bool(ahead) is (book.refused is None)
    assert b"FOX" not in book.client_saw()
    assert "block" == book.record.response.action


def test_a_follower_has_no_room_for_it() -> None:
    """Where events leave at once they leave as they are; policy refuses to be asked for more."""
    stream = plain_stream("to <FOX_1>")
    assert stream == talk(release=Release.FOLLOW).stream(stream).client_saw()


def test_nothing_is_remembered() -> None:
    """Whether it ends well, is stopped or broken off: the values are gone with the exchange."""
    ends = [talk().stream(plain_stream("<FOX_1>")), talk().stream(event(text="FORBIDDEN")), talk().abort()]
    assert [0, 0, 0] == [len(book.exchange._ctx.originals) for book in ends]
