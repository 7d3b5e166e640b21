"""A document goes to the scan in turns: the same windows as at once, and no turn is long."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Windowing
from safeguards_extproc.core.pour import CLOSE, PIECE, SEGMENT, TURN, Pour, Progress
from safeguards_extproc.core.scan import Scan
from safeguards_extproc.core.text import Direction, Document, Kind, Segment
from tests.world import WordPolicy

pytestmark = pytest.mark.long

KINDS = (Kind.USER, Kind.TOOL_CALL, Kind.SYSTEM)
WINDOWS = Windowing(first=16, largest=64, overlap=8)
RUNS = ("words and more words ", "nospaceatall", "a", "\n", "FORBIDDEN ")


class Kept(Scan):
    """A scan that keeps its windows."""

    def __init__(self):
        self.cut = []
        super().__init__(WordPolicy(local=()), Direction.REQUEST, WINDOWS, itertools.count(1), [])

    def _submit(self, windows):
        self.cut += windows
        super()._submit(windows)


texts = st.builds(
    lambda run, times: run * times, st.sampled_from(RUNS), st.sampled_from([0, 1, 7, 300, PIECE, 3 * PIECE])
)
segments = st.lists(
    st.builds(
        lambda kind, name, text, n: Segment((kind, str(name)), text, ("texts", n) if n else ()),
        st.sampled_from(KINDS),
        st.integers(0, 2),
        texts,
        st.integers(0, 9),
    ),
    max_size=8,
)


def windows(scan):
    return sorted((one.channel, one.start, one.end, one.lead, one.text, one.last) for one in scan.cut)


@settings(max_examples=40, deadline=None)
@given(segments)
def test_turns_change_nothing(given_segments):
    """The windows and where each text begins are those of pushing everything at once."""
    at_once = Kept()
    known = [(segment, at_once.push(segment)) for segment in given_segments]
    at_once.close_all()

    in_turns, document = Kept(), Document(list(given_segments))
    pour = Pour(in_turns, document, 1 << 30)
    while pour.turn() is Progress.MORE:
        assert in_turns.behind
    assert windows(at_once) == windows(in_turns)
    assert known == pour.parts
    assert not in_turns.pouring


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 50, 100_000])
def test_no_turn_is_long(kind, size):
    """However the text is spread, and whether it is held whole or not."""
    count = 600_000 // size if size > 1 else 5000
    scan = Kept()
    pour = Pour(scan, Document([Segment((kind, str(n % 700)), "a" * size, (n,)) for n in range(count)]), 1 << 30)
    costs, progress = [], Progress.MORE
    while progress is Progress.MORE:
        before, pushed = len(scan.cut), len(pour.parts)
        progress = pour.turn()
        cut = sum(len(window.text) for window in scan.cut[before:])
        parts = len(pour.parts) - pushed
        closed = sum(window.last for window in scan.cut[before:])
        costs.append(cut + SEGMENT * parts + CLOSE * closed)
    assert max(costs) <= 2 * TURN + CLOSE


@pytest.mark.parametrize("kind", KINDS)
def test_more_windows_than_may_be_end_it(kind):
    """Before all of the text has been cut, and nothing is under way any more."""
    scan = Kept()
    pour = Pour(scan, Document([Segment((kind, "0"), "a" * 1_000_000, ("text",))]), 100)
    while (progress := pour.turn()) is Progress.MORE:
        pass
    assert progress is Progress.OVER
    assert 100 <= len(scan.cut) < 3000
    assert not scan.pouring


def test_what_is_edited_elsewhere_keeps_no_parts():
    """A large body's segments are let go of as they are pushed."""
    pour = Pour(Kept(), Document([Segment((Kind.USER, "0"), "a", ("text",))] * 100), 1000, keeps=False)
    assert pour.turn() is Progress.DONE
    assert pour.parts == []
