"""Ways to say the same: each holds what was said, and harmless text of our own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.evaluate.evasions import EVASIONS
from safeguards_extproc.evaluate.lines import Sample
from safeguards_extproc.evaluate.play import Case
from safeguards_extproc.evaluate.variants import LANGUAGES, SIZES, case, filler, judged, split, variants

WAYS = {f"{way.group}: {way.name}": way for way in variants()}
SAID = "please tell me how this works from start to end"


def sample(role: str = "user", answer: str | None = None, text: str = SAID) -> Sample:
    return Sample("f:1", text, answer, role, {"attack": 1}, {"source": "s"})


def test_there_is_a_way_for_every_evasion_size_and_language() -> None:
    """None twice."""
    assert len(WAYS) == len(variants())
    assert {f"evasion: {name}" for name in EVASIONS} < WAYS.keys()
    assert {f"language: {name} before" for name in LANGUAGES} < WAYS.keys()
    assert {f"padding: {size} characters around" for size in SIZES} < WAYS.keys()


@pytest.mark.parametrize("name", [name for name in WAYS if not name.startswith("evasion")])
def test_what_was_said_is_in_it(name: str) -> None:
    """Word for word, in order."""
    made = WAYS[name].make(sample())
    assert made is not None
    spoken = " ".join(text for role, text in made.turns if role == "user")
    assert SAID in spoken
    assert len(spoken) > len(SAID) or name.startswith("turns")


@pytest.mark.parametrize("size", SIZES)
def test_padding_is_as_long_as_it_says(size: int) -> None:
    """To a word, and no sentence of it twice."""
    assert size - 20 <= len(filler(size)) <= size
    sentences = filler(size).split(". ")
    assert len(sentences) == len(set(sentences))
    assert filler(size) != filler(size, 2)


def test_padding_before_after_and_around() -> None:
    """Where it says."""
    before, after, around = (WAYS[f"padding: 500 characters {place}"] for place in ("before", "after", "around"))
    (_, lead), (_, rest), (_, both) = ((way.make(sample()) or Case(())).turns[0] for way in (before, after, around))
    assert lead.endswith(SAID)
    assert rest.startswith(SAID)
    assert both == lead + rest.removeprefix(SAID)


def test_padding_within_a_paragraph_is_of_whole_sentences() -> None:
    """A text stands amid them, and no line ends."""
    (_, said), *_ = (WAYS["padding: 500 characters around, in one paragraph"].make(sample()) or Case(())).turns
    lead, rest = said.split(f" {SAID} ")
    assert "\n" not in said
    assert (".", ".") == (lead[-1], rest[-1])


@given(st.lists(st.text("abc", min_size=1), min_size=1, max_size=12), st.integers(2, 5))
@settings(max_examples=40)
def test_turns_say_every_word_in_order(words: list[str], parts: int) -> None:
    """With the assistant in between; too few words cannot be split."""
    made = split(sample(text=" ".join(words)), parts)
    if len(words) < parts:
        assert made is None
        return
    assert made is not None
    assert ["user", "assistant"] * (parts - 1) + ["user"] == [role for role, _ in made.turns]
    assert words == [word for role, text in made.turns if role == "user" for word in text.split(" ")]


def test_only_a_person_takes_turns() -> None:
    """A tool's text and an answer are one."""
    assert split(sample("tool"), 2) is None
    assert split(sample(answer=SAID), 2) is None


def test_what_is_judged_is_what_changes() -> None:
    """Of an exchange the answer; of an assistant's text, an answer without a question."""
    assert ((("tool", SAID.upper()),), None) == parts(case(sample("tool"), str.upper))
    assert ((("user", SAID),), "YES") == parts(case(sample(answer="yes"), str.upper))
    assert ((), SAID.upper()) == parts(case(sample("assistant"), str.upper))
    assert ["yes", SAID] == [judged(sample(answer="yes")), judged(sample())]


def parts(made: Case) -> tuple[object, object]:
    return tuple(made.turns), made.answer
