"""Windows depend on the text alone, cover all of it, and are cleared in order."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Windowing
from safeguards_extproc.core.text import Kind
from safeguards_extproc.core.windows import Windows

SMALL = Windowing(first=8, largest=20, overlap=6)
CONTENT, CALL = (Kind.CONTENT, "0"), (Kind.TOOL_CALL, "0.0")
TEXTS = st.text(alphabet="ab \n字", max_size=120)


def no_tail(text):
    return 0


def run(text, sizes, channel=CONTENT, tail=no_tail, make=Windows):
    """The windows of `text` pushed in pieces of the given sizes, and the object itself."""
    windows, found, at = make(SMALL, tail), [], 0
    while at < len(text):
        size = sizes[len(found) % len(sizes)] if sizes else len(text)
        found += windows.push(channel, text[at : at + size])
        at += size
    return [*found, *windows.close(channel)], windows


def law_same_text_same_windows(make=Windows):
    @given(TEXTS, st.lists(st.integers(1, 30), min_size=1, max_size=5))
    def law(text, sizes):
        assert run(text, sizes, make=make)[0] == run(text, [], make=make)[0]

    return law


def test_same_text_same_windows():
    """How text was cut into pieces changes no window."""
    law_same_text_same_windows()()


@pytest.mark.interpreted
def test_cutting_at_pieces_breaks_the_law():
    """Planted fault: windows that end where a piece ends are seen."""

    class AtPieces(Windows):
        def push(self, channel, text):
            return [*super().push(channel, text), *self.flush()]

    try:
        law_same_text_same_windows(AtPieces)()
    except AssertionError:
        return
    raise AssertionError("the law does not bite")


@given(TEXTS)
def test_windows_cover_every_character_once(text):
    """New text of the windows, put together, is the text; only the last says so."""
    windows, _ = run(text, [7])

    assert "".join(w.text[w.lead :] for w in windows) == text
    assert [w.last for w in windows] == [False] * (len(windows) - 1) + [True] * bool(windows)
    assert all(w.end - w.start <= SMALL.largest for w in windows)


@given(TEXTS, st.integers(0, 12))
def test_a_tail_is_seen_again_by_the_next_window(text, tail):
    """What waits at the end of a window is in the lead of the next, whole."""
    windows, _ = run(text, [5], tail=lambda content: min(tail, len(content)))
    for before, after in itertools.pairwise(windows):
        if after.text:
            assert after.start - after.lead <= before.end - before.tail


def test_text_is_cleared_but_for_its_tail():
    """The watermark stops where something may be beginning; the last window clears all."""
    windows = Windows(SMALL, lambda text: 3)
    first = windows.push(CONTENT, "some words")[0]
    windows.clear(first)

    assert windows.cleared(CONTENT) == first.end - 3

    for window in windows.close(CONTENT):
        windows.clear(window)
    assert windows.cleared(CONTENT) == len("some words")


def test_a_tool_call_is_held_whole():
    """No window before the end, and nothing cleared before the last one."""
    windows = Windows(SMALL, no_tail)

    assert windows.push(CALL, "x" * 100) == []
    assert windows.flush() == []

    found = windows.close(CALL)
    for window in found[:-1]:
        windows.clear(window)
    assert windows.cleared(CALL) == 0
    windows.clear(found[-1])
    assert windows.cleared(CALL) == 100


def test_a_flush_moves_no_border():
    """A slow stream is scanned early, and again where it would have been."""
    windows = Windows(SMALL, no_tail)
    windows.push(CONTENT, "abc")
    early = windows.flush()
    later = windows.push(CONTENT, "def ghij")

    assert [w.text for w in early] == ["abc"]
    assert [w.text for w in later] == ["abcdef "]


def test_a_window_shows_no_text():
    """A repr has places, never words."""
    window = run("secret words", [])[0][0]

    assert "secret" not in repr(window)


def test_texts_that_are_held_whole_are_counted_until_they_end():
    """What only its own end can let go is known at any time."""
    windows = Windows(SMALL, no_tail)
    windows.push(CONTENT, "never counted")
    windows.push(CALL, "1234")
    windows.push(CALL, "567")
    assert (7, 2) == (windows.whole, len(windows))

    windows.close(CALL)
    assert 0 == windows.whole

    windows.push(CALL, "89")
    assert 2 == windows.whole

    windows.close_all()
    assert 0 == windows.whole
