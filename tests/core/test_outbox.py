"""Envoy's conventions: duplex says what it likes in order, paired answers each message once, silent says nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.core.effects import AnswerBody, SendBody, SendHeaders, SendTrailers
from safeguards_extproc.core.events import BodyMode, Opened
from safeguards_extproc.core.outbox import CHUNK, Duplex, Last, Paired, Silent, outbox
from safeguards_extproc.core.text import Direction

REQUEST = Direction.REQUEST


def test_the_first_message_chooses():
    """protocol_config and observability_mode decide, not our own settings."""
    chosen = {
        (mode, silent): type(outbox(Opened(mode, mode, silent), REQUEST, []))
        for mode in BodyMode
        for silent in (True, False)
    }

    assert {kind for (_, silent), kind in chosen.items() if silent} == {Silent}
    assert chosen[BodyMode.DUPLEX, False] is Duplex
    assert chosen[BodyMode.BUFFERED, False] is chosen[BodyMode.STREAMED, False] is Paired


def test_duplex_says_the_end_with_the_last_bytes():
    """One message less: the end flag goes with the bytes before it."""
    out = []
    box = Duplex(REQUEST, out)
    box.took_headers(end=False)
    box.headers(SendHeaders(REQUEST))
    box.body(b"abc", 3)
    box.finish(Last({"id": "1"}))
    box.finish()

    assert out[1:] == [SendBody(REQUEST, b"abc", True, {"id": "1"})]


def test_duplex_cuts_large_bodies():
    """No answer is larger than Envoy asks for, and none of the bytes is lost."""
    out = []
    box = Duplex(REQUEST, out)
    data = bytes(range(256)) * 1000
    box.body(data, len(data))
    box.finish()

    assert [len(sent.data) <= CHUNK for sent in out] == [True] * len(out)
    assert b"".join(sent.data for sent in out) == data
    assert [sent.end for sent in out] == [False] * (len(out) - 1) + [True]


def test_duplex_answers_trailers_instead_of_ending_the_body():
    """Where trailers end a direction, the body never does."""
    out = []
    box = Duplex(REQUEST, out)
    box.body(b"abc", 3)
    box.took_trailers()
    box.finish()

    assert out == [SendBody(REQUEST, b"abc", False), SendTrailers(REQUEST)]


def test_nothing_follows_a_cut():
    """After the last bytes of ours, duplex is silent and paired empties what still comes."""
    out = []
    box = Duplex(REQUEST, out)
    box.cut(b"bye")
    box.body(b"more", 4)
    box.finish()
    paired_out = []
    paired = Paired(REQUEST, paired_out, buffered=False)
    paired.took_body(b"one", end=False)
    paired.cut(b"bye")
    paired.took_body(b"two", end=True)

    assert out == [SendBody(REQUEST, b"bye", True)]
    assert paired_out == [AnswerBody(REQUEST, b"bye"), AnswerBody(REQUEST, b"")]


def test_buffered_body_unchanged_is_said_without_bytes():
    """An unedited body is answered by a constant; an edited one carries its new length."""
    plain, edited = [], []
    for out, data in ((plain, b"hello"), (edited, b"hi")):
        box = Paired(REQUEST, out, buffered=True)
        box.took_body(b"hello", end=True)
        box.body(data, 5)
        box.finish()

    assert plain == [AnswerBody(REQUEST, None)]
    assert edited == [AnswerBody(REQUEST, b"hi", [("content-length", "2")])]


@given(
    st.lists(st.binary(max_size=9), min_size=1, max_size=8),
    st.lists(st.integers(1, 9), min_size=1, max_size=9),
    st.booleans(),
)
def test_paired_answers_each_message_once(pieces, steps, trailers):
    """However bytes are released, each chunk has one answer, in order, and the bytes are the same."""
    out = []
    box = Paired(REQUEST, out, buffered=False)
    whole = b"".join(pieces)
    for number, piece in enumerate(pieces):
        box.took_body(piece, end=number == len(pieces) - 1 and not trailers)
    if trailers:
        box.took_trailers()
    sent = 0
    for step in steps:
        box.body(whole[sent : sent + step], len(whole[sent : sent + step]))
        sent = min(len(whole), sent + step)
    box.body(whole[sent:], len(whole) - sent)
    box.finish()
    answers = [answer for answer in out if isinstance(answer, AnswerBody)]

    assert len(answers) == len(pieces)
    assert b"".join(piece if a.data is None else a.data for a, piece in zip(answers, pieces, strict=True)) == whole
    assert [type(answer) for answer in out[len(pieces) :]] == [SendTrailers] * trailers


@pytest.mark.interpreted
def test_a_planted_double_answer_is_seen():
    """The law above fails for an outbox that answers twice."""

    class Twice(Paired):
        def finish(self, last=Last()):  # noqa: B008
            super().finish(last)
            self._out.append(AnswerBody(REQUEST))

    out = []
    box = Twice(REQUEST, out, buffered=False)
    box.took_body(b"x", end=True)
    box.body(b"x", 1)
    box.finish()

    with pytest.raises(AssertionError):
        assert len(out) == 1


def test_what_comes_after_the_end_is_taken_away():
    """Paired modes owe it an answer, and nobody has read it: it does not go on."""
    out = []
    box = Paired(REQUEST, out, buffered=True)
    box.took_body(b"whole", True)
    box.body(b"whole", 5)
    box.finish()
    box.took_body(b"more", True)

    assert [effect.data for effect in out] == [None, b""]
