"""For every test: gRPC without its fork handlers, and one rig a worker for those that want it.

Before anything imports gRPC: its fork handlers may hang or abort a child that starts another program (Envoy).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from safeguards_extproc.core import COMPILED

if TYPE_CHECKING:
    from tests.envoy.rig import Rig

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# How long an example takes says something about the machine, not about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

QUICK = "not real and not long"
"""What `make check` selects."""

_LEFT_OUT = re.compile(r"^pytestmark = .*(?:\n .*)*pytest\.mark\.(?:real|long)\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A module of which no test would be selected is not imported: torch and the SDKs take longer than quick tests."""
    if config.option.markexpr == QUICK and collection_path.suffix == ".py":
        return True if _LEFT_OUT.search(collection_path.read_text(encoding="utf-8")) else None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where the hot path is compiled nobody can put a function, a subclass or a stand-in into it from outside."""
    compiled = pytest.mark.skip(reason="compiled: nothing can be put in its place, nothing counted")
    for item in items:
        if COMPILED and item.get_closest_marker("interpreted"):
            item.add_marker(compiled)


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    """Envoy, Triton, filters and upstreams. It starts once and is left as it was found."""
    from safeguards_extproc.local.triton import available
    from tests.envoy.rig import running

    if why := available():
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="safeguards-rig-") as folder, running(Path(folder)) as started:
        yield started
