"""Captures at the command line: a key, what others captured, what a file holds, and its end."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safeguards_extproc.cli import app
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import capture
from safeguards_extproc.replay.traffic import Answer, Exchange, Message, write


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in ("capture", *arguments)])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys.yaml"
    assert 0 == run("key", path, "--id", "mine").exit_code
    return path


@pytest.fixture
def traffic(tmp_path: Path) -> Path:
    path = tmp_path / "traffic.jsonl"
    write(path, [Exchange(id, "openai_chat", [Message("user", "Hi")], answer=Answer("Hello")) for id in "ab"])
    return path


def test_a_key_is_its_owners_alone(key: Path) -> None:
    """And is never written over."""
    assert 0o600 == stat.S_IMODE(key.stat().st_mode)
    assert ["mine"] == [each.id for each in capture.read_keys(key)]
    assert "cannot be written" in str(run("key", key).exception)


def test_what_others_captured_becomes_a_capture(key: Path, traffic: Path, tmp_path: Path) -> None:
    """Whose head everybody can read, and whose content only who has the key; no text is shown."""
    target = tmp_path / "one.capture"
    assert "2 exchanges, until" in run("import", traffic, target, "--key", key, "--keep", "2h").output
    (row,) = json.loads(run("show", target, "--key", key, "--json").output)
    assert (2, "closed", "traffic.jsonl", "mine") == (row["exchanges"], row["state"], row["source"], row["key"])
    (row,) = json.loads(run("show", target, "--json").output)
    assert "exchanges" not in row
    head = capture.head_of(target)
    assert 7200 == round(head.expires - head.created)


def test_an_import_that_fails_leaves_nothing(key: Path, traffic: Path, tmp_path: Path) -> None:
    """Half a capture would pass for one that was cut."""
    traffic.write_text(traffic.read_text() + "xyzzy\n")
    target = tmp_path / "one.capture"
    failed = run("import", traffic, target, "--key", key)
    assert isinstance(failed.exception, ConfigError)
    assert "traffic.jsonl:3" in str(failed.exception)
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "pcap"], "one of har, tap, samples, conversations"),
        (["--keep", "ever"], "must be a time"),
        (["--key", "absent.yaml"], "capture key FILE"),
    ],
)
def test_mistakes_say_what_helps(key: Path, traffic: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    """As everywhere."""
    failed = run("import", traffic, tmp_path / "one.capture", "--key", key, *arguments)
    assert said in str(failed.exception)
    assert "does not end in .capture" in str(run("import", traffic, tmp_path / "one", "--key", key).exception)


def test_what_has_expired_is_removed(key: Path, tmp_path: Path) -> None:
    """And nothing else."""
    first, now = capture.read_keys(key)[0], time.time()
    for name, expires in (("old", now - 1), ("new", now + 60)):
        head = capture.Head(name, now - 60, expires, first.id)
        capture.Writer(tmp_path / f"{name}.capture", head, first).close()
    (row,) = json.loads(run("show", tmp_path / "old.capture", "--key", key, "--json").output)
    assert "expired" == row["state"]
    (removed,) = json.loads(run("purge", tmp_path, "--json").output)
    assert removed["file"].endswith("old.capture")
    assert ["new.capture"] == [path.name for path in tmp_path.glob("*.capture")]
