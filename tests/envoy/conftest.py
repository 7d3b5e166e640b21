"""One rig for all tests of a worker that want it: it starts once and is left as it was found."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from safeguards_extproc.local.triton import available
from tests.envoy.rig import Rig, running


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    """Envoy, Triton, filters and upstreams."""
    if why := available():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="safeguards-rig-") as folder, running(Path(folder)) as started:
        yield started
