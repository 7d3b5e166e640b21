"""Laws of the core as properties of any conversation; after each law, a fault that it catches.

A fault breaks the core in one place: Hypothesis must then find a conversation that shows it. Law 6 is wire's and
stands in test_law_6.py over the real formats; law 7 is the policy store's and stands with it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from safeguards_extproc.core import exchange as exchange_module
from safeguards_extproc.core import intake as intake_module
from safeguards_extproc.core import response as response_module
from safeguards_extproc.core import scan as scan_module
from safeguards_extproc.core.decision import (
    ALLOWED,
    Action,
    Facts,
    Gate,
    Model,
    Release,
    Result,
    Route,
    Verdict,
    Windowing,
)
from safeguards_extproc.core.events import Aborted, Body, BodyMode, Event
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.text import Kind
from safeguards_extproc.core.windows import Window
from tests.playbook import REQUEST, RESPONSE, Conversation, chunks, request_headers, response_headers
from tests.world import DONE, WordPolicy, event, plain_request

pytestmark = pytest.mark.long

WINDOWS = Windowing(first=6, largest=24, overlap=12, flush_ms=50)
SCREEN = Model("screen", "screen", 100)
WORDS = {"FORBIDDEN": Action.BLOCK, "SECRET": Action.REDACT, "ODD": Action.ANNOTATE}
POLICY = WordPolicy(WORDS, Route("test", windowing=WINDOWS))
SCREENED = WordPolicy(WORDS, Route("test", windowing=WINDOWS), models=[SCREEN])

texts = st.lists(
    st.sampled_from(["a ", "some words ", "SECRET", "FORBIDDEN", "ODD ", "x" * 30, "\n", "字", "SEC", "RET "]),
    max_size=9,
).map("".join)
answers = st.lists(
    st.sampled_from(["some words ", "SECRET", "FORBIDDEN", "ODD ", "x" * 30, "SEC", "RET "]), min_size=2, max_size=9
).map("".join)
LONG = "".join(f"#{part}" for part in "abcdefghijklm")
distinct = st.lists(st.sampled_from(["words", "SECRET", "FORBIDDEN", "ODD", LONG]), min_size=2, max_size=9).map(
    lambda words: "".join(f"{word.replace('#', str(number))}{number} " for number, word in enumerate(words))
)
asks = st.sampled_from(["hello", "hello", "a SECRET", "FORBIDDEN", "an ODD thing"])
sizes = st.sampled_from([0, 1, 2, 7, 50])
quick = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
)


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)] if size else [text]


def streamed(text: str, size: int) -> bytes:
    return b"".join(event(text=piece) for piece in pieces(text, size)) + DONE


def said(stream: bytes) -> str:
    """The text that a client reads in a plain stream."""
    lines = [line.removeprefix("data: ") for line in stream.decode().split("\n\n") if line.startswith("data: {")]
    return "".join(json.loads(line).get("text", "") for line in lines)


def often(law: Callable[[], None]) -> None:
    """For a planted fault: examples are drawn at random, and some miss it."""
    for _ in range(10):
        law()


def must_bite(law: Callable[[], None], fault: contextlib.AbstractContextManager[object]) -> None:
    with fault, pytest.raises(AssertionError):
        often(law)


# 1. Chunking never matters.


def law_1_chunking() -> None:
    @quick
    @given(asks, answers, sizes, sizes, st.sampled_from([0, 3, 11]), st.sampled_from([POLICY, SCREENED]))
    def law(ask: str, answer: str, size: int, other: int, events: int, policy: WordPolicy) -> None:
        talks = [
            Conversation(policy, model=lambda text: {"screen.bad": float("xxx" in text and "SEC" in text)})
            .request(plain_request(ask), cut)
            .stream(streamed(answer, events), cut)
            for cut in (size, other)
        ]
        first, second = talks
        assert first.upstream_saw() == second.upstream_saw()
        assert first.client_saw() == second.client_saw()
        assert decision(first.record) == decision(second.record)

    law()


def decision(record: Record) -> object:
    """What a record says was decided, without times and counts of messages."""
    phases = [(p.decided, p.applied, p.scores, p.redactions, p.fired) for p in (record.request, record.response)]
    return (phases, record.outcome, record.rule, record.status)


def test_law_1_chunking_never_matters() -> None:
    """Bytes cut anywhere give the same decision and the same bytes."""
    law_1_chunking()


@pytest.mark.interpreted
def test_law_1_catches_windows_cut_by_chunks() -> None:
    """Planted fault: what came in one chunk is scanned as one."""
    stream = intake_module.Intake.stream

    def flushing(intake: intake_module.Intake, data: bytes) -> None:
        stream(intake, data)
        intake._scan.flush()

    must_bite(law_1_chunking, patch.object(intake_module.Intake, "stream", flushing))


# 2. Nothing unscanned leaves.


def law_2_watermark() -> None:
    @quick
    @given(distinct, sizes, st.sampled_from([2, 5, 0]), st.randoms(use_true_random=False))
    def law(answer: str, size: int, events: int, random: object) -> None:
        talk = Conversation(SCREENED, model=lambda text: {"screen.bad": 0.0})
        talk.request(plain_request("hello"))
        talk.model = None
        scanned: list[tuple[int, int]] = []
        begins = {0: 0}
        body = streamed(answer, events)
        steps = iter(chunks(body, size))
        talk.feed(response_headers("text/event-stream"))
        position = 0
        while not (talk.seen[RESPONSE].ended or talk.refused):
            choice = random.choice(["bytes", "score", "score last", "fail", "timer"])  # type: ignore[attr-defined]
            if choice == "bytes" and position < len(body):
                piece = next(steps)
                position += len(piece)
                talk.feed(Body(RESPONSE, piece, position == len(body)))
            elif choice == "timer" and "flush" in talk.timers:
                talk.fire("flush")
            elif talk.out:
                asked = talk.out[-1 if choice == "score last" else 0]
                failure = "timeout" if choice == "fail" and random.random() < 0.1 else ""  # type: ignore[attr-defined]
                for window in talk.out:
                    # Half a word may stand in two places; no window begins before the one that was asked about last.
                    if window.ticket not in begins:
                        begins[window.ticket] = answer.index(window.texts[0], begins[max(begins)])
                if not failure:
                    start = begins[asked.ticket]
                    scanned.append((start, start + len(asked.texts[0])))
                talk.answer(asked.ticket, [Result("screen", {} if failure else {"screen.bad": 0.0}, failure)])
            elif position == len(body):
                break
            if not talk.refused:
                left = said(bytes(talk.seen[RESPONSE].body)).replace("[REDACTED:SECRET]", "SECRET")
                assert "FORBIDDEN" not in left
                watermark = 0
                for start, end in sorted(scanned):
                    watermark = max(watermark, end) if start <= watermark else watermark
                assert len(left) <= watermark

    law()


def test_law_2_nothing_unscanned_leaves() -> None:
    """In any order of bytes, scores, failures and timers, what left had been scanned."""
    law_2_watermark()


@pytest.mark.interpreted
def test_law_2_catches_clearing_at_once() -> None:
    """Planted fault: a window is cleared when it is cut."""
    submit = scan_module.Scan._submit

    def eager(scan: scan_module.Scan, windows: list[Window]) -> None:
        submit(scan, windows)
        for window in windows:
            scan._windows.clear(window)

    must_bite(law_2_watermark, patch.object(scan_module.Scan, "_submit", eager))


def law_2_account() -> None:
    @quick
    @given(texts.filter(str.strip), st.booleans(), st.booleans())
    def law(ask: str, fails: bool, local: bool) -> None:
        policy = WordPolicy({}, models=[SCREEN], on_failure=Action.ALLOW, local=("words",) if local else ())
        talk = Conversation(policy).request(plain_request(ask))
        result = Result("screen", {} if fails else {"screen.bad": 0.0}, "timeout" if fails else "")
        while talk.out:
            talk.answer(talk.out[0].ticket, [result])
        talk.abort()
        account = talk.record.request.account
        assert account.coverage == ("none" if fails else "full")
        assert account.checks["screen"].failed == (account.windows if fails else 0)
        assert account.channels["user"].chars == len(ask)

    law()


def test_law_2_the_record_cannot_say_passed_where_nothing_ran() -> None:
    """Coverage counts only what every due check has answered for."""
    law_2_account()


@pytest.mark.interpreted
def test_law_2_catches_counting_failures_as_scans() -> None:
    """Planted fault: a failed check counts as run."""
    absorb = scan_module.Scan._absorb

    def forgiving(scan: scan_module.Scan, pending: scan_module._Pending) -> None:
        pending.results = [Result(result.detector, result.scores) for result in pending.results or ()]
        absorb(scan, pending)

    must_bite(law_2_account, patch.object(scan_module.Scan, "_absorb", forgiving))


# 3. Streamed or not, same text, same verdict.


def law_3_parity() -> None:
    @quick
    @given(answers, sizes, st.sampled_from([1, 5, 0]))
    def law(answer: str, size: int, events: int) -> None:
        def model(text: str) -> dict[str, float]:
            return {"screen.bad": float("xxxx" in text and "ODD" in text)}

        stream = (
            Conversation(SCREENED, model=model).request(plain_request("hello")).stream(streamed(answer, events), size)
        )
        whole = Conversation(SCREENED, model=model).request(plain_request("hello"))
        whole.response(json.dumps({"text": answer}).encode(), size)
        first, second = stream.record.response, whole.record.response
        assert (first.decided, first.action, first.scores) == (second.decided, second.action, second.scores)

    law()


def test_law_3_streamed_or_not() -> None:
    """The same answer has the same scores and the same verdict either way."""
    law_3_parity()


@pytest.mark.interpreted
def test_law_3_catches_a_stream_that_is_not_classified() -> None:
    """Planted fault: the streaming path asks no model."""
    read = intake_module.Intake._frame

    def cheap(intake: intake_module.Intake, raw: bytes) -> None:
        intake._scan._models = []
        read(intake, raw)

    must_bite(law_3_parity, patch.object(intake_module.Intake, "_frame", cheap))


# 4. One terminal outcome.


def law_4_one_record() -> None:
    @quick
    @given(
        texts,
        texts,
        st.sampled_from([BodyMode.DUPLEX, BodyMode.BUFFERED, BodyMode.STREAMED]),
        st.sampled_from(list(Gate)),
        st.sampled_from(list(Release)),
        st.integers(0, 12),
    )
    def law(ask: str, answer: str, mode: BodyMode, gate: Gate, release: Release, end: int) -> None:
        route = Route("test", gate=gate, release=release, windowing=WINDOWS)
        talk = Conversation(WordPolicy(WORDS, route), mode=mode)
        script: list[Event] = [
            request_headers(),
            *(Body(REQUEST, piece, False) for piece in chunks(plain_request(ask), 9)[:2]),
        ]
        script = [*script, Body(REQUEST, b"".join(chunks(plain_request(ask), 9)[2:]), True)]
        script += [response_headers("text/event-stream"), Body(RESPONSE, streamed(answer, 3), True)]
        if mode is BodyMode.BUFFERED:
            script[1:-2] = [Body(REQUEST, plain_request(ask), True)]
        for step in script[:end]:
            if not talk.refused:
                talk.feed(step)
        talk.feed(Aborted("closed"))
        assert len(talk.records) == 1
        assert not talk.exchange.waiting

    law()


def test_law_4_one_record_however_it_ends() -> None:
    """In every mode, gate and release, and cut off anywhere, one record remains."""
    law_4_one_record()


@pytest.mark.interpreted
def test_law_4_catches_a_forgotten_record() -> None:
    """Planted fault: an exchange that is cut off leaves nothing."""
    must_bite(law_4_one_record, patch.object(exchange_module.Exchange, "_abort", lambda self, cause: None))


@pytest.mark.interpreted
def test_law_4_catches_a_second_record() -> None:
    """Planted fault: nothing remembers that the record was kept."""
    keep = exchange_module.Exchange._keep

    def again(self: exchange_module.Exchange, termination: str) -> None:
        keep(self, termination)
        self._kept = False

    must_bite(law_4_one_record, patch.object(exchange_module.Exchange, "_keep", again))


# 5. Failure is a value.


def law_5_failures() -> None:
    @quick
    @given(
        texts.filter(bool), st.sampled_from(["timeout", "unavailable", "bad-response"]), st.sampled_from(list(Action))
    )
    def law(ask: str, failure: str, meaning: Action) -> None:
        policy = WordPolicy({}, models=[SCREEN], on_failure=meaning)
        talk = Conversation(policy).request(plain_request(ask))
        for asked in list(talk.out):
            talk.answer(asked.ticket, [Result("screen", failure=failure)])
        talk.abort()
        assert talk.record.request.failed == {"screen": failure}
        assert talk.record.request.decided == meaning.value

    law()


def test_law_5_failure_is_a_value() -> None:
    """Whatever fails, the record says so, and policy alone says what it means."""
    law_5_failures()


@pytest.mark.interpreted
def test_law_5_catches_a_swallowed_failure() -> None:
    """Planted fault: a failure counts as a score of nothing."""

    def deaf(scan: scan_module.Scan, pending: scan_module._Pending) -> None:
        scan.facts.absorb(Kind.USER, {"screen.bad": 0.0})

    must_bite(law_5_failures, patch.object(scan_module.Scan, "_absorb", deaf))


# 8. Decide fully, soften last.


def law_8_shadow() -> None:
    @quick
    @given(texts, texts)
    def law(ask: str, answer: str) -> None:
        shadow = WordPolicy(WORDS, Route("test", windowing=WINDOWS), shadow=True)
        soft = Conversation(shadow).request(plain_request(ask)).stream(streamed(answer, 3))
        hard = Conversation(POLICY).request(plain_request(ask))
        assert soft.upstream_saw() == plain_request(ask)
        assert soft.client_saw() == streamed(answer, 3)
        hard.abort()
        assert soft.record.request.scores == hard.record.request.scores
        assert soft.record.request.decided == hard.record.request.decided

    law()


def test_law_8_decide_fully_soften_last() -> None:
    """Shadow changes no byte and no decision, only what is done."""
    law_8_shadow()


@pytest.mark.interpreted
def test_law_8_catches_shadow_that_skips_the_work() -> None:
    """Planted fault: a policy in shadow is not asked."""
    decide = WordPolicy.decide

    def lazy(policy: WordPolicy, facts: Facts) -> Verdict:
        return ALLOWED if policy.shadow else decide(policy, facts)

    must_bite(law_8_shadow, patch.object(WordPolicy, "decide", lazy))


# 9. No text in what is told.


def law_9_no_text() -> None:
    @quick
    @given(st.sampled_from(["FORBIDDEN", "SECRET", "", "ODD"]), st.sampled_from(["FORBIDDEN", "SECRET", ""]))
    def law(ask: str, answer: str) -> None:
        canary = "canary7f3a"
        talk = Conversation(POLICY, model=lambda text: {}).request(plain_request(f"{canary} {ask}"))
        talk.stream(streamed(f"{canary} {answer} {canary}", 4), 9).abort()
        assert canary not in repr(talk.record)
        assert canary not in repr([one for one in talk.log if not isinstance(one, Record)])

    law()


def test_law_9_no_text_in_what_is_told() -> None:
    """A canary in prompt and answer shows in no record, effect or event."""
    law_9_no_text()


@pytest.mark.interpreted
def test_law_9_catches_text_in_a_record() -> None:
    """Planted fault: a feature that quotes the prompt."""
    push = scan_module.Scan.push

    def quoting(scan: scan_module.Scan, segment: object) -> int:
        scan.facts.features["quote"] = segment.text  # type: ignore[attr-defined]
        return push(scan, segment)  # type: ignore[arg-type]

    must_bite(law_9_no_text, patch.object(scan_module.Scan, "push", quoting))


# 10. Unchanged bytes stay unchanged.


def law_10_bytes() -> None:
    @quick
    @given(texts, texts, sizes, st.sampled_from([BodyMode.DUPLEX, BodyMode.BUFFERED, BodyMode.STREAMED]))
    def law(ask: str, answer: str, size: int, mode: BodyMode) -> None:
        policy = WordPolicy({"ODD": Action.ANNOTATE}, Route("test", windowing=WINDOWS))
        loose = b'{"stream":\t true , "text" : ' + json.dumps(ask, ensure_ascii=False).encode() + b" }\n"
        talk = Conversation(policy, mode=mode).request(loose, size)
        talk.stream(b": hi\n\n" + streamed(answer, 3), size)
        assert talk.upstream_saw() == loose
        assert talk.client_saw() == b": hi\n\n" + streamed(answer, 3)

    law()


def test_law_10_unchanged_bytes() -> None:
    """Where nothing is redacted, both sides have the exact bytes."""
    law_10_bytes()


@pytest.mark.interpreted
def test_law_10_catches_reserialised_frames() -> None:
    """Planted fault: frames are written anew instead of passed on."""

    def tidy(lane: response_module.ResponseLane, frame: intake_module.Frame) -> bytes:
        return frame.raw.strip() + b"\n\n\n"

    must_bite(law_10_bytes, patch.object(response_module.ResponseLane, "_edited", tidy))
