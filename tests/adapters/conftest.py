"""Servers for the tests of adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.adapters.kserve_fake import KServeFake


@pytest.fixture
async def server() -> AsyncIterator[KServeFake]:
    """A KServe server."""
    fake = KServeFake()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def second() -> AsyncIterator[KServeFake]:
    """Another one."""
    fake = KServeFake()
    await fake.start()
    yield fake
    await fake.stop()
