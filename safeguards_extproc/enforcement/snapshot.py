"""Where identities stand, in memory: everyone who is not in good standing, and nobody else.

Who fills it (Redis, the ledger) is another's business. What is known stays known until something newer is said: a
store that is gone forgives nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import msgspec

from safeguards_extproc.core.account import IN_GOOD_STANDING, STEPS, Standing, Step


class Snapshot:
    """ports.Standings. `put` and `reload` are called by whoever keeps it up to date, from the loop's thread."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since the epoch."""
        self._clock = clock
        self._held: dict[str, Standing] = {}

    def of(self, pseudonyms: Sequence[str]) -> Standing:
        """The most severe step of these identities, with all that is taken from any of them: the smallest share, the
        models, the tools, the flags. A step whose time is over does not count; flags stay until they are taken back."""
        found = [held for name in pseudonyms if (held := self._held.get(name)) is not None]
        if not found:
            return IN_GOOD_STANDING
        now = self._clock()
        live = [one if not one.until or one.until > now else _over(one) for one in found]
        worst = max(live, key=lambda one: (STEPS[one.step], one.until == 0, one.until))
        if len(live) == 1:
            return worst
        return replace(
            worst,
            share=min(one.share for one in live),
            models=frozenset().union(*(one.models for one in live)),
            tools=any(one.tools for one in live),
            flags=frozenset().union(*(one.flags for one in live)),
        )

    def put(self, changes: Iterable[tuple[str, Standing]]) -> None:
        """Identities now stand so. What is older than what is known is passed over."""
        for name, standing in changes:
            known = self._held.get(name)
            if known is not None and known.revision > standing.revision:
                continue
            if good(standing):
                self._held.pop(name, None)
            else:
                self._held[name] = standing

    def reload(self, everyone: Mapping[str, Standing]) -> None:
        """This is all there is; whoever is not in it is in good standing."""
        self._held = {name: standing for name, standing in everyone.items() if not good(standing)}

    @property
    def held(self) -> Mapping[str, Standing]:
        """Who is not in good standing, by pseudonym; steps whose time is over included."""
        return self._held


def good(standing: Standing) -> bool:
    """Whether there is nothing to know of this identity."""
    return standing.step is Step.GOOD and not standing.flags


def _over(standing: Standing) -> Standing:
    return Standing(flags=standing.flags, revision=standing.revision)


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Standing)


def encode(standing: Standing) -> str:
    """A standing as JSON, the same for the same standing."""
    return _ENCODER.encode(standing).decode()


def decode(raw: bytes | str) -> Standing | None:
    """What `encode` made; None where something else came, from a newer version for example."""
    try:
        return _DECODER.decode(raw)
    except msgspec.MsgspecError:
        return None
