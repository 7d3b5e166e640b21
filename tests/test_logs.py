"""What operators read in the logs, and what they must never read there."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from safeguards_extproc.core.decision import Action
from safeguards_extproc.logs import LONGEST_VALUE, configure_logging, plain_only

SECRET = "my card is 4111 1111 1111 1111"


@pytest.fixture
def logged() -> Iterator[Any]:
    """Configured logging, undone afterwards; call it for the lines so far."""
    file = io.StringIO()
    handlers, level = list(logging.root.handlers), logging.root.level
    hooks = sys.excepthook, threading.excepthook
    configure_logging("info", file)
    yield lambda: [json.loads(line) for line in file.getvalue().splitlines()]
    structlog.reset_defaults()
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks


def test_logs_are_json_with_level_and_time(logged: Any) -> None:
    """One line, machine-readable; what is below the level is not written."""
    log = structlog.get_logger()
    log.debug("unseen")
    log.warning("breaker", model="screen", state="open", after=5, action=Action.BLOCK)
    (line,) = logged()
    assert line.pop("time").endswith("Z")
    expected = {
        "event": "breaker",
        "level": "warning",
        "model": "screen",
        "state": "open",
        "after": 5,
        "action": "block",
    }
    assert expected == line


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (b"abc", "<bytes, 3>"),
        ("x" * (LONGEST_VALUE + 1), f"<str, {LONGEST_VALUE + 1}>"),
        ("two\nlines", "<str, 9>"),
        (["a", "b"], "<list, 2>"),
        ({"a": 1}, "<dict, 1>"),
        (ValueError(SECRET), "<ValueError>"),
        (None, None),
        (1.5, 1.5),
    ],
)
def test_values_that_could_be_text_are_not_written(given: object, written: object) -> None:
    """Bytes, long strings, several lines, containers and errors are told by type and length."""
    assert plain_only(None, "info", {"event": "e", "value": given}) == {"event": "e", "value": written}


def test_an_error_is_told_by_type_and_place(logged: Any) -> None:
    """Its message may quote what it failed on, so it stays unsaid."""
    try:
        raise ValueError(SECRET)
    except ValueError:
        structlog.get_logger().exception("scoring broke")
    (line,) = logged()
    assert line["error"] == "ValueError"
    assert "test_logs.py:" in line["where"]
    assert SECRET not in json.dumps(line)


async def fails() -> None:
    SECRET.encode("utf-16").decode("ascii")


def test_libraries_cannot_quote_a_client(logged: Any) -> None:
    """A forgotten task, a library's own error, a warning, a thread's and the process's end: who and where, no words."""

    async def forget() -> None:
        task = asyncio.create_task(fails())
        await asyncio.wait([task])

    asyncio.run(forget())
    logging.getLogger("grpc").error("cannot parse %s", SECRET)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(SECRET, RuntimeWarning, stacklevel=1)
    thread = threading.Thread(target=lambda: SECRET.index("?"))
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError(SECRET), None)
    lines = logged()
    assert [line.get("library", line["event"]) for line in lines] == [
        "asyncio",
        "grpc",
        "py.warnings",
        "thread crashed",
        "crashed",
    ]
    assert lines[0]["error"] == "UnicodeDecodeError"
    assert "4111" not in json.dumps(lines)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.usefixtures("logged")
def test_a_full_disk_does_not_hurt_who_logs() -> None:
    """The line is lost, nothing is raised."""
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"))
    configure_logging("info", full)
    structlog.get_logger().warning("breaker")
    with contextlib.suppress(OSError):
        full.close()


def test_an_unknown_level_is_refused() -> None:
    """Before anything is changed."""
    with pytest.raises(ValueError, match="unknown log level"):
        configure_logging("loud")
