"""The scorer before the real Triton: served, paused, killed, back; and the fake server does as the real one does.

Its model is a Python backend model whose scores are what the text says, as in kserve_fake.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from safeguards_extproc.adapters.breaker import BreakerSettings
from safeguards_extproc.adapters.triton import TritonScorer, TritonSettings
from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.local import processes
from safeguards_extproc.local.triton import Triton, available, start
from tests.adapters.kserve_fake import KServeFake, until
from tests.contract.scorer_contract import CHECKS, Check

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(available()), reason=available() or "Triton is here"),
]

PATIENT = Model("screen", "screen", budget_ms=10_000)
HURRIED = Model("screen", "screen", budget_ms=150)

CONFIG = """
backend: "python"
max_batch_size: 8
input [ { name: "TEXT", data_type: TYPE_STRING, dims: [ 1 ] } ]
output [ { name: "SCORES", data_type: TYPE_FP32, dims: [ 2 ] } ]
parameters { key: "labels" value { string_value: "risk,other" } }
dynamic_batching { }
instance_group [ { kind: KIND_CPU, count: 1 } ]
"""

MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [answer(request) for request in requests]


def answer(request):
    texts = [text.decode() for text in pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)]
    if "poison" in texts:
        return pb_utils.InferenceResponse(error=pb_utils.TritonError("the model failed"))
    scores = np.array([[float(part) for part in text.split(",")] for text in texts], np.float32)
    return pb_utils.InferenceResponse([pb_utils.Tensor("SCORES", scores)])
"""


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton that serves the model."""
    repository = tmp_path_factory.mktemp("models")
    (repository / "screen" / "1").mkdir(parents=True)
    (repository / "screen" / "config.pbtxt").write_text(CONFIG)
    (repository / "screen" / "1" / "model.py").write_text(MODEL)
    running = start(repository, tmp_path_factory.mktemp("triton"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton that serves the model `screen` of this repository."""
    running = start(Path(__file__).parents[2] / "triton_models", tmp_path_factory.mktemp("ours"), only=["screen"])
    yield running
    running.stop()


@asynccontextmanager
async def scorer(address: str, breaker: BreakerSettings | None = None) -> AsyncIterator[TritonScorer]:
    made = TritonScorer(TritonSettings((address,), breaker=breaker or BreakerSettings(open_s=0.1, open_max_s=0.2)))
    await made.start()
    try:
        await until(lambda: made.ready(PATIENT))
        yield made
    finally:
        await made.close()


async def works(made: TritonScorer) -> bool:
    return not (await made.score(PATIENT, ["0.5,0.25"])).failure


async def behaviour(address: str) -> list[Result]:
    """What a server does with good, bad, many and mixed texts."""
    async with scorer(address) as made:
        together = await asyncio.gather(*(made.score(PATIENT, [f"0.{n},0.25", "0,0"]) for n in range(10)))
        mixed = await asyncio.gather(*(made.score(PATIENT, [text]) for text in ("0.5,0.5", "poison", "nan,0", "2,0")))
        alone = [await made.score(PATIENT, ["1,0"]), await made.score(PATIENT, ["poison"])]
        unknown = await made.score(Model("none", "none", 10_000), ["0,0"])
        not_ready = await made.ready(Model("none", "none", 10_000))
    assert not not_ready
    return [*together, *mixed, *alone, unknown]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_it_keeps_the_contract_of_scorers(ours: Triton, check: Check) -> None:
    """Triton with the model `screen`, as the embedded scorer keeps it."""
    async with scorer(ours.grpc) as made:
        await check(made, PATIENT)


async def test_the_fake_server_does_as_triton_does(triton: Triton, server: KServeFake) -> None:
    """Every other test of the scorer stands on this."""
    server.largest = 8
    expected = await behaviour(triton.grpc)
    assert expected == await behaviour(server.address)
    assert [result.failure for result in expected[-7:]] == [
        "",
        "bad-response",
        "bad-response",
        "bad-response",
        "",
        "bad-response",
        "unavailable",
    ]


def pause(pid: int) -> None:
    """Returns when every thread of the process stands still."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


async def test_a_paused_triton_costs_nobody_more_than_the_budget(triton: Triton) -> None:
    """SIGSTOP: timeouts, then nobody waits at all. SIGCONT: scores again, by itself."""
    async with scorer(triton.grpc) as made:
        assert await works(made)
        pause(triton.pid)
        try:
            took = []
            failures = set()
            for _ in range(20):
                began = time.monotonic()
                failures.add((await made.score(HURRIED, ["0,0"])).failure)
                took.append(time.monotonic() - began)
        finally:
            os.kill(triton.pid, signal.SIGCONT)
        assert failures == {"timeout", "circuit-open"}
        assert max(took) < 0.5
        assert sorted(took)[len(took) // 2] < 0.05
        await until(lambda: works(made))


def environment_of(pid: int) -> dict[str, str]:
    """What a process was started with."""
    lines = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(line.split("=", 1) for line in lines if line)


async def test_a_killed_triton_is_found_again(triton: Triton) -> None:
    """SIGKILL in the middle of requests: failures, no exception, no hanging. Started again: scores, by itself."""
    arguments, log = triton.part.process.args, triton.log
    environment = environment_of(triton.pid)
    async with scorer(triton.grpc) as made:
        assert await works(made)
        calls = [asyncio.create_task(made.score(PATIENT, ["0.5,0.25"])) for _ in range(50)]
        await asyncio.sleep(0)
        os.killpg(triton.pid, signal.SIGKILL)
        assert {result.failure for result in await asyncio.gather(*calls)} <= {"", "unavailable", "circuit-open"}
        assert (await made.score(PATIENT, ["0,0"])).failure in ("unavailable", "circuit-open")
        assert not await made.ready(PATIENT)
        triton.part.process.wait()
        assert isinstance(arguments, list)
        again = processes.start(
            "triton",
            arguments,
            log.with_name("again.log"),
            env=environment,
        )
        try:
            await until(lambda: works(made))
            assert await made.ready(PATIENT)
        finally:
            processes.stop(again, grace_s=15)
