"""Client or upstream gone, early and late: one record that says so, nothing unscanned out, no stream left behind."""

from __future__ import annotations

import itertools
import json
import secrets
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from safeguards_extproc.core.record import Record
from safeguards_extproc.replay.answers import DIALECTS as ANSWERS
from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from safeguards_extproc.replay.traffic import Answer
from tests.envoy import scenes
from tests.envoy.background import PATIENCE_S, until
from tests.envoy.recorder import Reply
from tests.envoy.rig import UPSTREAM, Filter, Rig, post
from tests.envoy.scenes import DIALECTS
from tests.envoy.sdk import BROKEN, client
from tests.faults.conftest import unfinished

pytestmark = [pytest.mark.real, pytest.mark.parametrize("dialect", DIALECTS)]

_number = itertools.count()


@contextmanager
def left_clean(one: Filter) -> Iterator[None]:
    """What happens within leaves no stream and no byte behind in the filter, and no fault."""
    until(lambda: not one.metric("safeguards_streams_active"), "earlier streams are over")
    faults = one.metric("safeguards_faults_total")
    yield
    until(lambda: not one.metric("safeguards_streams_active"), "no stream is left")
    assert (0, faults) == (one.metric("safeguards_held_bytes"), one.metric("safeguards_faults_total"))


def traced(one: Filter, trace: str) -> Record:
    """The one record of an exchange that never told its client its id."""
    [record] = until(lambda: [each for each in one.all_records() if each.trace_id == trace], "a record of the trace")
    return record


@contextmanager
def asking(rig: Rig, listener: str, dialect: str, part: float) -> Iterator[tuple[socket.socket, str]]:
    """A client that has sent that part of a question's body; its connection, and its trace."""
    asked, trace = client(dialect, rig.urls[listener]), secrets.token_hex(16)
    body = json.dumps(asked.body(scenes.QUESTION, stream=True)).encode()
    host, _, port = rig.urls[listener].removeprefix("http://").rpartition(":")
    head = f"POST {asked.path} HTTP/1.1\r\nhost: models.test\r\ncontent-type: application/json\r\n"
    head += f"traceparent: 00-{trace}-{trace[:16]}-01\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode() + body[: int(len(body) * part)])
        yield connection, trace


def test_a_client_leaves_before_its_question_is_out(rig: Rig, dialect: str) -> None:
    """Half a body is no question: the model never hears of it."""
    before = rig.envoy.stats("cluster.model_server.upstream_rq_total")
    with left_clean(rig.main):
        with asking(rig, "ingress", dialect, 0.5) as (_, trace):
            until(lambda: rig.main.metric("safeguards_held_bytes"), "the filter has the first half")
        record = traced(rig.main, trace)
    assert ("closed", "pass") == (record.termination, record.outcome)
    assert 0 < record.request.account.bytes_in
    assert (0, "empty", "pass") == (
        record.request.account.bytes_released,
        record.request.account.coverage,
        record.response.applied,
    )
    assert before == rig.envoy.stats("cluster.model_server.upstream_rq_total")


def test_a_client_leaves_while_its_question_is_looked_at(rig: Rig, dialect: str) -> None:
    """The verdict comes too late for anybody; the record says what is known, and that the client had gone."""
    before = rig.envoy.stats("cluster.model_server.upstream_rq_total")
    asked = rig.gates.metric("safeguards_model_batch_texts_count")
    with left_clean(rig.gates):
        rig.relay.hold()
        try:
            with asking(rig, "gates", dialect, 1) as (_, trace):
                until(lambda: rig.gates.metric("safeguards_model_batch_texts_count") > asked, "the model is asked")
            record = traced(rig.gates, trace)
        finally:
            rig.relay.flow()
    assert ("closed", 0) == (record.termination, record.request.account.bytes_released)
    assert before == rig.envoy.stats("cluster.model_server.upstream_rq_total")


def test_a_client_leaves_in_mid_stream(rig: Rig, dialect: str) -> None:
    """The model is told to stop, and the record counts what the client had by then."""
    ours, scene = client(dialect, rig.urls["ingress"]), scenes.SLOW
    name = scene.id(dialect, 7, "again")
    with left_clean(rig.main):
        pieces = ours.pieces(name, scene.asks)
        next(pieces)
        ours.close()
        until(lambda: rig.served(name)["cancelled"], "the model server hears that nobody listens")
        record = rig.main.record(ours.wire.id)
    account = record.response.account
    assert ("closed", "allow") == (record.termination, record.response.applied)
    assert 0 < account.bytes_released <= account.bytes_in <= rig.served(name)["bytes_sent"]
    assert 0 < account.channels["content"].scanned <= account.channels["content"].chars < len(scene.text)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_upstream_leaves_before_its_headers(rig: Rig, dialect: str, stream: bool) -> None:
    """Envoy's own error reaches the client, as Envoy says it, and is told on as any page of a gateway; the exchange is
    complete."""
    with left_clean(rig.main):
        asking = left(rig, dialect, Reply(headers=(), hangs=True), lambda: True, stream=stream)
        status, answered, _ = asking.result(PATIENCE_S)
        record = rig.main.record(answered["x-safeguards-id"])
    assert 503 == status
    assert ("complete", "annotate", 503) == (record.termination, record.outcome, record.status)
    assert "full" == record.request.account.coverage


def test_an_upstream_leaves_in_mid_stream(rig: Rig, dialect: str) -> None:
    """The client sees a broken transfer, and no more than what had been looked at."""
    name, ours = f"gone-{next(_number)}", client(dialect, rig.urls["ingress"], **{UPSTREAM[0]: UPSTREAM[1]})
    text = f"{scenes.SLOW.text[:1500]} It is called {scenes.BAD[:6]}"
    rig.recorder.replies[name] = reply = unfinished(dialect, text)
    with left_clean(rig.main):
        pieces = ours.pieces(name, scenes.QUESTION)
        said = next(pieces)
        rig.recorder.reset(name)
        with pytest.raises(BROKEN):
            said += "".join(pieces)
        record = rig.main.record(ours.wire.id)
    assert not ours.ended()
    assert text.startswith(said)
    account = record.response.account
    assert ("closed", False) == (record.termination, account.released_unscanned)
    assert account.bytes_released == account.bytes_written <= account.bytes_in <= len(reply.body)
    assert len(said) <= account.channels["content"].scanned <= account.channels["content"].chars <= len(text)


def test_an_upstream_leaves_in_a_whole_answer(rig: Rig, dialect: str) -> None:
    """Half an answer that is held whole is no answer: none of it comes out."""
    begun = json.dumps(ANSWERS[dialect].whole(Answer(text=scenes.SLOW.text), "demo")).encode()[:1000]
    known = {record.id for record in rig.main.all_records()}

    def held() -> bool:
        return rig.main.metric("safeguards_held_bytes") == len(begun)

    with left_clean(rig.main):
        asking = left(rig, dialect, Reply(begun, hangs=True), held, stream=False)
        status, _, seen = asking.result(PATIENCE_S)
        [record] = until(lambda: [one for one in rig.main.all_records() if one.id not in known], "a record")
    assert (503, False) == (status, begun[:20] in seen)
    account = record.response.account
    assert ("closed", len(begun), 0) == (record.termination, account.bytes_in, account.bytes_released)


def left(
    rig: Rig, dialect: str, reply: Reply, when: Callable[[], bool], *, stream: bool
) -> Future[tuple[int, dict[str, str], bytes]]:
    """A question to an upstream that begins this reply and breaks it off; what the client has of it."""
    name, asked = f"gone-{next(_number)}", client(dialect, rig.urls["ingress"])
    rig.recorder.replies[name] = reply
    headers = {"content-type": "application/json", EXCHANGE_HEADER: name, UPSTREAM[0]: UPSTREAM[1]}
    body = json.dumps(asked.body(scenes.QUESTION, stream=stream)).encode()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(post, rig.urls["ingress"], asked.path, body, headers)
        until(lambda: name in rig.recorder.hanging and when(), "the upstream has begun")
        rig.recorder.reset(name)
    return asking
