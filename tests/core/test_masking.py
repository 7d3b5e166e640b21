"""A request is redacted in the order of its text, each value with what policy wants in its place."""

import pytest

from safeguards_extproc.core.decision import Action, Placeholder, Span, Verdict
from safeguards_extproc.core.masking import Masked, masked
from safeguards_extproc.core.text import Channel, Kind, Path, Segment
from safeguards_extproc.wire.edits import rewrite

USER, NEXT, CALL = (Kind.USER, "0"), (Kind.USER, "1"), (Kind.TOOL_CALL, "2.0")
MARK, NUMBERED, RESTORED = Placeholder.MARK, Placeholder.NUMBERED, Placeholder.RESTORED


def asks(**placeholders: Placeholder) -> Verdict:
    named = {name.replace("any", "*"): placeholder for name, placeholder in placeholders.items()}
    return Verdict(Action.REDACT, Action.REDACT, redact=frozenset(named), placeholders=named)


def redacted(
    verdict: Verdict,
    *said: tuple[Channel, str],
    marks: dict[Channel, list[Span]] | None = None,
    numbers: bool = True,
) -> tuple[list[str], Masked]:
    """What the segments say after it; `said` are channel and text. `marks` are spans, or each word with an @ is one."""
    parts: list[tuple[Segment, int]] = []
    texts: dict[Channel, str] = {}
    for place, (channel, text) in enumerate(said):
        path: Path = (place,) if text != "\n" else ()
        parts.append((Segment(channel, text, path), len(texts.get(channel, ""))))
        texts[channel] = texts.get(channel, "") + text

    def spans(channel: Channel) -> list[Span]:
        if marks is not None:
            return marks.get(channel, [])
        found, text = [], texts[channel]
        for word in {word.strip('",{}.') for word in text.replace(":", " ").split() if "@" in word}:
            at = text.find(word)
            while at >= 0:
                found.append(Span(at, at + len(word), "email"))
                at = text.find(word, at + 1)
        return found

    result = masked(parts, spans, verdict, numbers=numbers)
    after = [
        rewrite(segment.text, [edit for edit in result.edits if edit.path == segment.path]) for segment, _ in parts
    ]
    return after, result


def test_numbers_follow_the_text() -> None:
    """By first appearance, in whatever channel."""
    after, result = redacted(asks(email=RESTORED), (USER, "a@x and b@x"), (NEXT, "b@x, c@x"), (USER, " a@x"))
    assert ["<EMAIL_1> and <EMAIL_2>", "<EMAIL_2>, <EMAIL_3>", " <EMAIL_1>"] == after
    assert {"email": 5} == result.counts
    assert {"EMAIL_1": "a@x", "EMAIL_2": "b@x", "EMAIL_3": "c@x"} == {
        name: original.plain for name, original in result.originals.items()
    }


def test_a_value_across_segments_is_one() -> None:
    """Its placeholder stands where it begins; it is the same value as the one in one piece."""
    after, result = redacted(asks(email=RESTORED), (USER, "to a"), (USER, "@x."), (NEXT, "a@x"))
    assert ["to <EMAIL_1>", ".", "<EMAIL_1>"] == after
    assert {"email": 2} == result.counts


def test_marks_have_no_numbers() -> None:
    """As ever."""
    after, result = redacted(asks(email=MARK), (USER, "a@x b@x"))
    assert ["[REDACTED:EMAIL] [REDACTED:EMAIL]"] == after
    assert not result.originals


def test_numbers_need_not_be_restored() -> None:
    """Then nothing is kept."""
    after, result = redacted(asks(email=NUMBERED), (USER, "a@x b@x"))
    assert ["<EMAIL_1> <EMAIL_2>"] == after
    assert not result.originals


@pytest.mark.parametrize("other", [{"any": MARK}, {"card": MARK}])
def test_where_rules_differ_the_one_that_tells_least_counts(other: dict[str, Placeholder]) -> None:
    """A rule for everything, or for something else that overlaps: what one rule never gives back, no other does."""
    marks = {USER: [Span(0, 3, "email"), Span(2, 5, "card")]}
    after, result = redacted(asks(email=RESTORED, **other), (USER, "a@x99 ok"), marks=marks)
    assert ["[REDACTED:EMAIL] ok"] == after
    assert not result.originals


def test_without_the_history_there_are_no_numbers() -> None:
    """What the provider has kept of earlier turns may use the same numbers for something else."""
    after, result = redacted(asks(email=RESTORED), (USER, "a@x"), numbers=False)
    assert ["[REDACTED:EMAIL]"] == after
    assert not result.originals


def test_a_call_says_the_same_value_with_escapes() -> None:
    """Its arguments are JSON as written: the value is what they mean, without the line's end that it touches."""
    after, result = redacted(
        asks(email=RESTORED),
        (USER, "é@x"),
        (CALL, "send"),
        (CALL, "\n"),
        (CALL, r'{"to": "\u00e9@x", "cc": "line'),
        (CALL, r"\né@x "),
        (CALL, '"}'),
        marks={USER: [Span(0, 3, "email")], CALL: [Span(13, 21, "email"), Span(35, 40, "email")]},
    )
    assert ["<EMAIL_1>", "send", "\n", '{"to": "<EMAIL_1>", "cc": "line', r"\n<EMAIL_1> ", '"}'] == after
    assert {"email": 3} == result.counts
    assert ["é@x"] == [original.plain for original in result.originals.values()]


def test_an_escape_and_its_value_may_stand_in_two_segments() -> None:
    """Counted once, where it begins."""
    after, result = redacted(
        asks(email=RESTORED), (CALL, r'{"to": "\n'), (CALL, 'a@x"}'), marks={CALL: [Span(8, 13, "email")]}
    )
    assert [r'{"to": "\n', '<EMAIL_1>"}'] == after
    assert {"email": 1} == result.counts


def test_numbers_that_the_client_wrote_are_passed_over() -> None:
    """Even where the pieces of a text are joined only by their channel."""
    after, _ = redacted(asks(email=RESTORED), (USER, "a@x"), (NEXT, "what is <EMA"), (NEXT, "IL_1>?"))
    assert ["<EMAIL_2>", "what is <EMA", "IL_1>?"] == after
