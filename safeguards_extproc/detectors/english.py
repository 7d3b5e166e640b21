"""Whether a text is English, told by words that other languages and noise seldom have. Decoders keep what is."""

from __future__ import annotations

from safeguards_extproc.detectors.expression import Expression, either_case

_WORDS = """
    about after and because before but can could does explain from get give have help here how ignore instructions into
    kill know like make many more need only our people please previous reveal say should show some step steps system
    tell than that the their them then there these they this use were what when where which who will with without would
    write you your
"""

STRONG = frozenset(_WORDS.split())
"""Three letters or more, and not also words of German, French, Spanish or Italian."""

_STRONG = Expression(
    (
        rf"(?:^|[^A-Za-z])(?:{'|'.join(map(either_case, sorted(STRONG)))})(?:$|[^A-Za-z])"
        # Of a longer run of letters the last twelve count.
        rf"|(?:{'|'.join(either_case(word) for word in sorted(STRONG) if len(word) == 12)})(?:$|[^A-Za-z])"
    ).encode()
)


def english(text: str, enough: int = 1) -> bool:
    """Whether so many of the words of `text` are in STRONG; nothing is read beyond them."""
    return says(text.encode("utf-8", "surrogatepass"), enough)


def says(data: bytes, enough: int = 1) -> bool:
    """The same of UTF-8."""
    end = 1
    while enough:
        # The sign behind a word may be the one before the next.
        _, end = _STRONG.span(data, end - 1)
        if end < 0:
            return False
        enough -= 1
    return True
