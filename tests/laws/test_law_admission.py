"""The law of admission: asked at most once, settled exactly as often, and nothing of a held request leaves before it.

Valid conversations are cut anywhere, aborted at any event and answered at any time; what is charged never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.account import Admission, Admitted
from safeguards_extproc.core.decision import Action, Gate, Limits, Model, Route
from safeguards_extproc.core.effects import Admit, Classify, Effect, Keep, SendBody, SendHeaders
from safeguards_extproc.core.events import Aborted, BodyMode, Event
from safeguards_extproc.core.events import Admitted as Answered
from tests.core.test_admission import Header, charged, no, yes
from tests.playbook import REQUEST, Conversation
from tests.world import WordPolicy, plain_request, plain_stream

pytestmark = pytest.mark.long

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCREEN = Model("screen", "screen", 100)


@dataclass(frozen=True)
class Case:
    """A request, what becomes of it, and how long everything takes."""

    body: bytes
    path: str
    size: int
    mode: BodyMode
    gate: Gate
    inspect: bool
    allowed: bool
    delay: int
    abort_at: int
    declared: bool

    @property
    def policy(self) -> WordPolicy:
        place = Route("test", inspect=self.inspect, gate=self.gate, limits=Limits(request_bytes=200))
        return WordPolicy(place=place, models=[SCREEN], charged=charged, on_uninspectable=Action.ALLOW)


class Slow(Conversation):
    """Accounts answer after so many events, and Envoy goes away after so many."""

    def __init__(self, case: Case) -> None:
        super().__init__(case.policy, mode=case.mode, who=Header(), model=lambda text: {"screen.bad": 0.1})
        self.case, self.left, self.delay, self.gone = case, case.abort_at, case.delay, False

    def feed(self, event: Event) -> list[Effect]:
        if self.gone:
            return []
        if self.left == 0:
            self.gone = True
            return super().feed(Aborted("closed"))
        self.left -= 1
        effects = super().feed(event)
        if self.undecided:
            self.delay -= 1
            if self.delay < 0:
                self.decide()
        return effects

    def decide(self) -> None:
        assert self.admission is not None
        self.admitted((yes if self.case.allowed else no)(self.admission))


def play(case: Case) -> Slow:
    """The whole conversation; at its end the accounts answer, then Envoy is gone."""
    talk = Slow(case)
    extra = {"content_length": str(len(case.body))} if case.declared else {}
    talk.request(case.body, case.size, path=case.path, x_key="abc", **extra)
    if talk.undecided and not talk.gone:
        talk.delay = -1
        talk.decide()
    talk.stream(plain_stream("some", "words"), case.size)
    if not talk.records:
        talk.gone = False
        talk.left = 0
        talk.feed(Aborted("closed"))
    return talk


def settled(log: Sequence[Event | Effect]) -> None:
    """As many settlements as admissions: a driver settles at Keep what was asked before it."""
    asked = [entry for entry in log if isinstance(entry, Admit)]
    kept = [at for at, entry in enumerate(log) if isinstance(entry, Keep)]
    assert len(asked) <= 1
    assert len(kept) == 1
    assert all(log.index(each) < kept[0] for each in asked)


def held(log: Sequence[Event | Effect]) -> None:
    """Before the answer no model is asked, and nothing of the request goes on."""
    for entry in log:
        if isinstance(entry, Answered):
            return
        assert not isinstance(entry, Classify)
        assert not (isinstance(entry, SendBody) and entry.direction is REQUEST)
        assert not (isinstance(entry, SendHeaders) and entry.direction is REQUEST)


BODIES = [plain_request("hello there"), plain_request("x" * 300), b"{not json", b"free text", b"", b'{"other": 1}']

cases = st.builds(
    Case,
    body=st.sampled_from(BODIES),
    path=st.sampled_from(["/v1/chat/completions", "/opaque"]),
    size=st.integers(0, 9),
    mode=st.sampled_from([BodyMode.DUPLEX, BodyMode.STREAMED, BodyMode.BUFFERED]),
    gate=st.sampled_from(list(Gate)),
    inspect=st.booleans(),
    allowed=st.booleans(),
    delay=st.integers(0, 12),
    abort_at=st.integers(-1, 40),
    declared=st.booleans(),
)


@quick
@given(cases)
def test_each_admission_is_settled_once(case: Case) -> None:
    """However the exchange ends: allowed, refused, cut off before, during or after."""
    settled(play(case).log)


@quick
@given(cases.filter(lambda case: case.gate is Gate.HOLD and case.mode is BodyMode.DUPLEX))
def test_nothing_goes_before_the_answer(case: Case) -> None:
    """Neither to a model nor to the upstream, where the gate holds."""
    held(play(case).log)


@quick
@given(cases, st.integers(0, 9), st.integers(0, 12))
def test_cutting_changes_no_charge(case: Case, size: int, delay: int) -> None:
    """The same request costs the same, in any chunks, with any delay."""
    whole = replace(case, abort_at=-1)
    cut = replace(whole, size=size, delay=delay)
    assert play(whole).admission == play(cut).admission


CASE = Case(BODIES[0], "/v1/chat/completions", 3, BodyMode.DUPLEX, Gate.HOLD, True, True, 2, -1, False)


def _twice(log: list[Event | Effect]) -> None:
    log.insert(0, Admit(Admission("again", Header().identify({}, play(CASE).opened, {}))))


def _after(log: list[Event | Effect]) -> None:
    asked = next(entry for entry in log if isinstance(entry, Admit))
    log.remove(asked)
    log.append(asked)


def _never(log: list[Event | Effect]) -> None:
    log[:] = [entry for entry in log if not isinstance(entry, Keep)]


def _early(log: list[Event | Effect]) -> None:
    log.insert(0, Classify(1, None, (), (), REQUEST))  # type: ignore[arg-type]


def _leak(log: list[Event | Effect]) -> None:
    log.insert(0, SendBody(REQUEST, b"hello", False))


@pytest.mark.parametrize(
    ("law", "fault"), [(settled, _twice), (settled, _after), (settled, _never), (held, _early), (held, _leak)]
)
@pytest.mark.interpreted
def test_the_laws_bite(
    law: Callable[[Sequence[Event | Effect]], None], fault: Callable[[list[Event | Effect]], None]
) -> None:
    """An exchange with a planted fault breaks its law; without, it keeps it."""
    log = play(CASE).log
    assert any(isinstance(entry, Answered) and isinstance(entry.answer, Admitted) for entry in log)
    law(log)
    fault(log)
    with pytest.raises(AssertionError):
        law(log)
