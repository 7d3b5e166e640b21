"""Scores without a model server: models of a Triton repository that come with a numpy forward (ports.Scorer).

A version folder may hold `forward_numpy.py` beside its `model.py`: `load(folder)` gives a function from UTF-8 texts to
scores [texts, labels]. The folder's code and weights belong together, as in Triton, and are trusted as Triton trusts
them. `config.pbtxt` names the labels, as it does to clients of Triton (kserve.py). A model without either file, or
with other labels than its weights, is "unavailable".

The one rule: the event loop never waits for arithmetic. It runs in a few threads (numpy lets go of the interpreter
lock in its inner loops), and what is asked meanwhile is gathered into one pass (batching.py).
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import numpy as np
import structlog
from google.protobuf import text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2  # type: ignore[import-untyped]

from safeguards_extproc.adapters.batching import Batch, Failed, Lane, TooLarge
from safeguards_extproc.adapters.kserve import PROMPT, Profile, Scored, read_profile
from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.errors import DetectorError

log = structlog.get_logger()

FORWARD = "forward_numpy"

Forward = Callable[..., NDArray[np.float32]]
"""forward(texts), or forward(texts, prompts) of a model that has an input for these."""


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """`repository` is the folder that Triton would serve; `models` the names to load from it. `threads` passes run at
    a time, each over at most `batch` texts; at most `queue` texts wait per model."""

    repository: Path
    models: tuple[str, ...]
    threads: int = 1
    batch: int = 16
    queue: int = 4096


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory. `version` is written as the adapter for Triton writes it."""

    profile: Profile
    forward: Forward
    version: str


def version_package(folder: Path) -> str:
    """The name under which the modules of a version folder can be imported; they may import each other by ".name"."""
    name = f"_model_{sha256(str(folder.resolve()).encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name


def load(model: Path) -> Loaded:
    """Load the newest version in a model's folder. DetectorError("unavailable") if it cannot run here,
    ("bad-response") if its configuration does not name its labels, or names more or fewer than it scores."""
    try:
        text = (model / "config.pbtxt").read_text(encoding="utf-8")
        profile = read_profile(text_format.Parse(text, model_config_pb2.ModelConfig()))
        folder = max((each for each in model.iterdir() if each.name.isdecimal()), key=lambda each: int(each.name))
        if not (folder / f"{FORWARD}.py").is_file():
            raise DetectorError("unavailable")
        forward: Forward = importlib.import_module(f"{version_package(folder)}.{FORWARD}").load(folder)
        shape = forward(*[[b""]] * len(profile.inputs)).shape
    except DetectorError:
        raise
    except Exception as error:  # noqa: BLE001 (a model's code is not ours: whatever ails it, the model is unavailable)
        log.warning("model not loaded", model=model.name, error=type(error).__name__)
        raise DetectorError("unavailable") from None
    if shape != (1, len(profile.labels)):
        raise DetectorError("bad-response")
    version = f"{folder.name}@{profile.revision}" if profile.revision else folder.name
    return Loaded(profile, forward, version)


class EmbeddedScorer:
    """ports.Scorer in this process. One per event loop."""

    def __init__(self, settings: EmbeddedSettings) -> None:
        self._settings = settings
        self._lanes: dict[str, Lane] = {}
        self._pool: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Load the models. One that cannot be loaded is logged, and "unavailable" to whoever asks."""
        settings = self._settings
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="embedded")
        loop = asyncio.get_running_loop()
        for name in settings.models:
            try:
                loaded = await loop.run_in_executor(self._pool, load, settings.repository / name)
            except DetectorError as error:
                log.warning("model cannot be embedded", model=name, failure=error.code)
                continue
            self._lanes[name] = self._lane(loaded)

    async def close(self) -> None:
        """Answer everybody "cancelled". What is asked later is "unavailable"."""
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            lane.close()
        pool, self._pool = self._pool, None
        if pool:
            pool.shutdown(wait=False, cancel_futures=True)

    async def ready(self, model: Model) -> bool:
        """Whether the model is loaded."""
        return model.model in self._lanes

    async def score(self, model: Model, texts: Sequence[str], prompt: str = "") -> Result:
        """See ports.Scorer."""
        lane = self._lanes.get(model.model)
        if lane is None:
            return Result(model.detector, failure="unavailable")
        answer = await lane.score(texts, model.budget_ms / 1000, prompt)
        scores = {f"{model.detector}.{label}": score for label, score in answer.scores.items()}
        return Result(model.detector, scores, answer.failure, answer.version)

    def _lane(self, loaded: Loaded) -> Lane:
        async def ask(batch: Batch) -> Scored | Failed | TooLarge:
            columns = (batch.texts, batch.prompts) if PROMPT in loaded.profile.inputs else (batch.texts,)
            encoded = [[text.encode("utf-8", "replace") for text in column] for column in columns]
            rows = await asyncio.get_running_loop().run_in_executor(self._pool, loaded.forward, *encoded)
            return Scored(loaded.profile.labels, rows, loaded.version)

        settings = self._settings
        return Lane(ask, in_flight=settings.threads, largest=settings.batch, bound=settings.queue)
