"""Scanning: verdicts in window order, exact accounts, the last word on what could not be read."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Action, Model, Result, Windowing
from safeguards_extproc.core.effects import Cancel, Classify
from safeguards_extproc.core.scan import AT_ONCE, PER_TURN, Scan
from safeguards_extproc.core.text import Direction, Kind, Segment
from tests.world import WordPolicy

SCREEN = Model("screen", "screen", 100)
WINDOWS = Windowing(first=6, largest=6, overlap=4)
CONTENT = (Kind.CONTENT, "0")


def scan(policy, out):
    return Scan(policy, Direction.RESPONSE, WINDOWS, itertools.count(1), out)


def said(text, channel=CONTENT):
    return Segment(channel, text, ("text",))


def test_verdicts_are_applied_in_the_order_of_the_windows():
    """The second window's scores wait for the first's."""
    out = []
    it = scan(WordPolicy({}, models=[SCREEN]), out)
    it.push(said("abcdefghijkl"))
    first, second = (effect.ticket for effect in out)
    it.scored(second, [Result("screen", {"screen.bad": 0.1})])

    assert list(it.settle()) == []

    it.scored(first, [Result("screen", {"screen.bad": 0.2})])
    assert [window.start for window in it.settle()] == [0, 6]
    assert it.cleared(CONTENT) == 12


def test_only_models_that_are_due_are_asked():
    """By direction and by kind of text."""
    models = [
        Model("a", "a", 1, response=False),
        Model("b", "b", 1, kinds=frozenset({Kind.TOOL_CALL})),
        Model("c", "c", 1, kinds=frozenset({Kind.CONTENT})),
    ]
    out = []
    scan(WordPolicy({}, models=models), out).push(said("abcdef"))

    assert [[model.detector for model in effect.models] for effect in out if isinstance(effect, Classify)] == [["c"]]


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([{"screen.bad": 0.2}, {"screen.bad": 0.2}, {"screen.bad": 0.1}], 1),
        ([{"screen.bad": 0.2}, {"screen.bad": 0.3}, {"screen.bad": 0.4}], 3),
        ([{"screen.bad": 0.2}, None, {"screen.bad": 0.2}], 2),
    ],
    ids=["nothing-new", "more-each-time", "no-answer"],
)
def test_policy_is_asked_again_when_there_is_more_to_know(answers, asked):
    """The same facts give the same verdict: a window that adds nothing costs no rule."""
    facts = []

    class Asked(WordPolicy):
        def decide(self, known):
            facts.append(known)
            return super().decide(known)

    out = []
    it = scan(Asked({}, models=[SCREEN]), out)
    it.push(said("abcdefghijklmnopqr"))
    for effect, scores in zip(list(out), answers, strict=True):
        it.scored(effect.ticket, [Result("screen", scores or {}, "" if scores else "timeout")])

    list(it.settle())
    assert len(facts) == asked


def test_what_is_given_up_is_cancelled_and_counted():
    """A check that was due and not waited for is skipped, not run."""
    out = []
    it = scan(WordPolicy({}, models=[SCREEN]), out)
    it.push(said("abcdef"))
    it.give_up()

    assert isinstance(out[-1], Cancel)
    assert (it.account.checks["screen"].skipped, it.coverage(), it.waiting) == (1, "none", False)


def test_an_unreadable_place_takes_its_turn():
    """What came before it is cleared first, whoever answers when."""
    out = []
    it = scan(WordPolicy({}, models=[SCREEN]), out)
    it.push(said("abcdef"))
    it.unread("unread")

    assert list(it.settle()) == []
    assert not it.terminal

    it.scored(1, [Result("screen", {"screen.bad": 0.0})])
    assert len(list(it.settle())) == 1
    assert it.terminal


def test_the_end_of_reading_is_final_whatever_policy_says():
    """Nothing after that place can be read, so nothing after it goes."""
    it = scan(WordPolicy({}, on_uninspectable=Action.ALLOW), [])
    it.unread("too-large", final=True)

    assert list(it.settle()) == []
    assert (it.terminal, it.verdict.reason) == (True, "too-large")


@pytest.mark.parametrize(
    ("local", "failure", "coverage"),
    [(("words",), "", "full"), ((), "", "full"), ((), "timeout", "none"), (("words",), "timeout", "none")],
)
def test_coverage_needs_every_check_that_was_due(local, failure, coverage):
    """One failed check, and the text does not count as scanned."""
    out = []
    it = scan(WordPolicy({}, models=[SCREEN], local=local, on_failure=Action.ALLOW), out)
    it.push(said("abcdef"))
    it.scored(1, [Result("screen", {} if failure else {"screen.bad": 0.1}, failure)])
    list(it.settle())

    assert it.coverage() == coverage


def test_without_any_check_nothing_is_covered():
    """A policy without detectors cannot say that it scanned."""
    it = scan(WordPolicy({}, local=()), [])
    it.push(said("abcdef"))
    list(it.settle())

    assert it.coverage() == "none"


def test_flushed_text_is_not_counted_twice():
    """Windows that overlap count each character once."""
    it = scan(WordPolicy({}), [])
    it.push(said("abc"))
    it.flush()
    list(it.settle())
    it.push(said("defgh"))
    it.close_all()
    list(it.settle())

    assert (it.account.channels["content"].chars, it.account.channels["content"].scanned) == (8, 8)


def test_a_long_text_is_looked_at_a_turn_at_a_time():
    """However long it is, one event costs only so much, and only so much waits for models at a time."""
    out = []
    it = scan(WordPolicy({}, models=[SCREEN]), out)
    it.push(said("abcdef" * 200))
    it.close_all()
    assert (PER_TURN, 201) == (len(out), it.account.windows)  # the last one says that nothing follows

    turns = 1
    while it.behind:
        it.turn()
        turns += 1
    assert (AT_ONCE, AT_ONCE // PER_TURN) == (len(out), turns)

    for _ in range(200):
        it.scored(out[0].ticket, [Result("screen", {"screen.bad": 0.0})])
        del out[0]
        list(it.settle())
        it.turn()
    assert (False, "full") == (it.waiting, it.coverage())


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("the river runs past the old mill, and into the valley. ", PER_TURN),
        ("река течёт мимо старой мельницы и дальше в долину. ", PER_TURN),
        ("字符测试", PER_TURN),
        ("QmFzZTY0IGlzIG5v0dGhpbmcgbmV3", 2),
        ("4412 881 20 7713 ", 2),
        ("&#112;&#97;", 2),
        ("tоdау wе gо hоmе ", 2),
    ],
    ids=["prose", "Cyrillic", "Chinese", "base64", "numbers", "entities", "look-alikes"],
)
def test_windows_that_take_long_are_few_in_a_turn(text, most):
    """One of codes takes as long as a hundred of prose, and other streams wait for all that are looked at in a turn."""
    out = []
    it = Scan(WordPolicy(models=[SCREEN]), Direction.REQUEST, Windowing(400, 400, 10), itertools.count(1), out)
    it.push(said(text * (8000 // len(text))))
    assert most == len(out)


class Decoding(WordPolicy):
    """Has a second view of everything, and counts how often it is asked for."""

    asked = 0

    def views(self, text):
        self.asked += 1
        return (text, text.upper())

    def find(self, kind, text, views=()):
        return super().find(kind, views[-1] if views else text)


PADDED = "Monday was a very quiet day.\n\nwhat is BAD for a neighbour?\n\nTuesday was a quiet day too, and so"


def asked(policy, chunks, direction=Direction.REQUEST, **windowing):
    out = []
    it = Scan(policy, direction, Windowing(**{"largest": 100, "overlap": 20, **windowing}), itertools.count(1), out)
    for chunk in chunks:
        it.push(said(chunk, (Kind.USER, "0")))
    it.close_all()
    return [effect.texts for effect in out if isinstance(effect, Classify)]


def test_paragraphs_of_a_request_are_read_by_themselves():
    """Beside the window, by the same models; not where the route does not say so, and not of an answer."""
    policy = WordPolicy({}, models=[SCREEN])
    apart = ["Monday was a very quiet day.", "what is BAD for a neighbour?", "Tuesday was a quiet day too, and so"]
    assert [(PADDED, *apart)] == asked(policy, [PADDED], paragraphs=True)
    assert [(PADDED,)] == asked(policy, [PADDED])
    assert [(PADDED,)] == asked(policy, [PADDED], Direction.RESPONSE, first=100, paragraphs=True)


def test_paragraphs_of_what_is_hidden_are_read_where_it_is_plain():
    """Those of the decoded view: nothing is gained by encoding the padding as well."""
    (texts,) = asked(Decoding({}, models=[SCREEN]), [PADDED.lower()], paragraphs=True)
    assert (PADDED.lower(), PADDED.upper()) == texts[:2]
    assert "WHAT IS BAD FOR A NEIGHBOUR?" in texts[2:]


@pytest.mark.parametrize(
    ("format", "windowing", "found"),
    [
        ("openai_chat", {"turns": True}, [("how to make",), ("a BAD", "how to make a BAD")]),
        ("openai_chat", {}, [("how to make",), ("a BAD",)]),
        ("openai_embeddings", {"turns": True}, [("how to make",), ("a BAD",)]),
    ],
)
def test_turns_of_a_request_are_read_together(format, windowing, found):
    """Where the route says so, and where they are turns of one conversation."""
    out = []
    cut = Windowing(100, 100, 20, **windowing)
    it = Scan(WordPolicy({}, models=[SCREEN]), Direction.REQUEST, cut, itertools.count(1), out, {"format": format})
    it.push(said("how to make", (Kind.USER, "0")))
    it.push(said("Go on.", (Kind.SYSTEM, "1")))
    it.push(said("a BAD", (Kind.USER, "2")))
    it.close_all()
    assert [("Go on.",)] == [effect.texts for effect in out if effect.kind is Kind.SYSTEM]
    assert found == [effect.texts for effect in out if effect.kind is Kind.USER]


@given(st.lists(st.integers(0, 3 * len(PADDED)), max_size=5))
@settings(max_examples=30)
def test_chunks_change_no_paragraph(cuts):
    """Law 1: a body that comes in pieces asks models the same."""
    policy, text = WordPolicy({}, models=[SCREEN]), PADDED * 3
    ends = [0, *sorted(cuts), len(text)]
    chunks = [text[begin:end] for begin, end in itertools.pairwise(ends)]
    assert asked(policy, [text], paragraphs=True) == asked(policy, chunks, paragraphs=True)


SKIM = Model("skim", "screen", 100, sentences=("skim.bad",))
SENTENCES = ["Monday was a very quiet day.", "what is BAD for a neighbour?", "Tuesday was a quiet day too, and so."]
TOGETHER = " ".join(SENTENCES)


def test_sentences_are_read_by_those_who_ask_for_them():
    """And by nobody else; a window of one sentence has nothing for them, and its record says so."""
    policy = WordPolicy({}, models=[SCREEN, SKIM])
    assert [(TOGETHER,), tuple(SENTENCES)] == asked(policy, [TOGETHER])
    assert [(TOGETHER,), tuple(SENTENCES)] == asked(policy, [TOGETHER], Direction.RESPONSE, first=100)
    assert [(SENTENCES[0],)] == asked(policy, [SENTENCES[0]])
    out = []
    it = Scan(policy, Direction.REQUEST, Windowing(200, 200, 20), itertools.count(1), out)
    for text in (TOGETHER, SENTENCES[0]):
        it.push(said(text, (Kind.USER, text)))
    it.close_all()
    for effect in out:
        if isinstance(effect, Classify):
            it.scored(
                effect.ticket, [Result(model.detector, {f"{model.detector}.bad": 0.9}) for model in effect.models]
            )
    assert it.absorb_all()
    skim, screen = it.account.checks["skim"], it.account.checks["screen"]
    assert ((1, 1), (2, 0)) == ((skim.run, skim.not_due), (screen.run, screen.not_due))


def test_sentences_of_what_is_hidden_are_read_where_it_is_plain():
    """Those of the decoded view."""
    texts = asked(Decoding({}, models=[SKIM]), [TOGETHER.lower()])
    assert [tuple(map(str.upper, SENTENCES))] == texts


@given(st.lists(st.integers(0, 3 * len(TOGETHER)), max_size=5))
@settings(max_examples=30)
def test_chunks_change_no_sentence(cuts):
    """Law 1: a body that comes in pieces asks models the same."""
    policy, text = WordPolicy({}, models=[SCREEN, SKIM]), f"{TOGETHER} " * 3
    ends = [0, *sorted(cuts), len(text)]
    chunks = [text[begin:end] for begin, end in itertools.pairwise(ends)]
    assert asked(policy, [text]) == asked(policy, chunks)


@pytest.mark.parametrize(("models", "times", "found"), [([SCREEN], 1, 1.0), ([], 0, 0.0)])
def test_a_window_is_decoded_once(models, times, found):
    """Detectors in process and models see the same views; without a model the detectors make what they need."""
    out, policy = [], Decoding({"BAD": Action.BLOCK}, models=models)
    it = scan(policy, out)
    it.push(said("a bad "))
    for effect in out:
        assert effect.texts == ("a bad ", "A BAD ")
        it.scored(effect.ticket, [Result("screen", {"screen.bad": 0.0})])
    assert it.absorb_all()
    assert (times, found) == (policy.asked, it.facts.scores[Kind.CONTENT]["words.bad"])
