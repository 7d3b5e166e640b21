"""Tests run side by side: each with one thread. A checkpoint of each row is made once a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from guards.checkpoint import Checkpoint, load, pin
from guards.rows import ROWS, Classifier, Writer
from tests.guards.tiny import make

torch.set_num_threads(1)

Made = Callable[[str], Checkpoint]


def short(name: str) -> Classifier | Writer:
    """A row that reads windows of 32 tokens."""
    row = ROWS[name]
    assert isinstance(row, Classifier | Writer)
    return replace(row, window=32)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The loaded checkpoint of a row that reads short windows."""

    @cache
    def found(name: str) -> Checkpoint:
        folder = make(tmp_path_factory.mktemp(name), name)
        pin(folder, name)
        return load(folder, short(name))

    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pinned version folder of Llama Guard 3."""
    pin(make(tmp_path, "llama-guard-3"), "llama-guard-3")
    return tmp_path
