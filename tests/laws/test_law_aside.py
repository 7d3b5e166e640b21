"""Where a large body is read changes nothing: verdict, record and bytes are the same, and no event reads one itself.

Each exchange is played twice: with a threshold that keeps all work with the exchange, and one that keeps none.
"""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core import aside
from safeguards_extproc.core import pour as pour_module
from safeguards_extproc.core.aside import Outcome, Parse, Parsed
from safeguards_extproc.core.decision import Action, Gate, Limits, Model, Release, Route, Windowing
from safeguards_extproc.core.effects import (
    AnswerBody,
    Cancel,
    Classify,
    Effect,
    Keep,
    Offload,
    Refuse,
    SendBody,
    SendHeaders,
    SendTrailers,
    Wake,
)
from safeguards_extproc.core.events import BodyMode
from safeguards_extproc.core.exchange import TURN
from safeguards_extproc.core.text import Format
from tests.core.test_listing import BAD, MAIL, answer, policy, search
from tests.playbook import REQUEST, RESPONSE, Conversation
from tests.world import PLAIN_WIRE, Plain, WordPolicy, plain_request

pytestmark = pytest.mark.long

quick = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)
hunting = settings(quick, max_examples=300, phases=[Phase.generate])

WORDS = {
    "FORBIDDEN": Action.BLOCK,
    "SECRET": Action.REDACT,
    "KIND": Action.STEER,
    "ODD": Action.ANNOTATE,
}
SCREEN = Model("screen", "screen", 100)
EVERYTHING, NOTHING = 1 << 62, -1
"""Thresholds that leave everything, and nothing, to the exchange."""


@contextlib.contextmanager
def threshold(size: int) -> Iterator[None]:
    with patch.object(aside, "HEAVY", size), patch.object(aside, "CALM", max(size, 1 << 15)):
        yield


@dataclass(frozen=True)
class Case:
    """An exchange and the policy that judges it. A `path` that nobody claims has its body recognised."""

    ask: bytes
    answer: bytes
    encoding: str
    path: str
    status: int
    size: int
    policy: WordPolicy
    mode: BodyMode

    def play(self, size: int, outcome: Callable[[Offload], Outcome | None] = lambda _: None) -> Conversation:
        with threshold(size):
            talk = Told(self.policy, mode=self.mode, wire=wire, model=scores, outcome=outcome)
            headers = {"content-encoding": self.encoding} if self.encoding else {}
            talk.request(self.ask, self.size, path=self.path, **headers)
            return talk.response(self.answer, self.size, status=self.status, **headers)


class Told(Conversation):
    """What is done elsewhere has the outcome that a test says, or what it is."""

    def __init__(self, *args: object, outcome: Callable[[Offload], Outcome | None], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._outcome = outcome

    def offloaded(self, outcome: Outcome | None = None) -> list[Effect]:
        return super().offloaded(outcome or self._outcome(self.away[0]))


def scores(text: str) -> dict[str, float]:
    return {"screen.bad": 0.9 if "WICKED" in text else 0.1}


words = st.lists(
    st.sampled_from([*WORDS, "WICKED", "plain words", "é字", "x" * 50, '\\n"quoted"']), min_size=1, max_size=6
).map(" ".join)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    asked, said = draw(st.lists(words, min_size=1, max_size=3)), draw(words)
    messages: list[object] = [{"role": "user", "content": text} for text in asked]
    if draw(st.booleans()):
        messages.append({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]})
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"q": said})}}
    answers = [
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "message": {"role": "assistant", "tool_calls": [call]}}]},
        {"error": {"message": said, "type": "server_error"}},
    ]
    ask = json.dumps({"model": "m", "messages": messages}).encode()
    said_back = json.dumps(draw(st.sampled_from(answers))).encode()
    if draw(st.integers(0, 4)) == 0:
        ask = draw(st.sampled_from([ask[:-2], b"", b'{"a": 1}', b"[1]"]))
    if draw(st.integers(0, 4)) == 0:
        said_back = draw(st.sampled_from([said_back[:-2], b"", b"<html>"]))
    encoding = draw(st.sampled_from(["", "", "gzip", "identity", "unknown"]))
    if encoding == "gzip":
        ask, said_back = gzip.compress(ask), gzip.compress(said_back)
    place = Route(
        "test",
        gate=draw(st.sampled_from(Gate)),
        release=draw(st.sampled_from(Release)),
        windowing=Windowing(first=16, largest=32, overlap=8),
        limits=replace(Limits(), windows=draw(st.sampled_from([3, 4096]))),
    )
    judged_by = WordPolicy(
        WORDS,
        place,
        models=draw(st.sampled_from([(), (SCREEN,)])),
        on_uninspectable=draw(st.sampled_from([Action.ALLOW, Action.ANNOTATE, Action.BLOCK])),
    )
    return Case(
        ask,
        said_back,
        encoding,
        draw(st.sampled_from(["/v1/chat/completions", "/somewhere/else"])),
        draw(st.sampled_from([200, 200, 502])),
        draw(st.sampled_from([0, 100])),
        judged_by,
        draw(st.sampled_from([BodyMode.DUPLEX, BodyMode.STREAMED, BodyMode.BUFFERED])),
    )


def told(talk: Conversation) -> dict[str, list[object]]:
    """What was done, without where and when: answers to Envoy, questions, timers, and what was kept, each in order.

    What is only observed goes on before it is read, wherever that is done: the record then follows the answer.
    """
    effects: dict[str, list[object]] = {"answers": [], "questions": [], "timers": [], "records": []}
    for one in talk.log:
        match one:
            case Keep():
                effects["records"].append(timeless(asdict(one.record)))
            case Classify() | Cancel():
                effects["questions"].append(one)
            case Wake(timer=timer) if timer != TURN:
                effects["timers"].append(one)
            case SendHeaders() | SendBody() | AnswerBody() | SendTrailers() | Refuse():
                effects["answers"].append(one)
    return effects


def timeless(record: object) -> object:
    """Without times; and what is observed may go before it is read or after."""
    if isinstance(record, dict):
        return {
            name: value >= 0 if name.endswith("_ms") and isinstance(value, float) else timeless(value)
            for name, value in record.items()
            if name != "released_unscanned"
        }
    return record


def law_same(
    tries: settings = quick, outcome: Callable[[Offload], Outcome | None] = lambda _: None, turn: int = 300
) -> None:
    @tries
    @given(cases())
    def law(case: Case) -> None:
        with patch.object(pour_module, "TURN", turn):
            here, elsewhere = case.play(EVERYTHING), case.play(NOTHING, outcome)
        assert told(here) == told(elsewhere)
        assert (here.upstream_saw(), here.client_saw()) == (elsewhere.upstream_saw(), elsewhere.client_saw())
        assert not [one for one in here.log if isinstance(one, Offload)]

    law()


def test_where_a_body_is_read_changes_nothing() -> None:
    """Whatever the format, the encoding, the mode, the gate and the verdict: the same effects."""
    law_same()


@pytest.mark.interpreted
def test_the_law_catches_a_text_that_is_lost_on_the_way() -> None:
    """Planted fault: the other process loses the last segment."""

    def losing(asked: Offload) -> Outcome | None:
        done = asked.task.run(wire)
        if isinstance(done, Parsed) and done.document.segments:
            done.document.segments.pop()
        return done

    with pytest.raises(AssertionError):
        law_same(hunting, losing)


@pytest.mark.interpreted
def test_the_law_catches_what_could_not_be_read_and_was_not_told() -> None:
    """Planted fault: an image in a prompt is forgotten."""

    def forgetting(asked: Offload) -> Outcome | None:
        done = asked.task.run(wire)
        if isinstance(done, Parsed):
            done.document.unread = frozenset()
        return done

    with pytest.raises(AssertionError):
        law_same(hunting, forgetting)


def test_items_leave_a_large_answer_as_they_leave_a_small_one() -> None:
    """An API that a policy declares is read and edited elsewhere too: its items are judged, and the bad ones go."""
    body = answer("oak table", f"a {BAD} keg", f"ask {MAIL}", f"{MAIL} {BAD}")
    with threshold(EVERYTHING):
        here = search(policy(), body)
    with threshold(NOTHING):
        elsewhere = search(policy(), body)
    assert told(here) == told(elsewhere)
    assert [one.task.direction for one in elsewhere.log if isinstance(one, Offload)] == [REQUEST, RESPONSE, RESPONSE]
    assert elsewhere.record.response.items.dropped == 2


@dataclass(frozen=True)
class Watched(Plain):
    """Counts the bytes that are read by it."""

    read: list[int] | None = None

    def shape(self, body: bytes) -> dict[str, object]:
        self._count(body)
        return super().shape(body)

    def read_request(self, body: bytes) -> object:  # type: ignore[override]
        self._count(body)
        return super().read_request(body)

    def read_response(self, body: bytes, status: int) -> object:  # type: ignore[override]
        self._count(body)
        return super().read_response(body, status)

    def edit(self, body: bytes, edits: object) -> bytes:
        self._count(body)
        return super().edit(body, edits)  # type: ignore[arg-type]

    def _count(self, body: bytes) -> None:
        if self.read is not None:
            self.read.append(len(body))


@dataclass(frozen=True)
class WatchedWire:
    """Every format is `Watched`."""

    format: Watched

    def resolve(self, name: str, fields: dict[str, str]) -> tuple[Format, str]:
        return (Plain("opaque") if fields.get(":path", "").startswith("/opaque") else self.format), ""

    def promises(self, beginning: bytes) -> bool:
        return True

    def recognise(self, body: bytes) -> Format | None:
        return self.format if self.format.shape(body) else None  # type: ignore[return-value]

    def decoder(self, encoding: str, limit: int) -> object:
        return PLAIN_WIRE.decoder(encoding, limit)

    def pick(self, body: bytes, paths: Sequence[str], format: str) -> dict[str, str]:
        return PLAIN_WIRE.pick(body, paths, format)


@pytest.mark.parametrize("gate", list(Gate))
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/opaque"])
@pytest.mark.parametrize("mode", [BodyMode.DUPLEX, BodyMode.BUFFERED])
def test_no_event_reads_a_large_body(gate: Gate, path: str, mode: BodyMode) -> None:
    """Neither parses nor edits one, in either direction; what the exchange asks for does."""
    read: list[int] = []
    words_decide = WordPolicy(WORDS, Route("test", gate=gate))
    body = plain_request("SECRET " + "words " * 500)
    with threshold(1000):
        talk = Conversation(words_decide, mode=mode, wire=WatchedWire(Watched(read=read)), aside=False)  # type: ignore[arg-type]
        talk.request(body, 700, path=path)
        asked = 0
        for send in (lambda: None, lambda: talk.response(body, 700)):
            send()
            while talk.away:
                assert read == []
                outcome = talk.away[0].task.run(talk.wire)
                read.clear()
                talk.offloaded(outcome)
                asked += 1
            assert read == []
    assert asked >= 2
    assert b"SECRET words" not in talk.client_saw()


def test_what_is_not_done_is_policys_to_judge() -> None:
    """A large body that nobody read never passes by itself, and the client is told why."""
    body = plain_request("words " * 500)
    with threshold(1000):
        for on, status in ((Action.BLOCK, 400), (Action.ALLOW, None)):
            talk = Conversation(WordPolicy(on_uninspectable=on), aside=False).request(body)
            talk.offloaded(talk.away[0].task.undone())
            assert (talk.refused.status if talk.refused else None) == status
            assert talk.exchange._request.scan.account.uninspectable == "unavailable"


@pytest.mark.parametrize("answers", [False, True])
def test_what_cannot_be_edited_does_not_go_on(answers: bool) -> None:
    """The text that a rule masks is known, and the process that was to mask it is gone: a refusal."""
    body = plain_request("SECRET " + "words " * 500)
    with threshold(1000):
        talk = Conversation(WordPolicy(WORDS), aside=False)
        if answers:
            talk.request(plain_request("hello")).response(body)
        else:
            talk.request(body)
        talk.offloaded()
        talk.offloaded(talk.away[0].task.undone())
    assert talk.refused is not None
    assert b"SECRET words" not in talk.client_saw() + talk.upstream_saw()
    assert talk.record.outcome == "block"


def test_an_exchange_may_end_while_its_body_is_read() -> None:
    """One record, and a late outcome changes nothing."""
    with threshold(1000):
        talk = Conversation(WordPolicy(), aside=False).request(plain_request("FORBIDDEN " * 500))
        assert talk.exchange.waiting
        talk.abort()
        assert talk.offloaded() == []
    assert talk.record.termination == "closed"


def test_a_task_says_what_it_is_of() -> None:
    """A format, a body, its encoding and the limit of what comes out."""
    with threshold(100):
        talk = Conversation(WordPolicy(), aside=False)
        talk.request(plain_request("a" * 200)[::-1], content_encoding="reversed")
    (asked,) = talk.away
    assert isinstance(asked.task, Parse)
    assert (asked.task.encoding, asked.task.limit) == ("reversed", Limits().request_bytes)
