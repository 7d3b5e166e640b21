"""What is kept of an exchange shows lengths, and names windows by what models were shown."""

from __future__ import annotations

from safeguards_extproc.core.taken import Message, Taken, shown


def test_nothing_that_people_wrote_is_shown() -> None:
    """A traceback or a log with a capture in it holds no text."""
    taken = Taken("one", messages=[Message(0, 0, True, b"xyzzy"), Message(1, 5, False, b"plugh")])
    assert "Taken(one, 2 messages, 10 bytes)" == repr(taken)
    assert "Message(1, 5 us, 5 bytes)" == repr(taken.messages[1])


def test_a_window_is_what_was_shown() -> None:
    """Other views, views cut elsewhere, or another question are another window."""
    windows = [shown(["ab", "c"]), shown(["a", "bc"]), shown(["ab", "c", ""]), shown(["ab", "c"], "why?")]
    assert len(windows) == len(set(windows))
    assert shown(["ab", "c"]) == windows[0]


def test_any_text_has_a_name() -> None:
    """A lone surrogate, which UTF-8 cannot say, stands in texts that JSON escapes."""
    assert shown(["\ud800"]) != shown(["\udbff"])
