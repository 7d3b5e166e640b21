"""The same capture, the same verdict: whatever was decided is decided again, and only a policy can change that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core.decision import Result
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.taken import Message, Note, Taken, shown
from safeguards_extproc.errors import IllegalEvent
from safeguards_extproc.replay import messages, verdict
from safeguards_extproc.replay.through_core import alone, play
from tests.replay.worlds import BAD, HARMLESS, POLICY, SAMPLES, decided, kept, model, policy, sample


def said(record: Record) -> object:
    """A record without its times."""
    still = {
        "headers_ms": -1.0,
        "ended_ms": -1.0,
        "decided_ms": -1.0,
        "first_release_ms": -1.0,
        "last_release_ms": -1.0,
    }
    phases = {name: replace(getattr(record, name), **still) for name in ("request", "response")}
    return replace(record, duration_ms=0.0, **phases)


def told(taken: Taken | None) -> list[tuple[int, bytes]]:
    """What Envoy was given, and when."""
    assert taken is not None
    return [(message.at, message.raw) for message in taken.messages if not message.from_envoy]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_same_policy_decides_the_same(name: str) -> None:
    """With every score, account and byte, and without a model."""
    first = decided(name)
    again = alone(play(first, policy(), wire))
    assert first.record is not None
    assert said(first.record) == said(again.record)
    assert 0 == again.unknown
    again_kept = alone(play(first, policy(), wire, keep=True)).taken
    assert told(first) == told(again_kept)
    assert first == again_kept


OUTCOMES = {
    "harmless": ("redact", "redact"),
    "whole": ("redact", "redact"),
    "bad question": ("block", "pass"),
    "bad answer": ("redact", "stop"),
    "bad whole": ("redact", "stop"),
    "slow": ("redact", "redact"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_what_samples_are(name: str) -> None:
    """Each way for an exchange to end is among them."""
    record = decided(name).record
    assert record is not None
    assert OUTCOMES[name] == (record.request.applied, record.response.applied)


def test_another_policy_decides_otherwise() -> None:
    """A lower threshold refuses what passed, by the scores that the capture holds."""
    before = decided("harmless")
    after = alone(play(before, policy(0.05), wire))
    assert (0, "block", "bad") == (after.unknown, after.record.outcome, after.record.rule)


@pytest.mark.parametrize(
    ("known", "after"), [(True, ("allow", "redact", "complete")), (False, ("allow", "pass", "closed"))]
)
def test_a_milder_policy_lets_go_what_was_refused(known: bool, after: tuple[str, str, str]) -> None:
    """Of real traffic nobody knows what the upstream would have said; of a sample it is known."""
    before = decided("bad question")
    if not known:
        before.messages = [message for message in before.messages if message.place >= 0]
    record = alone(play(before, policy(0.95), wire), model).record
    assert after == (record.request.applied, record.response.applied, record.termination)


def test_what_the_capture_does_not_say_is_asked() -> None:
    """Other windows than those that were scored: the model that is named answers, or the check is unavailable."""
    wider = policy(text=POLICY.replace("largest: 80", "largest: 200").replace("first: 40", "first: 100"))
    before = decided("bad answer")
    alone_ = alone(play(before, wider, wire))
    assert alone_.unknown
    assert {"judge": "unavailable"} == alone_.record.request.failed
    helped = alone(play(before, wider, wire), model)
    assert ("stop", {}) == (helped.record.response.applied, helped.record.response.failed)


def test_what_a_verdict_makes_needless_is_not_asked() -> None:
    """After a stop nobody wants to know what models think of the rest."""
    before = decided("bad answer")
    assert before.record is not None
    first = next(
        number for number, answer in enumerate(before.answers) if answer.results[0][1].scores["judge.bad"] > 0.8
    )
    before.answers = before.answers[: first + 1]
    before.record.policy = "of another policy"
    assert (0, "stop") == (
        (after := alone(play(before, policy(), wire))).unknown,
        after.record.response.applied,
    )


def test_models_can_be_asked_anew() -> None:
    """Whatever they said then."""
    before = decided("harmless")
    asked = []

    def harsh(question):
        asked.append(question)
        return Result("judge", {"judge.bad": 0.99})

    after = alone(play(before, policy(), wire, recorded=False), harsh)
    assert "block" == after.record.outcome
    assert asked
    assert HARMLESS[:10] not in repr(asked)


@pytest.mark.long
@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([0.0, 0.3, 4.0, 11.0, 25.0, 70.0]),
    st.lists(st.sampled_from([0, 100, 5_000, 30_000, 90_000]), min_size=1, max_size=4),
    st.booleans(),
)
def test_chunks_that_count_as_one_change_nothing(delay_ms: float, slow: list[int], exact: bool) -> None:
    """Whatever timer went off and however long models took: what is found, decided and let go is that of an exchange
    that is played chunk by chunk; under the policy that was, so is every count."""
    first = kept(sample(answer=HARMLESS * 4 + BAD + HARMLESS, delay_ms=delay_ms))
    assert first.record is not None
    if not exact:
        first.record.policy = "of another policy"
        first.answers = [
            answer._replace(at=answer.asked + slow[number % len(slow)]) for number, answer in enumerate(first.answers)
        ]
    singly, together = (alone(play(first, policy(), wire, keep=keep), model) for keep in (True, False))
    assert outcome(singly.record) == outcome(together.record)
    if exact:
        assert singly.unknown == together.unknown
        assert said(singly.record) == said(together.record)


def test_a_timer_is_found_that_was_set_late() -> None:
    """By the last of many chunks that count as one, two seconds after the first: nothing held the others back."""
    asked, answered = messages.sides(sample(answer=HARMLESS * 2).messages)
    assert asked is not None
    assert answered is not None
    spoken = answered.body
    pause = [(at * 100_000, b": ping\n\n") for at in range(1, 20)]
    last = [(2_000_000, data) for _, data in spoken[11:13]]
    answered.body = [*spoken[:11], *pause, *last, *((3_000_000, data) for _, data in spoken[13:])]
    first = kept(Taken("slow", messages=messages.messages(asked, answered)))
    assert 1_900_000 < max(note.at for note in first.notes)
    assert first.record is not None
    assert said(first.record) == said(alone(play(first, policy(), wire)).record)


def outcome(record: Record) -> object:
    """What became of an exchange, but for how much of an answer had come when it was stopped."""
    phases = [
        (phase.fired, phase.scores, phase.failed, phase.redactions, phase.account.bytes_released)
        for phase in (record.request, record.response)
    ]
    return verdict.of(record, timed=False), phases


def test_an_exchange_that_is_over_waits_for_no_timer() -> None:
    """Nothing is noted of one that was set and has no use any more."""
    assert not decided("harmless").notes


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 200), st.sampled_from(sorted(set(SAMPLES) - {"slow"})))
def test_chunks_do_not_matter(size: int, name: str) -> None:
    """An exchange whose bodies came in other pieces is decided the same."""
    first = decided(name)
    asked, answered = messages.sides(first.messages)
    for side in (asked, answered):
        assert side is not None
        whole = b"".join(data for _, data in side.body)
        side.body = [(side.at, whole[start : start + size]) for start in range(0, len(whole), size)]
    assert asked is not None
    other = Taken(first.id, "", messages.messages(asked, answered), first.answers, record=first.record)
    assert first.record is not None
    assert verdict.of(first.record).said == verdict.of(alone(play(other, policy(), wire)).record).said


def test_timers_go_off_when_they_did() -> None:
    """A slow stream's waiting text was scanned when a timer said so; it is so again, however late the timer was."""
    before = kept(sample("slow", answer="word " * 12, delay_ms=25.0))
    assert before.record is not None
    windows = before.record.response.account.windows
    late = [note for note in before.notes if note.what == "woke"]
    assert late
    before.notes = [note._replace(at=note.at + 2_000) for note in before.notes]
    again = alone(play(before, policy(), wire))
    assert (windows, 0) == (again.record.response.account.windows, again.unknown)
    before.notes = []
    assert alone(play(before, policy(), wire)).record.response.account.windows < windows


def test_an_exchange_that_was_broken_off() -> None:
    """Ends for the same cause, unless another policy was done with it before."""
    before = decided("harmless")
    before.messages = before.messages[:4]
    assert before.record is not None
    before.record.termination = "shutdown"
    before.notes = [Note(99, 10_000, "aborted", "shutdown")]
    assert "shutdown" == alone(play(before, policy(), wire)).record.termination
    assert "refused" == alone(play(before, policy(0.05), wire)).record.termination


def test_who_asked_is_who_it_was() -> None:
    """Pseudonyms come from the record, because nobody could make them again, and it keeps its name and number."""
    before = decided("harmless")
    assert before.record is not None
    before.record.producer, before.record.epoch, before.record.sequence = "p", "e", 7
    record = alone(play(before, policy(), wire)).record
    assert ("p", "e", 7, before.record.id) == (record.producer, record.epoch, record.sequence, record.id)


def test_what_is_no_stream_of_envoys() -> None:
    """Is the operator's to know."""
    with pytest.raises(IllegalEvent):
        alone(play(Taken("one", messages=[Message(0, 0, True, b"\xff")]), policy(), wire))


def test_a_message_that_envoy_must_not_send() -> None:
    """Ends the exchange as it would have ended then."""
    found = SAMPLES["harmless"]()
    found.messages.insert(2, found.messages[0])
    assert "error" == alone(play(found, policy(), wire), model).record.termination


def test_a_replay_that_takes_scores_from_elsewhere_would_be_seen() -> None:
    """The law bites: with one score of the capture changed, the verdict is another."""
    before = decided("harmless")
    (digest, result) = before.answers[0].results[0]
    before.answers[0] = before.answers[0]._replace(results=[(digest, replace(result, scores={"judge.bad": 0.99}))])
    assert before.record is not None
    assert verdict.of(before.record).said != verdict.of(alone(play(before, policy(), wire)).record).said
    assert shown([BAD]) != digest
