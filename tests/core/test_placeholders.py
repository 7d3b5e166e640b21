"""A number for each value, and the value for each number, wherever a model writes it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.placeholders import NOTHING, Numbering, Originals, Place, Writing
from safeguards_extproc.core.text import Kind, Segment

CONTENT = (Kind.CONTENT, "0")
CALL = (Kind.TOOL_CALL, "0.0")


def numbering(*values: str, texts: tuple[str, ...] = ()) -> Numbering:
    numbers = Numbering(texts)
    for value in values:
        numbers.placeholder("email", value, in_json=False, restored=True)
    return numbers


def originals(*values: str) -> Originals:
    known = Originals()
    known.keep(numbering(*values).originals)
    return known


def restored(known: Originals, text: str, *, in_json: bool = False) -> str:
    at, said = 0, []
    for place in known.find(text):
        said += [text[at : place.start], known.text(place, in_json=in_json)]
        at = place.end
    return "".join([*said, text[at:]])


def test_the_same_value_has_the_same_number() -> None:
    """And another value the next; each entity counts for itself."""
    numbers = Numbering(())

    def ask(entity: str, text: str) -> str:
        return numbers.placeholder(entity, text, in_json=False, restored=True)

    assert ["<EMAIL_1>", "<EMAIL_2>", "<EMAIL_1>", "<CARD_1>"] == [
        ask("email", "a@b.c"),
        ask("email", "d@e.f"),
        ask("email", "a@b.c"),
        ask("card", "4111"),
    ]


def test_a_longer_conversation_has_the_numbers_of_the_shorter() -> None:
    """A client that sends its history again gets the same placeholders for it."""
    first, second = numbering("a@b.c", "d@e.f"), numbering("a@b.c", "d@e.f", "g@h.i", "a@b.c")
    assert list(first.originals) == list(second.originals)[:2]


def test_a_number_that_the_client_wrote_is_not_given() -> None:
    """What the client wrote itself stays what it is, however it escaped it."""
    numbers = numbering("a@b.c", "d@e.f", texts=("see <EMAIL_1>", r'{"to": "\u003cEMAIL_2\u003e"}'))
    assert ["EMAIL_3", "EMAIL_4"] == list(numbers.originals)


def test_what_is_not_restored_keeps_its_number_from_turn_to_turn() -> None:
    """The assistant's <EMAIL_1> of the turn before is ours: it must go on to mean the same."""
    numbers = Numbering(["I wrote to <EMAIL_1>."])
    assert "<EMAIL_1>" == numbers.placeholder("email", "a@b.c", in_json=False, restored=False)
    assert {} == numbers.originals


def test_a_value_is_the_same_in_a_text_and_in_a_calls_arguments() -> None:
    """Written with other escapes, it is still the same."""
    numbers = Numbering(())
    plain = numbers.placeholder("key", 'a"é', in_json=False, restored=True)
    assert plain == numbers.placeholder("key", r"a\"\u00e9", in_json=True, restored=True)
    assert plain != numbers.placeholder("key", r"a\"\u00e9", in_json=False, restored=True)


@pytest.mark.parametrize("value", ['a","b', "a\\", "\\ud800"])
def test_a_value_that_is_no_string_of_json_is_put_back_as_it_stood(value: str) -> None:
    """A mark across two strings, half an escape, half a pair: nothing to decode, nothing to escape."""
    numbers = Numbering(())
    name = numbers.placeholder("key", value, in_json=True, restored=True)
    known = Originals()
    known.keep(numbers.originals)
    assert value == restored(known, name, in_json=True) == restored(known, name)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("to <EMAIL_1>.", "to a@b.c."),
        ("<EMAIL_1><EMAIL_1>", "a@b.ca@b.c"),
        ("<EMAIL_2> <EMAIL_10> <EMAIL_01> <email_1>", "<EMAIL_2> <EMAIL_10> <EMAIL_01> <email_1>"),
        ("<EMAIL_1 <EMAIL_1>", "<EMAIL_1 a@b.c"),
        ("EMAIL_1", "EMAIL_1"),
        (r"\u003cEMAIL_1\u003e", "a@b.c"),
        (r"\u003CEMAIL_1>", "a@b.c"),
        (r"\\u003cEMAIL_1\\u003e", "a@b.c"),
    ],
)
def test_only_what_was_given_is_found(said: str, meant: str) -> None:
    """In every way in which JSON may escape the brackets; nothing that only looks alike."""
    assert meant == restored(originals("a@b.c"), said)


VALUE = 'line\n"quoted" \\ é'


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_value_is_escaped_as_often_as_its_place_needs(depth: int) -> None:
    """A string in JSON in a string in JSON: whoever reads it all the way has the value."""
    said = "<EMAIL_1>"
    for level in range(depth):
        said = json.dumps({"to": said})
        if not level:
            said = said.replace("<", r"\u003c").replace(">", r"\u003e")
    text = restored(originals(VALUE), said)
    for _ in range(depth):
        text = json.loads(text)["to"]
    assert VALUE == text


@given(
    st.lists(st.sampled_from(["<", ">", "\\", "u003c", r"\u003e", "EMAIL_", "1", "EMAIL_12", " "]), max_size=8).map(
        "".join
    ),
    st.sampled_from(["<EMAIL_12>", r"\u003cEMAIL_12\u003e", r"\\u003CEMAIL_1\\u003E"]),
    st.data(),
)
def test_no_beginning_of_a_placeholder_is_let_go(before: str, said: str, data: st.DataObject) -> None:
    """Cut anywhere: what the whole text has is either found before the cut, or waits behind it."""
    known = originals(*(f"{number}@b.c" for number in range(12)))
    text = before + " " + said
    cut = data.draw(st.integers(0, len(text)))
    held = cut - known.tail(text[:cut])
    assert all(place.end <= held or place.start >= held for place in known.find(text))


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("a < b", 0),
        ("a <", 1),
        ("<EM", 3),
        ("<EMU", 0),
        ("<EMAIL_1>", 0),
        ("<EMAIL_1\\u00", 12),
        ("C:\\", 1),
        ("<div", 0),
        ("<" + "A" * 60, 0),
    ],
)
def test_what_cannot_become_a_placeholder_does_not_wait(text: str, held: int) -> None:
    """Only a few characters are ever held back."""
    assert held == originals("a@b.c").tail(text)


def test_what_waits_anyway_takes_a_whole_placeholder_with_it() -> None:
    """Half of it before the border and half behind would be none."""
    assert len("<EMAIL_1>x") == originals("a@b.c").tail("to <EMAIL_1>x", 3)


def test_what_begins_with_a_brace_is_json() -> None:
    """From the beginning of the channel or a separator on, however it is cut."""
    writing = Writing()

    def say(channel: object, text: str, path: tuple[str, ...] = ("a",)) -> bool:
        return writing.is_json(Segment(channel, text, path))  # type: ignore[arg-type]

    assert [False, False, False, True, True] == [
        say(CALL, "note"),
        say(CALL, "\n", ()),
        say(CALL, " "),
        say(CALL, '{"a'),
        say(CALL, '": 1}'),
    ]
    assert [False, False] == [say(CONTENT, "Hello"), say(CONTENT, '{"a": 1}')]
    assert writing.is_json(Segment((Kind.TOOL_CALL, "1"), "5", ("a",), raw=True))


def test_nobody_can_read_it_from_a_repr() -> None:
    """Lengths only: law 9."""
    known = originals("secret@b.c")
    assert "Originals(1)" == repr(known)
    assert "secret" not in repr(numbering("secret@b.c").originals)


def test_what_is_dropped_is_gone() -> None:
    """The exchange is over."""
    known = originals("a@b.c")
    known.drop()
    assert not known
    assert [] == list(known.find("<EMAIL_1>"))
    assert not NOTHING


def test_a_place_says_whose_it_is() -> None:
    """The entity, for the record."""
    assert "email" == originals("a@b.c").entity(Place(0, 9, "EMAIL_1", 0))
