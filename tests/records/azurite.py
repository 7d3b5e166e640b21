"""Azurite, Microsoft's server of Azure's storage API: installed once by npm, into .cache/azurite."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "azurite"
VERSION = "3.37.0"

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that every Azurite has, and its key, which is no secret."""

_OPTIONS = ("--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", "0", "--disableTelemetry")
_PROGRAM = "node_modules/azurite/dist/src/blob/main.js"


def command() -> list[str]:
    """What starts its blob service, on a port that it says; skips where it cannot be had."""
    installed = shutil.which("azurite-blob")
    if installed is not None:
        return [installed, *_OPTIONS, "--skipApiVersionCheck"]
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs Azurite: put azurite-blob on PATH (npm install -g azurite), or install npm for the tests")
    folder = CACHE / VERSION
    if not (folder / _PROGRAM).exists():
        _install(npm, folder)
    return [node, str(folder / _PROGRAM), *_OPTIONS, "--skipApiVersionCheck"]


def _install(npm: str, folder: Path) -> None:
    partial = CACHE / f"{VERSION}.{os.getpid()}"
    partial.mkdir(parents=True)
    wanted = [f"--prefix={partial}", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            [npm, "install", *wanted, f"azurite@{VERSION}"], capture_output=True, text=True, timeout=150
        )
        if done.returncode:
            pytest.skip(f"npm could not install azurite@{VERSION}: {done.stderr[-500:]}")
        try:
            partial.rename(folder)
        except OSError:
            assert (folder / _PROGRAM).exists()  # another test was first
    finally:
        shutil.rmtree(partial, ignore_errors=True)
