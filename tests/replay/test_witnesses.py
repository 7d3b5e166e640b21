"""Three witnesses of an exchange, and what is made of what they say."""

from __future__ import annotations

import json

import pytest

from safeguards_extproc.core.record import FiredRule, Phase, Record
from safeguards_extproc.replay.outcome import Kind, Outcome, Seen
from safeguards_extproc.replay.traffic import Answer, Exchange, Expect, Message
from safeguards_extproc.replay.witnesses import Reached, Result, judge, report, summarise

SECRET = "AKIAIOSFODNN7EXAMPLE"


def exchange(expect: Expect | None = None, answer: str = "fine") -> Exchange:
    turns = [Message(role="user", content="?")]
    return Exchange(id="x", format="openai_chat", messages=turns, answer=Answer(text=answer), expect=expect)


def answered(text: str = "fine", kind: Kind = Kind.ANSWER) -> Outcome:
    seen = Seen({"content/0": text}, {"stop"}, ended=True)
    return Outcome("x", kind, 200, from_model=True, seen=seen, headers={"x-safeguards-id": "r"})


def refused(status: int = 400) -> Outcome:
    return Outcome("x", Kind.REFUSED, status, headers={"x-safeguards-id": "r"})


ARRIVED, AWAY = Reached(received=1, finished=1), Reached()


@pytest.mark.parametrize(
    ("outcome", "reached", "record", "done"),
    [
        (answered(), ARRIVED, Record("r"), ("allow", "allow")),
        (refused(), AWAY, Record("r", outcome="block"), ("block", "")),
        (refused(429), AWAY, Record("r", outcome="throttle"), ("throttle", "")),
        (refused(403), AWAY, Record("r", outcome="suspend"), ("suspend", "")),
        (refused(), ARRIVED, Record("r", outcome="block"), ("allow", "block")),
        (answered("f", Kind.STOPPED), ARRIVED, Record("r", outcome="stop"), ("allow", "stop")),
        (answered(), ARRIVED, Record("r", outcome="steer", request=Phase(applied="steer")), ("steer", "allow")),
        (answered(), ARRIVED, Record("r", outcome="redact", response=Phase(applied="redact")), ("allow", "redact")),
        (Outcome("x", Kind.ERROR, 503), AWAY, None, ("", "")),
    ],
)
def test_what_was_done_follows_from_what_happened(
    outcome: Outcome, reached: Reached, record: Record | None, done: tuple[str, str]
) -> None:
    """A refusal counts for the prompt if the model never saw it, and for the answer if it did."""
    result = judge(exchange(), outcome, reached, record)
    assert done == (result.request, result.response)
    assert result.problems == []


def problems(expect: Expect, outcome: Outcome, reached: Reached = ARRIVED, record: Record | None = None) -> list[str]:
    return judge(exchange(expect), outcome, reached, record).problems


def test_a_wrong_verdict_is_missed_in_either_direction() -> None:
    """What should have been refused and was not is a miss, and so is the reverse."""
    assert problems(Expect(request="block"), answered()) == ["request allow, not block"]
    assert problems(Expect(request="allow"), refused(), AWAY) == ["request block, not allow"]
    assert problems(Expect(response="allow"), refused(), AWAY) == ["response not reached, not allow"]


def test_a_wrong_status_is_missed_and_an_error_is_never_expected_by_silence() -> None:
    """An expectation without a status does not forgive a failing stack."""
    assert problems(Expect(status=413), refused(), AWAY) == ["status 400, not 413"]
    assert problems(Expect(), Outcome("x", Kind.ERROR, 503), AWAY) == ["status 503"]
    assert problems(Expect(status=404), Outcome("x", Kind.ERROR, 404, from_model=True)) == []


def test_what_should_be_hidden_is_looked_for_on_both_sides() -> None:
    """A redaction that the record claims and the text does not show is a miss."""
    expect = Expect(hidden=[SECRET])
    assert problems(expect, answered(f"fine {SECRET}")) == ["the client saw what should have been hidden"]
    leaky = Reached(received=1, leaks=1)
    assert problems(expect, answered(), leaky) == ["the model saw what should have been hidden"]
    assert problems(expect, answered()) == []


def test_an_allowed_answer_came_whole() -> None:
    """An answer that lost a word on its way was not passed on as it was."""
    assert problems(Expect(response="allow"), answered("fin")) == ["the answer came changed"]


def test_a_record_that_contradicts_the_client_is_missed() -> None:
    """A record may not say that an answer was let through which the client never got, nor the reverse."""
    assert problems(Expect(), refused(), AWAY, Record("r")) == ["the record says allow"]
    assert problems(Expect(), answered(), ARRIVED, Record("r", outcome="block")) == ["the record says block"]


def test_a_broken_answer_is_missed_without_any_expectation() -> None:
    """Captured traffic expects nothing, but never a transfer that breaks."""
    result = judge(exchange(), Outcome("x", Kind.BROKEN, 200), ARRIVED, None)
    assert result.problems == ["the answer was cut off"]


def results() -> list[Result]:
    record = Record("r", outcome="block")
    record.request.fired = [FiredRule("attack", "block", "enforce", "true")]
    return [
        judge(exchange(Expect(request="block")), refused(), AWAY, record),
        judge(exchange(Expect(request="block")), answered(), Reached(received=1, cancelled=1), None),
    ]


def test_a_run_is_summed_up_in_one_line_and_in_figures() -> None:
    """The line that a script asserts counts every exchange once; the rules say who decided."""
    summary = summarise(results(), 2.0)
    assert summary.line == "2 exchanges, 1 as expected, 1 missed"
    assert (dict(summary.rules), summary.cancelled, summary.unrecorded) == ({"attack": 1}, 1, 1)


def test_a_report_holds_verdicts_and_no_text() -> None:
    """The report may be kept where the traffic may not: it holds none of it."""
    rows = results()
    text = json.dumps(report(rows, summarise(rows, 2.0)))
    assert "fine" not in text
    assert '"request allow, not block"' in text
