"""A replay through a real Envoy and a whole filter decides what was decided."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from safeguards_extproc.app_replay import EnvoyPlan, through_envoy
from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.local.processes import PartFailed
from safeguards_extproc.replay import capture
from safeguards_extproc.replay.source import Frame
from safeguards_extproc.replay.through_core import Asked
from tests.replay.worlds import SAMPLES, decided, file, model


def frames() -> list[Frame]:
    return [
        Frame(number, number, number, capture.encode(decided(name)), None, "t") for number, name in enumerate(SAMPLES)
    ]


class Judge:
    """The model of worlds, for windows that a timer cuts elsewhere."""

    async def start(self) -> None: ...

    async def score(self, model_: Model, texts: Sequence[str], prompt: str = "") -> Result:
        return model(Asked(texts, model_, prompt))

    async def ready(self, model: Model) -> bool:
        return True

    async def close(self) -> None: ...


@pytest.mark.real
@pytest.mark.parametrize("timed", [False, True])
def test_the_same_policy_decides_the_same(tmp_path: Path, timed: bool) -> None:
    """On every sample, at once and in the time of then."""
    rows = list(through_envoy(frames(), EnvoyPlan(file(tmp_path), timed=timed), Judge() if timed else None))
    assert [(number, True, 0) for number in range(len(SAMPLES))] == [
        (row.number, row.pair is not None and row.pair.before.same(row.pair.after), row.unknown) for row in rows
    ]


@pytest.mark.real
def test_another_policy_decides_otherwise(tmp_path: Path) -> None:
    """And latencies are measured, since this is the filter that serves."""
    rows = list(through_envoy(frames(), EnvoyPlan(file(tmp_path, 0.05)), None))
    assert {"bad"} == {row.pair.after.rule for row in rows if row.pair}
    assert all(row.pair and row.pair.after.latency_ms is not None for row in rows)


def test_an_envoy_that_does_not_start_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it says, and at once."""

    def fails(*_: object) -> None:
        raise PartFailed("envoy", "no such program")

    monkeypatch.setattr("safeguards_extproc.local.envoy.start", fails)
    began = time.monotonic()
    with pytest.raises(ConfigError, match="no such program"):
        list(through_envoy(frames(), EnvoyPlan(file(tmp_path)), None))
    assert time.monotonic() - began < 10
