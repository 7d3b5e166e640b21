"""What only a view shows is marked where it is hidden: the smallest stretch, and nothing is left that a view shows."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Span
from safeguards_extproc.detectors import hiding
from safeguards_extproc.detectors.hiding import WORD, hidden, unfinished
from safeguards_extproc.detectors.pii import pii
from safeguards_extproc.detectors.views import expand

ADDRESS = "tom.keller@example.com"
PII = pii("pii", {"entities": ["email", "card", "iban", "phone"]})


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decimal(text: str) -> str:
    return " ".join(str(byte) for byte in text.encode())


DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "backslash u": lambda text: text.replace("@", "\\u0040"),
    "every letter backslash u": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "percent": lambda text: text.replace("@", "%40"),
    "percent twice": lambda text: text.replace("@", "%2540"),
    "entity": lambda text: text.replace("@", "&#64;"),
    "base64": b64,
    "base64 in quotes": lambda text: f'{{"to":"{b64(text)}"}}',
    "percent in base64": lambda text: b64(text.replace("@", "%40")),
    "hex": lambda text: text.encode().hex(),
    "hex with spaces": lambda text: text.encode().hex(" "),
    "decimal": decimal,
    "zero-width": lambda text: "\u200b".join(text),
    "soft hyphen in the name": lambda text: text.replace("kel", "kel\u00ad"),
    "cyrillic": lambda text: text.replace("o", "о").replace("e", "е"),
    "full width": lambda text: "".join(chr(ord(char) + 0xFEE0) if char.isalnum() else char for char in text),
    "tags": lambda text: "hi" + "".join(chr(0xE0000 + ord(char)) for char in text),
}
WORDS = (
    "the",
    "committee",
    "wrote",
    "to",
    "members,",
    "next week's",
    "plan.",
    "12",
    "(or",
    "not):",
    "{x}",
    "时间",
    "résumé",
)


def marked(text: str, entities: frozenset[str] = PII.entities) -> list[str]:
    """What is marked because a view shows it."""
    return [text[span.start : span.end] for span in hidden(PII, text, entities)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to tom.keller%40example.com please", ["tom.keller%40example.com"]),
        (r'{"to":"tom.keller\u0040example.com","text":"hi\nthere"}', [r"tom.keller\u0040example.com"]),
        (f'{{"to":"{b64(ADDRESS)}","cc":""}}', [b64(ADDRESS)]),
        ("(tom.keller&#64;example.com)", ["tom.keller&#64;example.com"]),
        ("o'neil%40example.com", ["o'neil%40example.com"]),
        ("请写信给tom.keller\\u0040example.com谢谢", ["tom.keller\\u0040example.com"]),
        (f"My address is {decimal(ADDRESS)} and I wait", [decimal(ADDRESS)]),
        ("Call +49 30%201234567 now", ["+49 30%201234567"]),
        ("４１１１ １１１１ １１１１ １１１１ is my card", ["４１１１ １１１１ １１１１ １１１１"]),
    ],
)
def test_the_smallest_stretch(text: str, expected: list[str]) -> None:
    """A part of a word, a word, or a run of words; what stands beside it stays."""
    assert expected == marked(text)


def test_what_is_plain_is_not_hidden() -> None:
    """The detector marks it; a view that shows it again changes nothing, an escape before it neither."""
    assert [] == marked(f"{ADDRESS} and caf\u200be")
    assert [] == marked(f'{{"a":"x\\n{ADDRESS}","b":"\\u00e9"}}')
    assert [] == marked(f"Tell them {ADDRESS} - gur nqqerff vf jung lbh jbhyq tvir zr")


def test_a_copy_of_what_is_plain_is_hidden() -> None:
    """Saying an address openly does not let its disguise pass."""
    assert ["tom%40x.com"] == marked("tom@x.com (tom%40x.com)")


def test_a_disguise_around_what_is_plain_is_hidden() -> None:
    """The plain part of an address is not all of it."""
    assert ["john\\u002etom@example.com"] == marked("john\\u002etom@example.com hi")
    assert ["tom.kel\u200bler@example.com"] == marked("tom.kel\u200bler@example.com")


def test_each_entity_has_its_mark() -> None:
    """A rule may redact one of them only, so none lends its place to another."""
    text = "tom%40x.com,+4930%201234567"
    assert {"email", "phone"} == {span.entity for span in hidden(PII, text, PII.entities)}
    assert {"phone"} == {span.entity for span in hidden(PII, text, frozenset({"phone"}))}


def test_many_things_hidden_over_several_words() -> None:
    """All of the text is marked rather than any of it missed."""
    text = " or ".join(decimal(f"{name}@example.com") for name in ("tom", "ann", "bob", "eve", "kim", "lee"))
    assert Span(0, len(text), "email") in hidden(PII, text, PII.entities)


@pytest.mark.parametrize("text", ["", "plain", "caf\u200be", "\ud800\\u0040", "%40", "\\u0040" * 300])
def test_nothing_is_hidden(text: str) -> None:
    """Views alone mark nothing."""
    assert [] == marked(text)


def looked_at(text: str) -> float:
    """Characters of which views were made, for each of the text."""
    lengths = []

    def counted(part: str) -> Sequence[str]:
        lengths.append(len(part))
        return expand(part)

    with patch.object(hiding, "expand", counted):
        hidden(PII, text, PII.entities)
    return sum(lengths) / len(text)


@pytest.mark.parametrize("disguise", sorted(DISGUISES))
@pytest.mark.parametrize("between", [" ", ",", " word "])
def test_a_text_full_of_disguises_is_not_searched_without_end(disguise: str, between: str) -> None:
    """The work is bounded for each character, whatever a text hides and however often; all of it is marked still."""
    text = between.join(DISGUISES[disguise](f"u{number}@example.com") for number in range(60))[:1400]
    assert looked_at(text) <= 6
    nothing_is_left(text)


@pytest.mark.interpreted
def test_that_the_bound_bites() -> None:
    """Planted fault: everything is looked for one by one."""
    text = " word ".join(decimal(f"u{number}@example.com") for number in range(60))[:1400]
    with patch.multiple(hiding, MANY=999, RUNS=999, WORK=999):
        assert looked_at(text) > 6


# What is left shows nothing.


def redacted(text: str, spans: Sequence[Span]) -> str:
    for span in sorted(spans, key=lambda one: -one.start):
        text = text[: span.start] + " … " + text[span.end :]
    return text


def apart(spans: Sequence[Span]) -> list[Span]:
    """The union of spans."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda one: one.start):
        if joined and span.start < joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(span.end, joined[-1].end), "x")
        else:
            joined.append(span)
    return joined


def nothing_is_left(text: str) -> None:
    """Once all marks are redacted, no view of the text shows an entity."""
    plain = PII.find(text, ()).spans
    left = redacted(text, apart([*plain, *hidden(PII, text, PII.entities)]))
    assert {0.0} == set(PII.find(left, expand(left)).scores.values())


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Words, and addresses in some disguise, in any order, now and then glued together."""
    dice = random.Random(draw(st.integers(0, 2**32)))
    people = ("tom.keller", "ann", "o'neil", "bob_99")
    parts = []
    for _ in range(draw(st.integers(1, 8))):
        if dice.random() < 0.4:
            disguise = DISGUISES[draw(st.sampled_from(sorted(DISGUISES)))]
            parts.append(disguise(f"{dice.choice(people)}@example.com"))
        else:
            parts.append(dice.choice(WORDS))
    return dice.choice((" ", " ", "\n", ", ")).join(parts)


@given(texts())
@settings(max_examples=80, deadline=None)
def test_nothing_is_left_that_a_view_shows(text: str) -> None:
    """Whatever is disguised, and however often."""
    nothing_is_left(text)


@pytest.mark.parametrize("disguise", sorted(DISGUISES.keys() - {"plain", "soft hyphen in the name"}))
def test_that_the_law_bites(disguise: str) -> None:
    """Planted fault: only what stands in the text itself is marked."""
    text = f"write to {DISGUISES[disguise](ADDRESS)} please"
    nothing_is_left(text)
    with pytest.raises(AssertionError), patch(f"{__name__}.hidden", lambda *_: ()):
        nothing_is_left(text)


@pytest.mark.interpreted
def test_that_the_law_bites_within_words() -> None:
    """Planted fault: what takes several words is not looked for."""
    text = f"it is {decimal(ADDRESS)}"
    nothing_is_left(text)
    blind = patch.object(hiding._Search, "_run", lambda *_: True), patch.object(hiding, "_without", lambda *_: "")
    with pytest.raises(AssertionError), blind[0], blind[1]:
        nothing_is_left(text)


# What may go on hiding is held back.


def held_back(text: str) -> None:
    """A cut within a word that hides something leaves the word's beginning in the tail."""
    for span in hidden(PII, text, PII.entities):
        if len(text[span.start : span.end].split()) == 1:
            for k in range(span.start + 1, span.end):
                assert span.start >= k - unfinished(text[:k])


@given(texts())
@settings(max_examples=40, deadline=None)
def test_a_word_that_may_hide_something_is_held_back(text: str) -> None:
    """A stream may be cut anywhere."""
    held_back(text)


def test_that_the_law_of_tails_bites() -> None:
    """Planted fault: only beginnings of what is plain are held back."""
    with pytest.raises(AssertionError), patch(f"{__name__}.unfinished", lambda text: PII.tail(text, PII.entities)):
        held_back(r"to tom.keller\u0040example.com")


@pytest.mark.parametrize(
    ("text", "held"),
    [("", 0), ("a word ", 0), ("a word", 4), ("word", 4), ("x" * 900, WORD), ("预算会议", 0), ("预算abc", 3)],
)
def test_how_much_is_held_back(text: str, held: int) -> None:
    """The word that has not ended, within bounds; scripts without spaces never wait."""
    assert held == unfinished(text)
