"""Whether an exchange that begins is turned away because too much waits already.

What Envoy says waits in its buffers, in the kernel's and in ours until the loop comes to it. A PING that we send comes
back behind all of that, so the time until its answer is how long a message waits now, wherever it waits and whatever
keeps us: no count of streams says that, for most of them wait for a model server and cost nothing. What is read goes
ahead of turns of long texts (`run_queue.py`), so how long these wait is added.

A burst is not an overload: what waits shrinks by itself. So nothing is shed until messages have waited too long for
`PATIENCE_S`. From then on, whoever comes while they do is shed. The decision is made when its first message is read,
with the newest answer at hand, so there is no need to foresee anything: no share to steer, and no loop that swings.
"""

from __future__ import annotations

from collections.abc import Callable

EVERY_S = 0.05
"""Between two PINGs of a connection on which something comes."""

PATIENCE_S = 0.5
"""How long messages may wait too long before anything is shed."""

CALM_S = 1.0
"""How long nothing may have waited too long before a burst is one again."""


class Shedding:
    """One for a process. `above_s` is how long a message may wait; 0 sheds nothing. `told` hears each wait, seconds."""

    __slots__ = ("_above_s", "_high", "_late", "_over", "_since", "_told")

    def __init__(self, above_s: float, told: Callable[[float], None] = lambda _: None) -> None:
        self._above_s, self._told = above_s, told
        self._since: float | None = None  # messages have waited too long since then
        self._high = 0.0  # when one last had
        self._over = self._late = False

    def waited(self, wait_s: float, at: float) -> None:
        """A PING that was answered at `at` had waited so long."""
        self._told(wait_s)
        self._late = self._above_s > 0 and wait_s > self._above_s
        if self._late:
            self._high = at
            if self._since is None:
                self._since = at
            self._over = self._over or at - self._since >= PATIENCE_S
        elif not self._over or at - self._high > CALM_S:
            self._since, self._over = None, False

    def sheds(self, at: float) -> bool:
        """Whether an exchange that begins at `at` is shed. What was heard a while ago says nothing."""
        return self._over and self._late and at - self._high < 2 * EVERY_S + self._above_s
