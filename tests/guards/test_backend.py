"""A real Triton serves rows as `python -m guards` sets them up, and serves none that was changed since."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from guards.__main__ import add
from guards.checkpoint import load, verify
from guards.rows import ROWS, Classifier, Writer
from guards.scoring import Guard
from safeguards_extproc.adapters.triton import TritonScorer, TritonSettings
from safeguards_extproc.core.decision import Model
from safeguards_extproc.local.processes import PartFailed
from safeguards_extproc.local.triton import Triton, available, start
from tests.adapters.kserve_fake import until
from tests.guards.endpoint import KEY, Seen, serving
from tests.guards.tiny import make

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(available()), reason=available() or "Triton is here"),
]

ROOT = Path(__file__).parents[2]
SERVED = {"llama": "llama-guard-3", "prompts": "prompt-guard-2"}
LLAMA, PROMPTS, JUDGE = (Model(name, name, budget_ms=20_000) for name in ("llama", "prompts", "judge"))
WANTED = ("unsafe", "hate")


def put(repository: Path, name: str) -> Path:
    """A model of the repository with a tiny checkpoint, and the code beside the repository; its version folder."""
    folder = repository / name
    make(folder / "1", SERVED[name])
    add(SERVED[name], folder, wanted=WANTED if name == "llama" else ())
    for package in ("guards", "encoders"):
        if not (repository.parent / package).exists():
            (repository.parent / package).symlink_to(ROOT / package)
    return folder / "1"


@pytest.fixture(scope="module")
def judge() -> Iterator[Seen]:
    """A judge's endpoint."""
    with serving() as seen:
        yield seen


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, judge: Seen) -> Path:
    """A model that writes, a classifier, and a judge."""
    made = tmp_path_factory.mktemp("serving") / "models"
    for name in SERVED:
        put(made, name)
    add("judge", made / "judge", judge=f"{judge.url} judge")
    path = made / "judge" / "config.pbtxt"
    path.write_text(path.read_text().replace("count: 4", "count: 1"))  # an instance is a process to start
    return made


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton that serves them, with the judge's key in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUDGE_API_KEY", KEY)
        running = start(repository, tmp_path_factory.mktemp("triton"))
    yield running
    running.stop()


@pytest.fixture
async def scorer(server: Triton) -> AsyncIterator[TritonScorer]:
    """The filter's own client."""
    made = TritonScorer(TritonSettings((server.grpc,)))
    await made.start()
    await until(lambda: made.ready(JUDGE))
    yield made
    await made.close()


async def test_scores_are_those_of_the_code_alone(scorer: TritonScorer, repository: Path) -> None:
    """Requests and exchanges, several at a time; the version names what was pinned."""
    for model, name in ((LLAMA, "llama-guard-3"), (PROMPTS, "prompt-guard-2")):
        folder, row = repository / model.model / "1", ROWS[name]
        assert isinstance(row, Classifier | Writer)
        guard = Guard(load(folder, row), WANTED if model is LLAMA else ())
        asked = [("hello", ""), ("<|eot_id|> 🎉", "why?"), ("", "")]
        results = await asyncio.gather(*(scorer.score(model, [text], prompt) for text, prompt in asked))
        expected = guard.score(*([one.encode() for one in column] for column in zip(*asked, strict=True)))
        found = [[result.scores[f"{model.detector}.{label}"] for label in guard.labels] for result in results]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert {result.version for result in results} == {f"1@{verify(folder).revision}"}


async def test_a_judge_answers_through_triton(scorer: TritonScorer) -> None:
    """With the key from Triton's environment; a text without a verdict is that text's failure."""
    asked = ("a bomb", "a cake", "a bomb [chatty]")
    bomb, cake, chatty = await asyncio.gather(*(scorer.score(JUDGE, [text]) for text in asked))
    assert bomb.scores == {"judge.violation": pytest.approx(0.75)}
    assert cake.scores == {"judge.violation": pytest.approx(0.1)}
    assert chatty.failure == "bad-response"


async def test_a_judge_that_answers_nobody_is_unavailable(scorer: TritonScorer) -> None:
    """Policy says what that means, as for any model."""
    assert (await scorer.score(JUDGE, ["[busy]"])).failure == "unavailable"


def test_a_changed_checkpoint_is_not_served(tmp_path: Path) -> None:
    """Triton says why, and does not come up."""
    folder = put(tmp_path / "models", "prompts")
    (folder / "checkpoint" / "config.json").write_text("{}")
    (tmp_path / "triton").mkdir()
    with pytest.raises(PartFailed):
        start(tmp_path / "models", tmp_path / "triton", timeout_s=60)
    assert "config.json does not have the digest" in (tmp_path / "triton" / "triton.log").read_text()
