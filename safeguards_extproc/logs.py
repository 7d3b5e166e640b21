"""What the service says in its logs: JSON lines.

The one rule: nothing a client or a model wrote gets out. Values are short, of plain types, and no error speaks, only
its type and where it was raised.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog

LONGEST_VALUE = 200
_PLAIN = (bool, int, float, type(None))


def plain_only(_: Any, __: str, fields: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Structlog processor: what is no number, truth value or short one-line string is replaced by its type and length.

    An error in `exc_info` becomes its type and where it was raised; its message may quote what it failed on.
    """
    error = fields.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        fields["error"], fields["where"] = describe(error)
    for name, value in fields.items():
        if isinstance(value, enum.Enum):
            fields[name] = value = value.value
        if isinstance(value, str):
            if len(value) > LONGEST_VALUE or not value.isprintable():
                fields[name] = f"<str, {len(value)}>"
        elif not isinstance(value, _PLAIN):
            size = f", {len(value)}" if hasattr(value, "__len__") else ""
            fields[name] = f"<{type(value).__name__}{size}>"
    return fields


def describe(error: BaseException) -> tuple[str, str]:
    """The type of an error, and the last places it came through, innermost last: "stream.py:81 run; ..."."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    where = "; ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames)
    return type(error).__name__, where[-LONGEST_VALUE:]


class LibraryLogs(logging.Handler):
    """What libraries log, without their words, which may quote a client's: who, where, how bad, and which error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a library's record on."""
        error, where = describe(record.exc_info[1]) if record.exc_info and record.exc_info[1] else ("", "")
        place = f"{record.filename}:{record.lineno}"
        log = structlog.get_logger()
        log.log(record.levelno, "library", library=record.name, place=place, error=error, where=where)


class Lines:
    """A file for logs that never fails its writer: on a full disk lines are lost, the service goes on."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write and flush."""
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text)
            self._file.flush()

    def flush(self) -> None:
        """Nothing waits."""


def configure_logging(level: str = "info", file: TextIO | None = None) -> None:
    """Write logs as JSON lines to `file`, standard error if none, at or above `level` ("debug" to "critical";
    ValueError if unknown).

    Takes over what libraries log and what ends a thread or the process.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"unknown log level {level!r}")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            plain_only,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, Lines(file or sys.stderr))),
    )
    logging.root.handlers[:] = [LibraryLogs()]
    logging.root.setLevel(max(number, logging.WARNING))
    logging.captureWarnings(True)
    log = structlog.get_logger()
    sys.excepthook = lambda _, error, __: log.critical("crashed", exc_info=error)
    threading.excepthook = lambda crash: log.critical("thread crashed", exc_info=crash.exc_value)
