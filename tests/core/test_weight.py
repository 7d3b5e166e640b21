"""What windows count for in a turn: codes, and letters that stand for others, take long."""

import pytest

from safeguards_extproc.core.weight import FOUND, SHORT, STRANGE, weight

PROSE = "the river runs past the old mill, and into the valley. "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROSE, 1),
        ("река течёт мимо старой мельницы и дальше в долину. ", 1),
        ("字符测试", 1),
        ("QmFzZTY0IGlzIG5v0dGhpbmcgbmV3", STRANGE),
        ("4412 881 20 7713 ", STRANGE),
        ("&#112;&#97;", STRANGE),
        ("tоdау wе gо hоmе ", STRANGE),
    ],
    ids=["prose", "Cyrillic", "Chinese", "base64", "numbers", "entities", "look-alikes"],
)
def test_what_takes_long_counts_for_more(text: str, expected: int) -> None:
    """Of a size that is worth a look; what is short takes long in no case, and half a surrogate is no error."""
    assert expected == weight(text * (SHORT // len(text) + 1))
    assert 1 == weight(text)
    assert expected == weight(text * (SHORT // len(text) + 1) + "\ud800")


def test_what_was_found_counts_too() -> None:
    """So many marks are another window."""
    assert [1, 1, 2, 4] == [weight(PROSE, marks) for marks in (0, FOUND - 1, FOUND, 3 * FOUND)]
