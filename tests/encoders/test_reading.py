"""Every word is read: long texts, long words, words with a strange character in them, answers after long questions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from encoders.checkpoint import installed
from encoders.reading import Reader, Reading, Windows

VOCABULARY = installed().tokenizer()
NAMES = {number: token for token, number in Tokenizer.from_buffer(VOCABULARY).get_vocab().items()}
TEXT = Reader(VOCABULARY, Reading(window=32, overlap=8))
PAIR = Reader(VOCABULARY, Reading(window=32, overlap=8, pair=True))
WORDS = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "house", "water", "light", "green"
]  # fmt: skip


def names(ids: list[int]) -> list[str]:
    return [NAMES[number] for number in ids]


def read(text: str) -> list[str]:
    """The tokens of a short text."""
    windows = Reader(VOCABULARY, Reading()).read([text.encode("utf-8", "surrogateescape")])
    assert len(windows.ids) == 1
    return names(windows.ids[0])[1:-1]


def joined(windows: Windows, overlap: int, skip: int = 1) -> list[int]:
    """The tokens of one text, from its windows: all of the first, and of the others what comes after the overlap.

    AssertionError if windows don't overlap as they should."""
    whole: list[int] = []
    for number, (ids, second) in enumerate(zip(windows.ids, windows.seconds, strict=True)):
        part = ids[skip if second == len(ids) else second : -1]
        if number:
            assert part[:overlap] == whole[-overlap:]
            part = part[overlap:]
        whole += part
    return whole


@settings(max_examples=60)
@given(st.lists(st.sampled_from(WORDS), max_size=200))
def test_windows_hold_the_whole_text(words: list[str]) -> None:
    """No window is too long, neighbours overlap, and together they are the text."""
    windows = TEXT.read([" ".join(words).encode()])
    assert max(map(len, windows.ids)) <= 32
    assert names(joined(windows, 8)) == words


def test_a_lost_window_would_be_noticed() -> None:
    """Planted fault: without the second of three windows the rest does not fit together."""
    windows = TEXT.read([" ".join(WORDS * 5).encode()])
    assert len(windows.ids) == 3
    del windows.ids[1], windows.seconds[1]
    with pytest.raises(AssertionError):
        joined(windows, 8)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(WORDS), max_size=60), st.lists(st.sampled_from(WORDS), max_size=200))
def test_a_pair_holds_the_whole_answer_and_both_ends_of_the_question(asked: list[str], said: list[str]) -> None:
    """Each window begins with the question, shortened in its middle; the answer is there to its end."""
    windows = PAIR.read([" ".join(said).encode()], [" ".join(asked).encode()])
    assert max(map(len, windows.ids)) <= 32
    assert names(joined(windows, 8)) == said
    for ids, second in zip(windows.ids, windows.seconds, strict=True):
        head = names(ids[:second])
        assert head[0] == "[CLS]"
        assert head[-1] == "[SEP]"
        question = head[1:-1]
        half = len(question) // 2
        assert question[:half] == asked[:half]
        assert question[half:] == asked[len(asked) - (len(question) - half) :]
        assert len(question) == len(asked) or len(question) >= 10


def test_texts_keep_to_themselves() -> None:
    """Windows of several texts are told apart, and each text has one."""
    windows = TEXT.read([b"", " ".join(WORDS * 3).encode(), b"one"])
    assert windows.starts == [0, 1, 3, 4]
    assert names(windows.ids[0]) == ["[CLS]", "[SEP]"]
    assert names(windows.ids[3]) == ["[CLS]", "one", "[SEP]"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kill🙂", ["kill"]),
        ("k🙂i🙂l🙂l", ["kill"]),
        ("ki\u200bll", ["kill"]),
        ("ki\x00ll", ["kill"]),
        ("ki\udcffll", ["kill"]),
        ("KILL", ["kill"]),
        ("🙂 kill", ["[UNK]", "kill"]),
        ("🙂🙂", ["[UNK]"]),
    ],
)
def test_a_strange_character_does_not_hide_a_word(text: str, expected: list[str]) -> None:
    """Emoji, invisible characters and broken UTF-8 within a word; a word of nothing else stays unknown."""
    assert read(text) == expected


def test_a_long_word_does_not_hide_what_is_in_it() -> None:
    """A hundred words without a space between them are read, not given up."""
    tokens = read("kill" * 100)
    assert "[UNK]" not in tokens
    assert tokens.count("kill") > 3


def test_a_prompt_belongs_to_each_text_of_a_pair_and_to_nothing_else() -> None:
    """A model for texts gets no prompts, a model for pairs one for each."""
    with pytest.raises(ValueError, match="prompt"):
        TEXT.read([b"a"], [b"b"])
    with pytest.raises(ValueError, match="prompt"):
        PAIR.read([b"a", b"b"], [b"c"])


@pytest.mark.parametrize("sizes", [(8, 0), (64, 17), (64, -1)])
def test_windows_that_cannot_be_are_refused(sizes: tuple[int, int]) -> None:
    """Too small, or overlapping so much that a text never ends."""
    with pytest.raises(ValueError, match="window"):
        Reading(*sizes)
