"""Bodies of megabytes, read and edited beside the filter: as small ones are, whatever becomes of what reads them."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psutil
import pytest

from safeguards_extproc.core.redact import placeholder
from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from tests.envoy import rules, scenes
from tests.envoy.background import until
from tests.envoy.recorder import Reply
from tests.envoy.rig import BLIND, UPSTREAM, Filter, Rig, post
from tests.faults.conftest import Blind

pytestmark = pytest.mark.real

PATH = "/v1/chat/completions"
MAIL = "tom.keller@example.com"
PROSE = "The river runs past the old mill and into the valley. " * 10_000
_number = itertools.count()


@pytest.fixture(scope="module")
def one(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filter]:
    """A filter that forbids a word and masks addresses, in both directions."""
    document = rules.words(scenes.BAD)
    document["rules"][0]["on"] = "any"
    document["detectors"]["pii"] = {"kind": "pii", "entities": ["email"]}
    document["rules"].append(
        {"name": "mail", "when": "scores.pii.email > 0.5", "then": "redact", "entities": ["email"]}
    )
    with ExitStack() as ends:
        yield Blind(rig, tmp_path_factory.mktemp("large"), ends).start(document)


class Talk:
    """An exchange of large bodies, with the recorder as the model."""

    def __init__(self, rig: Rig, text: str, answer: str = "Hello.") -> None:
        self._rig, self._name = rig, f"large-{next(_number)}"
        self.sent = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        message = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
        self.reply = json.dumps({"choices": [message]}).encode()
        rig.recorder.replies[self._name] = Reply(self.reply)

    def play(self) -> tuple[int, dict[str, str], bytes]:
        headers = {"content-type": "application/json", EXCHANGE_HEADER: self._name, **dict([UPSTREAM])}
        return post(self._rig.urls[BLIND], PATH, self.sent, headers)

    @property
    def received(self) -> bytes:
        """What the model got; nothing if it never heard of it."""
        got = self._rig.recorder.received.get(self._name)
        return got.body if got is not None else b""


def readers(one: Filter) -> list[int]:
    """Process ids of what reads for a filter."""
    return [child.pid for child in psutil.Process(one.part.process.pid).children(recursive=True)]


def test_large_bodies_go_through_byte_for_byte(rig: Rig, one: Filter) -> None:
    """Both ways, by one process that is started for the first of them."""
    talk = Talk(rig, PROSE, PROSE)
    status, headers, body = talk.play()
    assert (200, talk.sent, talk.reply) == (status, talk.received, body)
    record = one.record(headers["x-safeguards-id"])
    assert ("full", "full") == (record.request.account.coverage, record.response.account.coverage)
    assert 1 == len(readers(one))


def test_a_word_at_the_end_of_a_large_body_is_found(rig: Rig, one: Filter) -> None:
    """A request that has it never reaches the model, an answer that has it never the client."""
    asking, answering = Talk(rig, f"{PROSE} {scenes.BAD}"), Talk(rig, "Hello?", f"{PROSE} {scenes.BAD}")
    assert (400, b"") == (asking.play()[0], asking.received)
    status, _, body = answering.play()
    assert 400 == status
    assert scenes.BAD.encode() not in body


def test_addresses_in_a_large_body_are_masked(rig: Rig, one: Filter) -> None:
    """Everything else stays as it was, to the byte."""
    talk = Talk(rig, f"{PROSE}{MAIL} {PROSE}", f"{MAIL} {PROSE}")
    status, _, body = talk.play()
    assert 200 == status
    mark = placeholder("email").encode()
    assert talk.sent.replace(MAIL.encode(), mark) == talk.received
    assert talk.reply.replace(MAIL.encode(), mark) == body


def test_a_reader_that_is_killed_costs_no_exchange(rig: Rig, one: Filter) -> None:
    """Killed at rest and in the midst of its work, it is started anew, and nothing passes unread."""
    Talk(rig, PROSE).play()
    stop = threading.Event()

    def kill() -> None:
        while not stop.wait(0.4):
            for pid in readers(one):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        seen: list[Any] = [(talk := Talk(rig, f"{PROSE} {scenes.BAD}"), talk.play()[0]) for _ in range(6)]
    finally:
        stop.set()
        killer.join()
    assert {b""} == {talk.received for talk, _ in seen}
    assert {400, 503} >= {status for _, status in seen}
    harmless = Talk(rig, PROSE)
    assert (200, harmless.sent) == (harmless.play()[0], harmless.received)


def test_no_reader_outlives_its_filter(rig: Rig, one: Filter) -> None:
    """A filter that is killed leaves nothing behind. Last in this file: the filter is no more."""
    Talk(rig, PROSE).play()
    [reader] = readers(one)
    one.part.process.kill()
    until(lambda: not psutil.pid_exists(reader) or psutil.Process(reader).status() == "zombie", "the reader is gone")
