"""How far an evaluation has come: a bar on a terminal, lines elsewhere, and what is known by now as soon as it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from safeguards_extproc.evaluate.report import Report
from safeguards_extproc.evaluate.robustness import Said

EVERY_S = 15.0
"""How often a line is written where there is no terminal."""


class Pace:
    """Seconds that are left, from how long what is done took. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began, self._all, self._done = clock, clock(), 0, 0
        self.texts = 0

    def begins(self, chars: int) -> None:
        """So many characters are to be played from now on."""
        self._began, self._all = self._clock(), chars

    def played(self, chars: int) -> None:
        """Another text of so many characters."""
        self._done += chars
        self.texts += 1

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self._clock() - self._began

    @property
    def rate(self) -> float:
        """Texts a second."""
        return self.texts / self.seconds if self.seconds else 0.0

    @property
    def share(self) -> float:
        """Of all characters."""
        return self._done / self._all if self._all else 1.0

    @property
    def left_s(self) -> float | None:
        """None while nothing is done."""
        return self.seconds * (self._all - self._done) / self._done if self._done else None


class Telling:
    """run.Listener for people. `keep` is given every report as soon as it is known."""

    def __init__(self, console: Console, keep: Callable[[Report], None], pace: Pace | None = None) -> None:
        self._console, self._keep, self._pace = console, keep, pace or Pace()
        self._said_s = 0.0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=1.0, told="")

    def __enter__(self) -> Telling:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begins(self, chars: int) -> None:
        """See run.Listener."""
        self._pace.begins(chars)

    def played(self, step: str, done: int, texts: int, chars: int) -> None:
        """See run.Listener."""
        if not chars:
            return
        self._pace.played(chars)
        told = f"{done} of {texts} texts, {self._pace.rate:.0f} a second{_left(self._pace.left_s)}"
        self._bar.update(self._task, description=step, completed=self._pace.share, told=told)
        if not self._console.is_terminal and self._pace.seconds - self._said_s >= EVERY_S:
            self._said_s = self._pace.seconds
            self._line(f"{step}: {told}")

    def found(self, report: Report, said: Said | None) -> None:
        """See run.Listener."""
        self._keep(report)
        if said is not None and report.robustness is not None:
            kept = ", ".join(f"{row.label} {row.kept:.3f}" for row in said.labels if row.kept is not None)
            count = f"{len(report.robustness.variants)} of {report.robustness.ways}"
            self._line(
                f"{count}, {said.group}: {said.name}: recall kept: {kept or 'unknown'}{_left(self._pace.left_s)}"
            )

    def _line(self, text: str) -> None:
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f", about {seconds:.0f} s left" if seconds < 100 else f", about {seconds / 60:.0f} min left"
