"""Models in our own process: the contract of scorers, and whom a model that is not whole can hurt."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from safeguards_extproc.adapters.embedded import EmbeddedScorer, EmbeddedSettings, load
from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.errors import DetectorError
from safeguards_extproc.ports import Scorer
from tests.contract.scorer_contract import CHECKS, TEXTS, Check, prompts_do_not_mix

REPOSITORY = Path(__file__).parents[2] / "triton_models"
SCREEN = Model("screen", "screen", budget_ms=10_000)

CONFIG = 'parameters { key: "labels" value { string_value: "length,other" } }'
FORWARD = """
import numpy as np


def load(folder):
    return lambda texts: np.array([[min(len(text), 100) / 100, 0.5] for text in texts], np.float32)
"""
PAIRS = f'{CONFIG} input [ {{ name: "TEXT" }}, {{ name: "PROMPT" }} ]'
PAIR = """
import numpy as np


def load(folder):
    def forward(texts, prompts):
        return np.array([[0.5, (len(prompt) + 1) / 1000] for _, prompt in zip(texts, prompts, strict=True)], np.float32)

    return forward
"""
NAN = FORWARD.replace("0.5]", "float('nan') if text == b'bad' else 0.5]")


@asynccontextmanager
async def scorer(repository: Path = REPOSITORY, *models: str, threads: int = 2) -> AsyncIterator[EmbeddedScorer]:
    made = EmbeddedScorer(EmbeddedSettings(repository, models or ("screen",), threads=threads))
    await made.start()
    try:
        yield made
    finally:
        await made.close()


def model(repository: Path, name: str, config: str = CONFIG, forward: str = FORWARD, version: str = "1") -> Model:
    """Put a model into a repository."""
    folder = repository / name / version
    folder.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)
    (folder / "forward_numpy.py").write_text(forward)
    return Model(name, name, budget_ms=10_000)


@pytest.mark.long
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_contract(check: Check) -> None:
    """The embedded scorer keeps what every scorer must."""
    async with scorer() as embedded:
        await check(embedded, SCREEN)


class Broken:
    """A scorer in which one thing is wrong."""

    def __init__(self, scorer: Scorer, fault: str) -> None:
        self._scorer, self._fault = scorer, fault
        self._asked, self._first = 0, ""

    async def start(self) -> None: ...

    async def ready(self, model: Model) -> bool:
        return self._fault == "always ready" or await self._scorer.ready(model)

    async def score(self, model: Model, texts: Sequence[str], prompt: str = "") -> Result:
        self._asked += 1
        match self._fault:
            case "reads one prompt":
                self._first = self._first or prompt
                return await self._scorer.score(model, [*texts, self._first if self._asked > 5 else prompt])
            case "first view only":
                return await self._scorer.score(model, texts[:1], prompt)
            case "cuts":
                return await self._scorer.score(model, [text[:2000] for text in texts], prompt)
            case "mixes":
                return await self._scorer.score(model, [TEXTS[self._asked // 7 % 5]], prompt)
            case "drifts":
                result = await self._scorer.score(model, texts, prompt)
                return replace(result, scores={name: score / self._asked for name, score in result.scores.items()})
            case "out of range":
                result = await self._scorer.score(model, texts, prompt)
                return replace(result, scores={name: score + 1 for name, score in result.scores.items()})
            case "names itself":
                return await self._scorer.score(replace(model, detector=model.model), texts, prompt)
            case "swallows":
                try:
                    return await asyncio.shield(asyncio.ensure_future(self._scorer.score(model, texts, prompt)))
                except asyncio.CancelledError:
                    return Result(model.detector, failure="cancelled")
            case _:
                return await self._scorer.score(model, texts, prompt)

    async def close(self) -> None:
        if self._fault != "stays open":
            await self._scorer.close()


FAULTS = {
    "names_are_the_detectors": "names itself",
    "the_maximum_over_views_counts": "first view only",
    "any_text_has_scores": "out of range",
    "long_text_is_read_to_its_end": "cuts",
    "callers_do_not_mix": "mixes",
    "prompts_do_not_mix": "reads one prompt",
    "the_same_text_scores_the_same": "drifts",
    "an_unknown_model_is_unavailable": "always ready",
    "a_caller_may_leave": "swallows",
    "closing_twice_is_closing": "stays open",
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_contract_bites(check: Check) -> None:
    """Each check finds the fault that it is there for."""
    async with scorer() as embedded:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await check(Broken(embedded, FAULTS[check.__name__]), SCREEN)


async def test_a_model_that_cannot_be_loaded_hurts_nobody_else(tmp_path: Path) -> None:
    """Missing, unreadable, broken or contradictory models are unavailable; their neighbour answers."""
    good = model(tmp_path, "good")
    model(tmp_path, "syntax", forward="def load(")
    model(tmp_path, "raises", forward="raise RuntimeError")
    model(tmp_path, "labels", config="")
    model(tmp_path, "columns", config=CONFIG.replace("other", "other,more"))
    model(tmp_path, "triton-only")
    (tmp_path / "triton-only" / "1" / "forward_numpy.py").unlink()
    model(tmp_path, "prompts", config=PAIRS)
    names = ("good", "syntax", "raises", "labels", "columns", "triton-only", "prompts", "absent")
    async with scorer(tmp_path, *names) as embedded:
        assert [True, *[False] * 7] == [await embedded.ready(replace(good, model=name)) for name in names]
        for name in names[1:]:
            assert Result("good", failure="unavailable") == await embedded.score(replace(good, model=name), ["text"])
        answer = await embedded.score(good, ["1234567890"])
        assert answer.scores == pytest.approx({"good.length": 0.1, "good.other": 0.5})


async def test_a_model_of_exchanges_reads_the_prompt_beside_each_text(tmp_path: Path) -> None:
    """Every view of a window has the caller's own prompt, also where callers share a pass; none is an empty one."""
    pair = model(tmp_path, "pair", config=PAIRS, forward=PAIR)
    async with scorer(tmp_path, "pair", threads=1) as embedded:
        await prompts_do_not_mix(embedded, pair)
        asked = [embedded.score(pair, ["a", "bb"], "x" * size) for size in range(40)]
        found = [answer.scores["pair.other"] for answer in await asyncio.gather(*asked)]
        assert found == pytest.approx([(size + 1) / 1000 for size in range(40)])
        assert (await embedded.score(pair, ["a"])).scores["pair.other"] == pytest.approx(0.001)


async def test_a_model_that_mixes_prompts_is_caught(tmp_path: Path) -> None:
    """Planted fault: everybody has the prompt of the first in the pass."""
    mixing = PAIR.replace("zip(texts, prompts, strict=True)", "zip(texts, prompts[:1] * len(texts), strict=True)")
    pair = model(tmp_path, "pair", config=PAIRS, forward=mixing)
    async with scorer(tmp_path, "pair", threads=1) as embedded:
        with pytest.raises(AssertionError):
            await prompts_do_not_mix(embedded, pair)


async def test_the_newest_version_answers_and_says_so(tmp_path: Path) -> None:
    """Versions are numbers, so 10 is newer than 9; the revision of the weights is told with it, as Triton's is."""
    one = model(tmp_path, "one", config=CONFIG + 'parameters { key: "revision" value { string_value: "ab12" } }')
    shutil.copytree(tmp_path / "one" / "1", tmp_path / "one" / "9")
    shutil.copytree(tmp_path / "one" / "1", tmp_path / "one" / "10")
    (tmp_path / "one" / "10" / "forward_numpy.py").write_text(FORWARD.replace("0.5", "0.25"))
    async with scorer(tmp_path, "one") as embedded:
        answer = await embedded.score(one, [""])
    assert (answer.version, answer.scores["one.other"]) == ("10@ab12", 0.25)


async def test_a_score_that_is_no_number_fails_its_own_text_only(tmp_path: Path) -> None:
    """One caller's NaN is not the next caller's failure."""
    one = model(tmp_path, "one", forward=NAN)
    async with scorer(tmp_path, "one") as embedded:
        bad, good = await asyncio.gather(embedded.score(one, ["bad"]), embedded.score(one, ["good"]))
    assert Result("one", failure="bad-response") == bad
    assert good.failure == ""


async def test_arithmetic_that_fails_is_a_bad_response(tmp_path: Path) -> None:
    """A model that raises on a text answers with a failure, and goes on."""
    one = model(tmp_path, "one", forward=FORWARD.replace("min(", "1 / (text != b'bad') * min("))
    async with scorer(tmp_path, "one") as embedded:
        assert (await embedded.score(one, ["bad"])).failure == "bad-response"
        assert (await embedded.score(one, ["good"])).failure == ""


async def test_a_slow_model_times_out_and_the_loop_goes_on(tmp_path: Path) -> None:
    """The budget holds while the arithmetic runs, because the arithmetic runs elsewhere."""
    slow = FORWARD.replace("lambda texts:", "lambda texts: __import__('gate').wait(texts) or")
    gate = threading.Event()
    one = replace(model(tmp_path, "one", forward=slow), budget_ms=50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "gate", _Gate(gate))
        async with scorer(tmp_path, "one", threads=1) as embedded:
            began = time.monotonic()
            assert Result("one", failure="timeout") == await embedded.score(one, ["slow"])
            assert time.monotonic() - began < 2.0
            gate.set()
            assert (await embedded.score(replace(one, budget_ms=10_000), ["slow"])).failure == ""


class _Gate:
    """A module whose `wait` blocks the thread until the gate opens; the check at loading passes."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def wait(self, texts: Sequence[bytes]) -> None:
        if texts != [b""]:
            self._event.wait(10)


async def test_before_start_nothing_is_there() -> None:
    """A scorer that was never started is unavailable and closes quietly."""
    embedded = EmbeddedScorer(EmbeddedSettings(REPOSITORY, ("screen",)))
    assert Result("screen", failure="unavailable") == await embedded.score(SCREEN, ["text"])
    await embedded.close()


@pytest.mark.long
def test_no_torch_is_needed() -> None:
    """The service scores without torch: loading the model imports none of it."""
    code = "import sys; from pathlib import Path; from safeguards_extproc.adapters.embedded import load;"
    code += f"load(Path({str(REPOSITORY / 'screen')!r})).forward([b'text']); print('torch' in sys.modules)"
    import subprocess
    import sys

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_folder_that_is_no_model_is_unavailable(tmp_path: Path) -> None:
    """`load` says why in our words."""
    with pytest.raises(DetectorError, match="unavailable"):
        load(tmp_path)
