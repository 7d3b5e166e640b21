"""What Envoy waits for: every conversation's last answer, and none before it, leaves nothing due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.adapters.dues import Dues
from safeguards_extproc.core.effects import AnswerBody, Refuse, SendBody, SendHeaders, SendTrailers
from safeguards_extproc.core.events import Body, BodyMode, Headers, Opened, Trailers
from safeguards_extproc.core.text import Direction

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
Step = Headers | Body | Trailers | SendHeaders | SendBody | AnswerBody | SendTrailers | Refuse


def talk(mode: BodyMode, direction: Direction, chunks: int, *, by_trailers: bool) -> list[Step]:
    """One direction's conversation, each message answered once it has come."""
    if not chunks and not by_trailers:
        return [Headers(direction, {}, True), SendHeaders(direction)]
    steps: list[Step] = [Headers(direction, {}, False), SendHeaders(direction)]
    for number in range(chunks):
        end = number == chunks - 1 and not by_trailers
        steps.append(Body(direction, b"x", end))
        steps.append(SendBody(direction, b"x", end) if mode is BodyMode.DUPLEX else AnswerBody(direction))
    if by_trailers:
        steps += [Trailers(direction), SendTrailers(direction)]
    return steps


def settled_at(opened: Opened, steps: list[Step]) -> list[bool]:
    """Whether nothing was due, after each step."""
    dues, after = Dues(opened), []
    for step in steps:
        if isinstance(step, Headers | Body | Trailers):
            dues.took(step)
        else:
            dues.gave(step)
        after.append(dues.none)
    return after


@given(
    mode=st.sampled_from([BodyMode.DUPLEX, BodyMode.STREAMED, BodyMode.BUFFERED]),
    request=st.integers(0, 4),
    response=st.integers(0, 4),
    by_trailers=st.booleans(),
)
def test_only_the_last_answer_settles(mode: BodyMode, request: int, response: int, by_trailers: bool) -> None:
    """Between a direction's headers and its last answer something is due; after it nothing is."""
    first = talk(mode, REQUEST, request, by_trailers=by_trailers)
    second = talk(mode, RESPONSE, response, by_trailers=by_trailers)
    expected = [*[False] * (len(first) - 1), True, *[False] * (len(second) - 1), True]
    assert expected == settled_at(Opened(mode, mode), [*first, *second])


def test_every_chunk_of_a_paired_body_is_due() -> None:
    """Two chunks came, the last one with the end: the first answer does not settle, the second does."""
    steps: list[Step] = [Headers(REQUEST, {}, False), SendHeaders(REQUEST)]
    steps += [Body(REQUEST, b"a", False), Body(REQUEST, b"b", True), AnswerBody(REQUEST), AnswerBody(REQUEST)]
    assert settled_at(Opened(BodyMode.STREAMED, BodyMode.STREAMED), steps)[-2:] == [False, True]


def test_held_headers_of_a_whole_body_are_not_the_last_answer() -> None:
    """In full duplex the body may end before its headers are answered."""
    steps: list[Step] = [Headers(REQUEST, {}, False), Body(REQUEST, b"a", True), SendHeaders(REQUEST)]
    assert settled_at(Opened(BodyMode.DUPLEX, BodyMode.DUPLEX), steps) == [False] * 3


def test_without_body_messages_headers_are_all() -> None:
    """Where Envoy sends no body, the answer to the headers settles, until trailers come."""
    steps: list[Step] = [Headers(REQUEST, {}, False), SendHeaders(REQUEST), Trailers(REQUEST), SendTrailers(REQUEST)]
    assert settled_at(Opened(BodyMode.NONE, BodyMode.NONE), steps) == [False, True, False, True]


@pytest.mark.parametrize(
    ("opened", "last"),
    [
        (Opened(BodyMode.DUPLEX, BodyMode.DUPLEX), Refuse(400, (), b"", "policy")),
        (Opened(BodyMode.DUPLEX, BodyMode.DUPLEX, silent=True), Headers(RESPONSE, {}, False)),
    ],
    ids=["refused", "silent"],
)
def test_nothing_is_due_after_a_refusal_nor_in_silence(opened: Opened, last: Step) -> None:
    """An answer of our own ends both directions; an observer answers nothing."""
    assert settled_at(opened, [Headers(REQUEST, {}, False), last])[-1]
