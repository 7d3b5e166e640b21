"""A real Triton serves an encoder model as the shipped ones are served, and one that is not whole is not served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferInput  # type: ignore[import-untyped]
from tritonclient.grpc.aio import InferenceServerClient  # type: ignore[import-untyped]

from encoders.checkpoint import load, read_manifest, revision
from encoders.classifier import Classifier
from encoders.reading import Reading
from safeguards_extproc.adapters.triton import TritonScorer, TritonSettings
from safeguards_extproc.core.decision import Model
from safeguards_extproc.local.processes import PartFailed
from safeguards_extproc.local.triton import Triton, available, start
from tests.adapters.kserve_fake import until
from tests.contract.scorer_contract import AWKWARD, CHECKS, TEXTS, Check, long_text_is_read_to_its_end
from tests.encoders.tiny import make_base, make_model

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(available()), reason=available() or "Triton is here"),
]

ROOT = Path(__file__).parents[2]
LABELS = {"guard": ("attack", "hate", "toxic"), "exchange": ("unsafe",)}
GUARD, EXCHANGE = (Model(name, name, budget_ms=20_000) for name in LABELS)
BATCH = [text.encode("utf-8", "replace") for text in [*TEXTS, *AWKWARD, "a long one " * 400]] + [b"\xff\xfe\x80"]

CONFIG = """
backend: "python"
max_batch_size: 64
input [ {inputs} ]
output [ {{ name: "SCORES", data_type: TYPE_FP32, dims: [ {count} ] }} ]
parameters {{ key: "labels" value {{ string_value: "{labels}" }} }}
parameters {{ key: "revision" value {{ string_value: "{revision}" }} }}
dynamic_batching {{ }}
instance_group [ {{ kind: KIND_CPU, count: 1 }} ]
"""
MODEL = """
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3]))

from encoders.backend import TritonPythonModel
"""


def put(repository: Path, name: str) -> Path:
    """A tiny model of texts, or of pairs, in a repository; its version folder."""
    folder, pair = repository / name / "1", name == "exchange"
    folder.mkdir(parents=True)
    base = make_base(folder / "base")
    make_model(folder, base, LABELS[name], Reading(window=64, overlap=8, pair=pair))
    wanted = ["PROMPT", "TEXT"] if pair else ["TEXT"]
    text = CONFIG.format(
        inputs=", ".join(f'{{ name: "{each}", data_type: TYPE_STRING, dims: [ 1 ] }}' for each in wanted),
        count=len(LABELS[name]),
        labels=",".join(LABELS[name]),
        revision=revision(read_manifest(folder)),
    )
    (repository / name / "config.pbtxt").write_text(text)
    (folder / "model.py").write_text(MODEL)
    if not (repository.parent / "encoders").exists():
        (repository.parent / "encoders").symlink_to(ROOT / "encoders")
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with both models, and the code beside it."""
    made = tmp_path_factory.mktemp("serving") / "models"
    for name in LABELS:
        put(made, name)
    return made


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton that serves them."""
    running = start(repository, tmp_path_factory.mktemp("triton"))
    yield running
    running.stop()


def column(name: str, items: list[bytes]) -> InferInput:
    tensor = InferInput(name, [len(items), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(items, dtype=np.object_).reshape(-1, 1))
    return tensor


async def test_triton_scores_as_the_code_alone_does(server: Triton, repository: Path) -> None:
    """Both models, awkward texts, several requests at a time: the same scores to 1e-5."""
    guard = Classifier(load(repository / "guard" / "1")).score(BATCH)
    exchange = Classifier(load(repository / "exchange" / "1")).score(BATCH, BATCH[::-1])
    async with InferenceServerClient(server.grpc) as client:
        asked = [client.infer("guard", [column("TEXT", BATCH[at : at + 3])]) for at in range(0, len(BATCH), 3)]
        served = np.concatenate([found.as_numpy("SCORES") for found in await asyncio.gather(*asked)])
        np.testing.assert_allclose(served, guard, atol=1e-5)
        found = await client.infer("exchange", [column("TEXT", BATCH), column("PROMPT", BATCH[::-1])])
        np.testing.assert_allclose(found.as_numpy("SCORES"), exchange, atol=1e-5)


# With one label and random weights, the largest of thousands of windows need not be the one that differs.
KEPT = [
    pytest.param(model, check, id=f"{model.model}-{check.__name__}")
    for model in (GUARD, EXCHANGE)
    for check in CHECKS
    if model is GUARD or check is not long_text_is_read_to_its_end
]


@pytest.mark.parametrize(("model", "check"), KEPT)
async def test_the_scorer_keeps_its_contract(server: Triton, model: Model, check: Check) -> None:
    """As with the model `screen`; without a prompt a model of pairs reads an empty one."""
    made = TritonScorer(TritonSettings((server.grpc,)))
    await made.start()
    try:
        await until(lambda: made.ready(model))
        await check(made, model)
    finally:
        await made.close()


async def test_a_prompt_reaches_the_model(server: Triton, repository: Path) -> None:
    """The score of an answer is the one that it has after its question, not another."""
    alone = Classifier(load(repository / "exchange" / "1"))
    made = TritonScorer(TritonSettings((server.grpc,)))
    await made.start()
    try:
        await until(lambda: made.ready(EXCHANGE))
        results = await asyncio.gather(*(made.score(EXCHANGE, ["yes"], prompt) for prompt in ("why", "a b c", "")))
    finally:
        await made.close()
    expected = alone.score([b"yes"] * 3, [b"why", b"a b c", b""])[:, 0]
    assert [result.scores["exchange.unsafe"] for result in results] == pytest.approx(list(expected), abs=1e-5)
    assert len({round(float(score), 5) for score in expected}) == 3


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights": (lambda folder: spoil(folder / "weights.safetensors"), "does not have the digest"),
    "labels": (
        lambda folder: (folder.parent / "config.pbtxt").write_text(
            (folder.parent / "config.pbtxt").read_text().replace("attack,hate", "hate,attack")
        ),
        "other labels",
    ),
    "revision": (
        lambda folder: (folder.parent / "config.pbtxt").write_text(
            (folder.parent / "config.pbtxt").read_text().replace(revision(read_manifest(folder)), "000000000000")
        ),
        "other revision",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_whole_is_not_served(tmp_path: Path, fault: str) -> None:
    """Triton says why, and does not come up."""
    folder = put(tmp_path / "models", "guard")
    plant, named = FAULTS[fault]
    plant(folder)
    (tmp_path / "triton").mkdir()
    with pytest.raises(PartFailed):
        start(tmp_path / "models", tmp_path / "triton", timeout_s=60)
    assert named in (tmp_path / "triton" / "triton.log").read_text()
