"""The policy in force, and how it changes: whole snapshots only; a bad file keeps the old one and says so.

A stream takes `current` when it begins and keeps it (law 7). The file is looked at every second, so that a mounted
ConfigMap or a `kubectl cp` is enough; SIGHUP looks at once, whether the file seems changed or not.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import structlog

from safeguards_extproc.core.decision import Policy
from safeguards_extproc.errors import ConfigError

log = structlog.get_logger()

LOOK_EVERY_S = 1.0

LONGEST = 200
"""Characters of a problem that are logged."""

_NEXT = re.compile(r"\n(?! )")  # what is indented belongs to the problem before it


class Observer(Protocol):
    """Who wants to know (telemetry.Metrics)."""

    def policy_loaded(self, digest: str, at: float) -> None: ...

    def policy_failed(self) -> None: ...


Snapshot = TypeVar("Snapshot", bound=Policy)
Stamp = tuple[int, int, int]


class PolicyStore(Generic[Snapshot]):
    """Holds the snapshot. `load` reads and checks a file; ConfigError if it cannot be used."""

    def __init__(
        self,
        path: Path,
        load: Callable[[Path], Snapshot],
        observer: Observer,
        beside: Callable[[], Sequence[Path]] = tuple,
    ) -> None:
        """Loads the first snapshot. Raises ConfigError: a filter does not start without a policy. `beside` are other
        files that `load` read last; a change of one is a change of the policy."""
        self._path, self._load, self._observer, self._beside = path, load, observer, beside
        before = self._look()
        self.current: Snapshot = load(path)
        self._seen = self._seen_since(before)
        self.stale = False
        observer.policy_loaded(self.current.digest, time.time())
        log.info("policy loaded", path=str(path), digest=self.current.digest)

    async def reload(self) -> bool:
        """Read the file again; whether it is in force now. Compiling runs in a thread: streams go on meanwhile."""
        self._seen = before = self._look()
        try:
            policy = await asyncio.to_thread(self._load, self._path)
        except ConfigError as error:
            self.stale = True
            self._observer.policy_failed()
            for problem in _problems(error, self._path):
                log.error("policy not loaded, the old one stays", path=str(self._path), problem=problem)
            return False
        self.stale, self._seen = False, self._seen_since(before)
        if policy.digest != self.current.digest:
            self.current = policy
            log.info("policy loaded", path=str(self._path), digest=policy.digest)
        self._observer.policy_loaded(policy.digest, time.time())
        return True

    async def watch(self) -> None:
        """Reload whenever the file has changed; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._look() != self._seen:
                await self.reload()

    def _look(self) -> dict[Path, Stamp]:
        """Changes whenever a file does, a swapped symbolic link (as Kubernetes mounts a ConfigMap) included."""
        return {path: _stamp(path) for path in (self._path, *self._beside())}

    def _seen_since(self, before: dict[Path, Stamp]) -> dict[Path, Stamp]:
        """The files as they were before they were read; those that only reading has named, as they are now."""
        return {path: before.get(path, stamp) for path, stamp in self._look().items()}


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _problems(error: ConfigError, path: Path) -> list[str]:
    """What an error says, one problem each, as a log can show it: a line of LONGEST characters at most."""
    told = _NEXT.split(str(error).replace(str(path), path.name))
    return [" ".join(problem.split())[:LONGEST] for problem in told]
