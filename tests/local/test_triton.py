"""A real Triton serves the shipped model: it starts, answers as the embedded scorer does, ends, and leaves nothing."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from tritonclient.grpc import InferInput, InferResult  # type: ignore[import-untyped]
from tritonclient.grpc.aio import InferenceServerClient  # type: ignore[import-untyped]

from safeguards_extproc.adapters.embedded import load
from safeguards_extproc.adapters.triton import TritonScorer, TritonSettings
from safeguards_extproc.core.decision import Model
from safeguards_extproc.local import triton
from safeguards_extproc.local.processes import PartFailed
from safeguards_extproc.local.triton import Triton, available, start
from tests.contract.scorer_contract import AWKWARD, CHECKS, TEXTS, Check

REPOSITORY = Path(__file__).parents[2] / "triton_models"
SCREEN = Model("screen", "screen", budget_ms=10_000)

real = [pytest.mark.real, pytest.mark.skipif(bool(available()), reason=available() or "Triton is here")]
WORDS = (
    "the",
    "of",
    "please",
    "kill",
    "bread",
    "women",
    "idiot",
    "ignore",
    "instructions",
    "🙂",
    "日本",
    "É",
    "<b>",
    "42",
)


def texts(count: int) -> list[bytes]:
    """Texts of many lengths, the same every time."""
    rng = random.Random(3)
    made = [" ".join(rng.choices(WORDS, k=rng.randint(1, 900))) for _ in range(count)]
    return [text.encode("utf-8", "replace") for text in [*made, *TEXTS, *AWKWARD, "x" * 100_000]]


def items(*batch: bytes) -> list[InferInput]:
    tensor = InferInput("TEXT", [len(batch), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(batch, dtype=np.object_).reshape(-1, 1))
    return [tensor]


Record = Callable[[str, object], None]


async def infer(client: InferenceServerClient, batch: Sequence[bytes]) -> InferResult:
    return await client.infer("screen", items(*batch))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton that serves the shipped model."""
    running = start(REPOSITORY, tmp_path_factory.mktemp("triton"), only=["screen"])
    yield running
    running.stop()


class TestReal:
    """What only the real server can show."""

    pytestmark = real

    async def test_scores_are_those_of_the_embedded_scorer(self, server: Triton) -> None:
        """torch in Triton and numpy in the service agree to 1e-3 on every text, alone or in company."""
        embedded = load(REPOSITORY / "screen").forward
        asked = texts(200)
        async with InferenceServerClient(server.grpc) as client:
            for at in range(0, len(asked), 50):
                batch = asked[at : at + 50]
                served = (await infer(client, batch)).as_numpy("SCORES")
                assert served.shape == embedded(batch).shape
                np.testing.assert_allclose(served, embedded(batch), atol=1e-3)
                np.testing.assert_allclose(served[:1], (await infer(client, batch[:1])).as_numpy("SCORES"), atol=1e-5)

    async def test_labels_and_revision_are_told_to_clients(self, server: Triton) -> None:
        """A client can check which column means what, and whose weights answer."""
        profile = load(REPOSITORY / "screen").profile
        async with InferenceServerClient(server.grpc) as client:
            config = (await client.get_model_config("screen")).config
        assert ",".join(profile.labels) == config.parameters["labels"].string_value
        assert profile.revision == config.parameters["revision"].string_value

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_contract(self, server: Triton, check: Check) -> None:
        """The scorer before the real Triton keeps what every scorer must."""
        scorer = TritonScorer(TritonSettings((server.grpc,)))
        await scorer.start()
        try:
            await _until_ready(scorer)
            await check(scorer, SCREEN)
        finally:
            await scorer.close()

    async def test_it_listens_on_loopback_only(self, server: Triton) -> None:
        """Nobody outside can ask it."""
        listening = [each.laddr for each in psutil.Process(server.pid).net_connections() if each.status == "LISTEN"]
        assert {"127.0.0.1"} == {place.ip.removeprefix("::ffff:") for place in listening}
        ports = {int(place.rpartition(":")[2]) for place in (server.grpc, server.http, server.metrics)}
        assert ports == {place.port for place in listening}

    @pytest.mark.parametrize("callers", [1, 16, 64])
    async def test_throughput(
        self, server: Triton, callers: int, record_property: Callable[[str, object], None]
    ) -> None:
        """Inferences a second with so many callers of 1,200 characters; the figure goes to the report."""
        text = b"A quiet day by the sea, with nothing to report and nobody to report it to. " * 16
        seconds: list[float] = []
        async with InferenceServerClient(server.grpc) as client:
            await infer(client, [text])

            async def call(until: float) -> None:
                while (began := time.monotonic()) < until:
                    await infer(client, [text])
                    seconds.append(time.monotonic() - began)

            ends = time.monotonic() + 2.0
            await asyncio.gather(*(call(ends) for _ in range(callers)))
        middle = sorted(seconds)[len(seconds) // 2] * 1000
        record_property("figure", f"{callers} callers: {len(seconds) / 2:.0f}/s, p50 {middle:.2f} ms")
        sys.stderr.write(f"\n{callers} callers: {len(seconds) / 2:.0f}/s, p50 {middle:.2f} ms\n")
        assert len(seconds) > 100

    def test_it_ends_and_leaves_nothing(self, tmp_path: Path) -> None:
        """Server, stub and shared memory are gone after stop; stopping again is no error."""
        running = start(REPOSITORY, tmp_path, only=["screen"])
        family = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
        assert len(family) > 1
        running.stop()
        running.stop()
        assert [each for each in family if each.is_running()] == []
        assert list(Path("/dev/shm").glob(f"{triton._region(tmp_path)}*")) == []

    def test_a_model_that_does_not_load_is_reported_with_the_log(self, tmp_path: Path) -> None:
        """A broken repository is a failed start with the reason at hand, not a server that says it is fine."""
        broken = tmp_path / "models" / "screen"
        (broken / "1").mkdir(parents=True)
        (broken / "config.pbtxt").write_text((REPOSITORY / "screen" / "config.pbtxt").read_text())
        (broken / "1" / "model.py").write_text("raise RuntimeError('no such thing')")
        with pytest.raises(PartFailed) as failed:
            start(tmp_path / "models", tmp_path, timeout_s=30)
        assert "no such thing" in failed.value.log or "no such thing" in (tmp_path / "triton.log").read_text()


async def _until_ready(scorer: TritonScorer) -> None:
    for _ in range(200):
        if await scorer.ready(SCREEN):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("never ready")


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each thing that Triton needs has its own sentence, and starting says the same."""
    wheel = _wheel(tmp_path)
    monkeypatch.setattr(triton, "_wheel", lambda: wheel)
    monkeypatch.setattr(triton, "find_spec", lambda name: None)
    assert "torch is not installed" in available()
    monkeypatch.setattr(triton, "find_spec", lambda name: object())
    monkeypatch.setattr(triton, "_libpython", lambda: None)
    assert "apt install libpython3." in available()
    monkeypatch.setattr(triton, "_libpython", lambda: tmp_path)
    assert available() == ""
    monkeypatch.setattr(triton, "_VERSION", "3.99")
    assert "no stub for Python 3.99, only for 3." in available()
    monkeypatch.setattr(triton, "_wheel", lambda: None)
    assert "Triton is not installed" in available()
    with pytest.raises(PartFailed, match="Triton is not installed"):
        start(REPOSITORY, tmp_path)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert "Linux on x86-64 only" in available()


def test_backends_are_gathered_in_one_folder(tmp_path: Path) -> None:
    """The library, its utilities and the stub of this Python stand side by side, also the second time."""
    wheel = _wheel(tmp_path)
    for _ in range(2):
        python = triton._backends(wheel, tmp_path) / "python"
        assert {"libtriton_python.so", "triton_python_backend_utils.py", "triton_python_backend_stub"} == {
            each.name for each in python.iterdir() if each.exists()
        }


def _wheel(folder: Path) -> Path:
    """A folder laid out like the wheel's."""
    wheel = folder / "tritonserver"
    for name in ("bin/tritonserver", f"python_backend_stubs/{triton._VERSION}/triton_python_backend_stub"):
        (wheel / name).parent.mkdir(parents=True, exist_ok=True)
        (wheel / name).touch()
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        (wheel / "backends" / "python").mkdir(parents=True, exist_ok=True)
        (wheel / "backends" / "python" / name).touch()
    return wheel
