"""The table of what may follow what."""

import itertools

import pytest

from safeguards_extproc.core.events import Body, Headers, Trailers
from safeguards_extproc.core.lifecycle import LEGAL, Stage, step
from safeguards_extproc.core.text import Direction
from safeguards_extproc.errors import IllegalEvent

HEADERS = Headers(Direction.REQUEST, {}, False)
BARE = Headers(Direction.REQUEST, {}, True)
CHUNK = Body(Direction.REQUEST, b"x", False)
LAST = Body(Direction.REQUEST, b"x", True)
TRAILERS = Trailers(Direction.REQUEST)


@pytest.mark.parametrize(
    "events",
    [
        [HEADERS, LAST],
        [BARE],
        [HEADERS, CHUNK, CHUNK, LAST],
        [HEADERS, CHUNK, TRAILERS],
        [HEADERS, TRAILERS],
        [HEADERS, LAST, LAST],
        [HEADERS, LAST, TRAILERS],
    ],
)
def test_a_direction_ends_however_it_came(events):
    """Headers, body, trailers in the order that Envoy sends them reach the end, late repeats included."""
    stage = Stage.HEADERS
    for event in events:
        stage = step(stage, event)

    assert stage is Stage.ENDED


@pytest.mark.parametrize("events", [[CHUNK], [TRAILERS], [HEADERS, HEADERS], [BARE, HEADERS]])
def test_what_the_table_does_not_allow_is_an_error(events):
    """A message out of order is Envoy's fault, and named."""
    stage = Stage.HEADERS
    *before, last = events
    for event in before:
        stage = step(stage, event)

    with pytest.raises(IllegalEvent, match=r"request .* while waiting for"):
        step(stage, last)


def test_the_table_is_total_about_what_it_names():
    """Each pair of stage and event has a row or is illegal; nothing else happens."""
    for stage, event in itertools.product(Stage, [HEADERS, CHUNK, LAST, TRAILERS]):
        if type(event) in LEGAL[stage]:
            assert step(stage, event) in Stage
        else:
            with pytest.raises(IllegalEvent):
                step(stage, event)
