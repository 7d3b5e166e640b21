"""Who asks, by a policy: raw values where the policy finds them, pseudonyms from here on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from safeguards_extproc.core.account import NAMES, NOBODY, NOBODY_KNOWN, Identity, Who
from safeguards_extproc.core.events import Opened
from safeguards_extproc.enforcement.pseudonyms import Key, Named, Pseudonyms
from safeguards_extproc.enforcement.sketch import Sketcher
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy import identify
from safeguards_extproc.policy.account_document import IdentitySpec

if TYPE_CHECKING:
    from safeguards_extproc.enforcement.tokens import Tokens

CALLERS = ("tenant", "organisation", "key")
"""In whom an end user may be known, in the order in which they make up its scope."""

AS_THEY_ARE = frozenset(("model", "region"))
"""Identities that name nobody."""


def who(
    spec: IdentitySpec,
    beside: Path,
    keys: Sequence[Key],
    clock: Callable[[], float] = time.time,
    *,
    sketches: bool = False,
) -> Who:
    """Who asks by a policy that lies in the folder `beside`; what is asked has `sketches` under the first key if that
    is wanted. Raises ConfigError for a key set that cannot be used."""
    sources = identify.sources(spec)
    if not sources.places:
        return NOBODY_KNOWN
    tokens: Tokens | None = None
    if spec.tokens is not None and sources.reads_claims:
        from safeguards_extproc.enforcement.tokens import Tokens  # PyJWT is 4 MB, and most policies read no claims

        tokens = Tokens(spec.tokens, beside, clock)
    return Asker(sources, Pseudonyms(keys, clock), tokens, Sketcher(keys[0].secret).sketch if sketches else None)


class Asker:
    """A `core.account.Who`."""

    def __init__(
        self,
        sources: identify.Sources,
        pseudonyms: Pseudonyms,
        tokens: Tokens | None,
        sketch: Callable[[str], int] | None,
    ) -> None:
        self.wants, self.sketch = sources.wants, sketch
        self._sources, self._pseudonyms, self._tokens = sources, pseudonyms, tokens

    def identify(self, fields: Mapping[str, str], opened: Opened, told: Mapping[str, str]) -> Identity:
        tokens = self._tokens
        said: list[bool] = []

        def claims(token: str) -> Mapping[str, object]:
            found = tokens.claims(token) if tokens is not None else {}
            said.append(bool(found))
            return found

        found = self._sources.find(identify.Asked(fields, opened, told, claims))
        token = "" if tokens is None else "absent" if not said else "valid" if all(said) else "invalid"
        if not found:
            return NOBODY if not token else Identity(token=token)
        names = self._named(found)
        current = {name: found[name] if name in AS_THEY_ARE else names[name].current for name in found}
        former = {name: named.former for name, named in names.items() if named.former}
        return Identity(current, former, token)

    def pseudonym(self, kind: str, value: str, callers: Mapping[str, str], *, body: bool | None = None) -> Named:
        """The pseudonyms of a value that is known: of an end user, as one of `callers`, raw values by kind. `body`:
        whether the request's body says them, where the policy finds them there and elsewhere.

        Raises ConfigError for a kind that has none, and where `body` makes a difference and is None."""
        if kind not in NAMES or kind in AS_THEY_ARE:
            raise ConfigError(f"a {kind} has no pseudonym", hint="tenant, organisation, key and end_user have")
        said = {name: self._sources.raw(name, each, body) for name, each in {**callers, kind: value}.items()}
        return self._named(said)[kind]

    def _named(self, found: Mapping[str, str]) -> dict[str, Named]:
        name = self._pseudonyms.name
        named = {kind: name(kind, found[kind]) for kind in CALLERS if kind in found}
        if "end_user" in found:
            within = {kind: each for kind, each in named.items() if kind in self._sources.within}
            named["end_user"] = name("end_user", found["end_user"], within)
        return named
