"""What benches of models on the processor share: cores that are theirs, their processes' time, texts as a tensor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psutil
from tritonclient import grpc as client  # type: ignore[import-untyped]


def column(batch: Sequence[bytes]) -> Any:
    """The input TEXT of a request."""
    tensor = client.InferInput("TEXT", [len(batch), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(batch, dtype=np.object_).reshape(-1, 1))
    return tensor


def spent_s(processes: Iterable[psutil.Process]) -> float:
    """Seconds of processor time so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """This thread, and what is started by it, on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
