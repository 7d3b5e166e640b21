"""The table and what stands under it, as a person reads them."""

from __future__ import annotations

import shlex
from io import StringIO

import pytest
from rich.console import Console

from safeguards_extproc.core.record import FiredRule, Phase, Record
from safeguards_extproc.local.table import curl, figures, samples, saw, table, why
from safeguards_extproc.replay.outcome import Kind, Outcome, Seen
from safeguards_extproc.replay.traffic import Answer, Exchange, Expect, FormatName, Message
from safeguards_extproc.replay.witnesses import Reached, Result, judge, summarise


def result(
    name: str = "x",
    outcome: Outcome | None = None,
    record: Record | None = None,
    *,
    expect: Expect | None = None,
    format_name: FormatName = "openai_chat",
    stream: bool = False,
    question: str = "It's me",
) -> Result:
    turns = [Message(role="user", content=question)]
    exchange = Exchange(
        id=name, format=format_name, stream=stream, messages=turns, answer=Answer(text="Hi"), expect=expect
    )
    return judge(exchange, outcome or answered(), Reached(received=outcome is None or outcome.from_model), record)


def answered(kind: Kind = Kind.ANSWER) -> Outcome:
    return Outcome("x", kind, 200, from_model=True, seen=Seen({"content/0": "Hi"}, {"stop"}, ended=True), duration_ms=7)


def refused() -> Outcome:
    return Outcome("x", Kind.REFUSED, 400, headers={"x-safeguards-id": "r"})


def attacked() -> Record:
    fired = [FiredRule("no-attacks", "block", "enforce", "true"), FiredRule("curious", "block", "shadow", "true")]
    phase = Phase(applied="block", fired=fired, scores={"user": {"screen.attack": 0.971, "screen.hate": 0.1}})
    return Record("r", outcome="block", request=phase)


def test_why_names_rules_and_the_highest_score() -> None:
    """A person sees which rule decided, which one only watched, and the score behind them."""
    assert (
        why(result(outcome=refused(), record=attacked())) == "no-attacks, curious (shadow), screen.attack 0.97 in user"
    )


def test_why_counts_what_was_redacted() -> None:
    """Redactions are told by kind and number, never by content."""
    phase = Phase(applied="redact", fired=[FiredRule("pii", "redact", "enforce", "true")], redactions={"email": 2})
    assert why(result(record=Record("r", outcome="redact", response=phase))) == "pii, 2 email"


def test_why_says_when_the_body_could_not_be_read_and_when_nobody_recorded() -> None:
    """A refusal that no rule gave has a reason too."""
    phase = Phase(applied="refuse")
    phase.account.uninspectable = "malformed"
    assert why(result(outcome=refused(), record=Record("r", outcome="refuse", request=phase))) == "malformed"
    assert why(result(outcome=refused())) == "no decision record: not answered by the filter"
    assert why(result()) == ""


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (answered(), "200 answer, 2 chars"),
        (answered(Kind.STOPPED), "200 ended after 2 chars"),
        (refused(), "400 refusal"),
        (Outcome("x", Kind.ERROR, 503), "503 error"),
        (Outcome("x", Kind.BROKEN, 200, bytes_in=1200), "200, cut off after 1,200 bytes"),
        (Outcome("x", Kind.BROKEN), "no answer, cut off after 0 bytes"),
    ],
)
def test_what_the_client_saw_is_said_in_a_few_words(outcome: Outcome, words: str) -> None:
    """Each ending of an exchange has words of its own."""
    assert saw(result(outcome=outcome)) == words


def test_the_table_shows_verdict_reason_and_what_was_missed() -> None:
    """One row holds it all, and a miss stands out."""
    rows = [
        result("good", refused(), attacked(), expect=Expect(request="block", note="a classic")),
        result("bad", answered(), expect=Expect(request="block")),
    ]
    out = StringIO()
    Console(file=out, width=180).print(table(rows, "t"))
    text = " ".join(out.getvalue().split())
    for words in ("✓ good", "a classic — no-attacks", "400 refusal", "✗ bad", "✗ request allow, not block"):
        assert words in text


def test_figures_tell_how_many_how_fast_and_which_rules() -> None:
    """Under the table stands what a person would count herself."""
    lines = figures(summarise([result("a", refused(), attacked()), result("b"), result("c")], 1.5))
    assert lines[0] == "prompts    2 allow, 1 block"
    assert lines[2].startswith("rules      1 ")
    assert lines[3].startswith("speed      2.0 exchanges/s")


def test_samples_are_the_shortest_that_went_as_expected() -> None:
    """What is offered for pasting is short, and shows each kind of verdict once."""
    rows = [
        result("long", question="word " * 40),
        result("short"),
        result("flow", stream=True),
        result("no", refused(), attacked()),
        result("miss", refused(), attacked(), expect=Expect(request="allow"), question=""),
        result("cut", answered(Kind.STOPPED), stream=True),
    ]
    assert [(name, row.exchange.id) for name, row in samples(rows)] == [
        ("allowed", "short"),
        ("streamed", "flow"),
        ("refused", "no"),
        ("stopped in mid-stream", "cut"),
    ]


@pytest.mark.parametrize(
    ("format_name", "path"), [("openai_chat", "chat/completions"), ("anthropic_messages", "messages")]
)
def test_a_command_line_survives_the_shell(format_name: FormatName, path: str) -> None:
    """An apostrophe in the prompt does not break the line that a person pastes."""
    words = shlex.split(curl(result(format_name=format_name), "http://127.0.0.1:1"))
    assert words[:3] == ["curl", "-sN", f"http://127.0.0.1:1/v1/{path}"]
    assert '"It\'s me"' in words[-1]
    assert ("anthropic-version: 2023-06-01" in words) is (format_name == "anthropic_messages")
