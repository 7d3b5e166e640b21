"""What a kubelet does with a pod: volumes, containers in order, probes, restarts, and the end.

The one rule: a pod is ready when every container is, by its probes, and from the moment it is told to end it is not.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.platform import volumes
from tests.platform.container import Container, Mounted, Place

TICK_S = 0.05
BACKOFF_S = (0.0, 10.0, 20.0, 40.0)
"""Before a container is started again; the kubelet goes on to five minutes."""


@dataclass(slots=True)
class Probe:
    """A probe, and how its last answers were."""

    spec: Mapping[str, Any]
    next: float
    good: int = 0
    bad: int = 0

    def told(self, well: bool, now: float) -> None:
        self.good, self.bad = (self.good + 1, 0) if well else (0, self.bad + 1)
        self.next = now + float(self.spec.get("periodSeconds", 10))

    @property
    def passed(self) -> bool:
        return self.good >= int(self.spec.get("successThreshold", 1))

    @property
    def failed(self) -> bool:
        return self.bad >= int(self.spec.get("failureThreshold", 3))


@dataclass(slots=True)
class State:
    """A container's life since its last start."""

    started: bool = False
    ready: bool = False
    probes: dict[str, Probe] = field(default_factory=dict)
    again: float = 0.0


class Pod:
    """A pod that runs from its making on; `ready_since` is 0.0 while it is not ready."""

    def __init__(
        self,
        name: str,
        spec: Mapping[str, Any],
        labels: Mapping[str, str],
        place: Place,
        found: volumes.Found,
        make: Callable[[Mapping[str, Any], Sequence[Mounted]], Container],
        claims: Path,
    ) -> None:
        self.name, self.spec, self.labels, self.place = name, spec, dict(labels), place
        self._found, self._claims = found, claims
        self.folders = {row["name"]: self._volume(row) for row in spec.get("volumes", [])}
        first = [make(row, self._mounts(row)) for row in spec.get("initContainers", [])]
        self.before = [one for one in first if one.spec.get("restartPolicy") != "Always"]
        self.beside = [one for one in first if one.spec.get("restartPolicy") == "Always"]
        self.containers = [make(row, self._mounts(row)) for row in spec["containers"]]
        self.ready_since, self.problem, self.ended = 0.0, "", False
        self._state = {one.name: State() for one in [*self.beside, *self.containers]}
        self._end, self._at_once = threading.Event(), False
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return self.place.host.address

    @property
    def terminating(self) -> bool:
        return self._end.is_set()

    @property
    def ready(self) -> bool:
        return self.ready_since > 0 and not self.terminating

    def container(self, name: str) -> Container:
        """The container of this name."""
        return next(one for one in [*self.containers, *self.beside] if one.name == name)

    def delete(self) -> None:
        """Begin its end; it is no endpoint from now on."""
        self._end.set()

    def kill(self) -> None:
        """End it without hooks and without grace."""
        self._at_once = True
        self._end.set()

    def wait(self, seconds: float) -> None:
        """Until it is gone."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"{self.name} did not end within {seconds} s"

    def renew(self) -> None:
        """Write volumes of ConfigMaps and Secrets anew, as the kubelet does within a minute of a change."""
        for row in self.spec.get("volumes", []):
            if (files := volumes.contents(row, self._found)) is not None:
                volumes.write(self.folders[row["name"]], files, self._group)

    @property
    def _group(self) -> int:
        return int(self.place.security.get("fsGroup", -1))

    def _volume(self, row: Mapping[str, Any]) -> Path:
        if (files := volumes.contents(row, self._found)) is not None:
            path = self.place.folder / f"volume-{row['name']}"
            volumes.write(path, files, self._group)
            return path
        if "persistentVolumeClaim" in row:
            return volumes.shared(self._claims, row["persistentVolumeClaim"]["claimName"], self._group)
        assert "emptyDir" in row, f"a volume of an unknown kind: {sorted(row)}"
        return volumes.shared(self.place.folder, f"volume-{row['name']}", self._group)

    def _mounts(self, row: Mapping[str, Any]) -> list[Mounted]:
        found = []
        for mount in row.get("volumeMounts", []):
            source = self.folders[mount["name"]]
            part = mount.get("subPath") or mount.get("subPathExpr", "").replace("$(POD_NAME)", self.name)
            if part and not (source / part).is_file():
                source = volumes.shared(source, part, self._group)
            elif part:
                source = source / part
            found.append(Mounted(mount["mountPath"], source, bool(mount.get("readOnly"))))
        return found

    def _live(self) -> None:
        try:
            for one in self.before:
                code = one.run(120)
                if code:
                    self.problem = f"{one.name} ended with {code}"
                    return
            while not self._end.wait(TICK_S):
                now = time.monotonic()
                for one in [*self.beside, *self.containers]:
                    if one in self.containers and not all(self._state[each.name].started for each in self.beside):
                        continue
                    self._look(one, self._state[one.name], now)
                ready = all(state.ready for state in self._state.values())
                self.ready_since = (self.ready_since or time.monotonic()) if ready else 0.0
            if not self._at_once:
                self._stop()
        except Exception as error:  # noqa: BLE001 (said where the pod is waited for)
            self.problem = f"{type(error).__name__}: {error}"
        finally:
            self.ready_since = 0.0
            for one in [*self.before, *self.containers, *self.beside]:
                one.kill()
            self.place.host.leave()
            self.ended = True

    def _look(self, one: Container, state: State, now: float) -> None:
        """One look at a container: start it, start it again, ask its probes."""
        if one.part is None or one.code is not None:
            if one.part is not None and state.started is not None and not state.again:
                state.again = now + BACKOFF_S[min(one.restarts, len(BACKOFF_S) - 1)]
                state.started = state.ready = False
            if now < state.again:
                return
            if one.part is not None:
                one.kill()
                one.restarts += 1
            one.start()
            state.again, state.started, state.ready = 0.0, False, False
            state.probes = {
                kind: Probe(one.spec[kind], now + float(one.spec[kind].get("initialDelaySeconds", 0)))
                for kind in ("startupProbe", "readinessProbe", "livenessProbe")
                if kind in one.spec
            }
        probes = state.probes
        startup = probes.get("startupProbe")
        if not state.started:
            if startup is not None and now >= startup.next:
                startup.told(one.asks(startup.spec), now)
                if startup.failed:
                    one.kill()
            state.started = startup is None or startup.passed
            if not state.started:
                return
        if (readiness := probes.get("readinessProbe")) is None:
            state.ready = True
        elif now >= readiness.next:
            readiness.told(one.asks(readiness.spec), now)
            state.ready = readiness.passed or (state.ready and not readiness.failed)
        if (liveness := probes.get("livenessProbe")) is not None and now >= liveness.next:
            liveness.told(one.asks(liveness.spec), now)
            if liveness.failed:
                one.kill()

    def _stop(self) -> None:
        """Hooks, then SIGTERM, then SIGKILL once the grace is over; sidecars go last, in the order that ends them."""
        deadline = time.monotonic() + float(self.spec.get("terminationGracePeriodSeconds", 30))

        def end(one: Container) -> None:
            if one.part is None or one.code is not None:
                return
            one.before_stop(deadline)
            one.signal(signal.SIGTERM)
            while one.code is None and time.monotonic() < deadline:
                time.sleep(TICK_S)

        for group in (self.containers, *([one] for one in reversed(self.beside))):
            threads = [threading.Thread(target=end, args=(one,), daemon=True) for one in group]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
