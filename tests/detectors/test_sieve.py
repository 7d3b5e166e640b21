"""The sieve may say yes too often, never no."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import given, settings

from safeguards_extproc.detectors.expression import options
from safeguards_extproc.detectors.pii import ROWS as PII
from safeguards_extproc.detectors.secrets import ROWS as SECRETS
from safeguards_extproc.detectors.sieve import Sieve, relaxed
from safeguards_extproc.detectors.views import TRIGGERS, Seen, expand
from safeguards_extproc.evaluate.evasions import EVASIONS
from tests.detectors.mixtures import SENTENCES, mixtures

ROWS = [f"{row.before}({row.core}){row.after}" for row in (*PII, *SECRETS)]
EXACT = [re2.compile(pattern, options()) for pattern in ROWS]
TRIGGERED = [re2.compile(pattern, options()) for pattern in TRIGGERS]
SIEVE = Sieve([relaxed(pattern) for pattern in ROWS])


def missed(sieve: Sieve, text: str) -> list[int]:
    """Which expressions match one of the text's views, and the sieve says no."""
    found = []
    for view in expand(text):
        data = view.encode("utf-8", "surrogatepass")
        may = sieve.may(data)
        found += [index for index, exact in enumerate(EXACT) if index not in may and exact.search(data)]
    return found


def matching(text: str) -> Sequence[int]:
    """The triggers that match, each asked by itself."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        return list(range(len(TRIGGERS)))
    data = text.encode()
    return [index for index, exact in enumerate(TRIGGERED) if exact.search(data)]


@given(mixtures())
@settings(max_examples=15, deadline=None)
def test_what_the_sieve_leaves_out_matches_nowhere(text: str) -> None:
    """In no view of any text, for no row of any table."""
    assert [] == missed(SIEVE, text)


def test_a_sieve_that_stops_counting_too_early_is_found_out() -> None:
    """The law bites: here what is repeated is taken for so many times and no more."""
    short = Sieve([re.sub(r"\{(\d+),\}", r"{\1}", relaxed(pattern)) for pattern in ROWS])
    text = "my card is 4000 0000 0000 0002."
    assert missed(short, text)
    assert [] == missed(SIEVE, text)


def matched(text: str) -> Sequence[int]:
    """The same, by way of the sieve."""
    seen = Seen(text)
    return [index for index in seen.may if seen.triggers(index)]


@given(mixtures())
@settings(max_examples=15, deadline=None)
def test_triggers_are_those_that_match(text: str) -> None:
    """Passing the sieve is not enough: each that may match is asked by itself."""
    assert matching(text) == matched(text)


@pytest.mark.parametrize("evasion", EVASIONS)
def test_no_disguise_gets_through_the_sieve(evasion: str) -> None:
    """Every evasion has the triggers that it has without a sieve."""
    for sentence in SENTENCES:
        disguised = EVASIONS[evasion](sentence)
        assert matching(disguised) == matched(disguised)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a{16}", "a{2,}"),
        ("a{3,}b{0,64}", "a{2,}b{0,}"),
        ("a{0,2}b{2}c{1,2}", "a{0,2}b{2}c{1,2}"),
        (r"[{5,9}\]]{5,9}", r"[{5,9}\]]{2,}"),
        (r"\{5,9}", r"\{5,9}"),
        (r"\x{370}\p{Greek}[\x{370}-\x{3ff}]\pL{7}", r"\x{370}\p{Greek}[\x{370}-\x{3ff}]\pL{2,}"),
        (r"\Qa{5}\E{5}\Qb{9}", r"\Qa{5}\E{2,}\Qb{9}"),
        ("[]{5}]{5}[^]{5}]{5}[[:alpha:]{5}]{5}", "[]{5}]{2,}[^]{5}]{2,}[[:alpha:]{5}]{2,}"),
        ("{x}a{,5}", "{x}a{,5}"),
    ],
)
def test_only_repetitions_are_relaxed(pattern: str, expected: str) -> None:
    """Not what merely looks like one: a brace in a class, in a literal, in the name of a character."""
    assert expected == relaxed(pattern)


def test_where_nothing_may_match_nothing_is_said() -> None:
    """Expressions are told apart, in their order."""
    sieve = Sieve(["a", "b", "^c"])
    assert [[], [1], [0, 2]] == [list(sieve.may(data)) for data in (b"", b"xbx", b"ca")]


def test_without_memory_all_may_match() -> None:
    """RE2 says that it found nothing where it had no room to look: that is no answer."""
    sieve = Sieve([rf"(?:a|b)*a(?:a|b){{{count}}}" for count in range(300, 304)])
    dice = "".join("ab"[(7 * place * place + place // 3) % 11 % 2] for place in range(4000))
    may = sieve.may(dice.encode())
    assert len(may) == 4
