"""Who asks, for each policy that comes into force: a policy is loaded together with the key files that it needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import structlog

from safeguards_extproc.core.account import NOBODY_KNOWN, Who
from safeguards_extproc.enforcement.campaigns import reads
from safeguards_extproc.enforcement.pseudonyms import Key, random_key, read_keys
from safeguards_extproc.enforcement.who import who
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.compile import CompiledPolicy

log = structlog.get_logger()

KEPT = 4
"""Policies whose askers are kept: one may be in force while the next is being loaded."""

NAMELESS = frozenset({"region"})
"""Identities of which no pseudonym is made."""


class Digested(Protocol):
    """A policy, as far as it is told from others."""

    @property
    def digest(self) -> str: ...


class Askers:
    """Says who asks by the policy in force. `keys` is the file of keys for pseudonyms; without it a key of this process
    is used, and `alone` says that nobody else has to know the pseudonyms. `load` reads a policy, `clock` gives seconds
    since the epoch."""

    def __init__(
        self,
        keys: Path | None,
        load: Callable[[Path], CompiledPolicy],
        *,
        alone: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file, self._load, self._alone, self._clock = keys, load, alone, clock
        self._own: Key | None = None
        self._made: dict[str, Who] = {}
        self.files: Sequence[Path] = (keys,) if keys is not None else ()

    def load(self, path: Path) -> CompiledPolicy:
        """The policy in a file, and who asks by it. Raises ConfigError if it or a key file cannot be used; whoever
        asks by the policy before is then named as before."""
        policy = self._load(path)
        spec = policy.document.identity
        named = any(getattr(spec, name) for name in ("tenant", "organisation", "key", "end_user"))
        keys, wanted = self._keys(path, named=named), reads(policy.document.campaigns.detect)
        made = who(spec, path.parent, keys, self._clock, sketches=wanted)
        others = [(digest, each) for digest, each in self._made.items() if digest != policy.digest]
        self._made = dict([*others[1 - KEPT :], (policy.digest, made)])
        sets = (path.parent / spec.tokens.jwks,) if spec.tokens is not None else ()
        self.files = (*((self._file,) if self._file is not None else ()), *sets)
        return policy

    def of(self, policy: Digested) -> Who:
        """Who asks by a policy that was loaded here."""
        return self._made.get(policy.digest, NOBODY_KNOWN)

    def _keys(self, path: Path, *, named: bool) -> Sequence[Key]:
        if self._file is not None:
            return read_keys(self._file)
        if named and not self._alone:
            hint = "give --identity-keys FILE, or a worker or a restart would name everyone anew"
            raise ConfigError("identity needs keys that all workers share", where=str(path), hint=hint)
        if self._own is None:
            self._own = random_key()
            if named:
                log.warning("pseudonyms last as long as this process, and no other knows them", give="--identity-keys")
        return (self._own,)
