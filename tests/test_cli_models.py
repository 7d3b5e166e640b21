"""The command `models fetch`: what it says, and how it ends."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from safeguards_extproc.cli import app


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository of one file, and its digest beside it."""
    (tmp_path / "source" / "screen").mkdir(parents=True)
    (tmp_path / "source" / "screen" / "config.pbtxt").write_bytes(b"name\n")
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'name').hexdigest()}  screen/config.pbtxt\n")
    return tmp_path / "source"


def said(source: Path, *arguments: str) -> Result:
    folder, sums = source.parent / "models", source.parent / "SHA256SUMS"
    return CliRunner().invoke(app, ["models", "fetch", str(source), str(folder), "--digests", str(sums), *arguments])


def test_a_wrong_digest_ends_with_1(source: Path) -> None:
    """So that the init container fails and Triton does not start."""
    found = said(source)
    assert 1 == found.exit_code
    assert "PROBLEM  screen/config.pbtxt has the SHA-256" in found.output


def test_the_right_files_end_with_0(source: Path) -> None:
    """Counts for people, and as JSON."""
    (source / "screen" / "config.pbtxt").write_bytes(b"name")
    assert "fetched  1" in said(source).output
    found = said(source, "--json")
    assert 0 == found.exit_code
    assert {"fetched": 0, "kept": 1, "bytes": 0, "problems": {}} == json.loads(found.output)


def test_digests_that_cannot_be_read_are_named(source: Path) -> None:
    """A mistake of the operator is said, without a traceback."""
    (source.parent / "SHA256SUMS").unlink()
    assert "SHA256SUMS: cannot be read" in str(said(source).exception)
