"""Names by which nobody is known outside a region: a keyed digest for each identity, under keys that can be rotated.

A pseudonym is the id of its key, a dot, and the first 16 bytes of HMAC-SHA256 (RFC 2104) in base32. The key differs
from region to region, so what one region keeps says nothing in another. The value itself is kept nowhere but in a cache
here.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from safeguards_extproc.errors import ConfigError

LEAST_KEY = 32
"""Bytes of a key, at the least: those of SHA-256."""

DIGEST = 16
"""Bytes of the digest that a pseudonym holds: two of a billion identities are the same once in 10^20 such regions."""

CACHED = 8192
"""Identities whose pseudonyms are kept at hand."""

LONGEST_CACHED = 512
"""Characters of a value that is kept at hand."""

LARGEST_FILE = 1 << 20

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_FIELDS = {"id", "key", "readable_until"}


@dataclass(frozen=True, slots=True)
class Key:
    """A secret and its name. `until` is when pseudonyms under it stop being known, seconds since the epoch."""

    id: str
    secret: bytes
    until: float = math.inf

    def __repr__(self) -> str:
        return f"Key({self.id!r})"


@dataclass(frozen=True, slots=True)
class Named:
    """A value's pseudonym, and those under former keys that are still readable, newest first."""

    current: str
    former: tuple[str, ...] = ()


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys in a file of YAML or JSON, the current one first. Raises ConfigError, which shows nothing of a key."""
    where = str(path)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LARGEST_FILE)
        written = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 (nothing but strings, lists and mappings)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"cannot be read: {reason}", where=where, hint="is the path right?") from None
    except UnicodeDecodeError:
        raise ConfigError("not UTF-8", where=where, hint="keys are written in base64") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError("not YAML", where=f"{where}:{mark.line + 1}" if mark else where) from None
    if not isinstance(written, list) or not written:
        raise ConfigError("holds no list of keys", where=where, hint="each has id, key and perhaps readable_until")
    keys = tuple(_key(entry, f"{where}: key {index + 1}") for index, entry in enumerate(written))
    if len({key.id for key in keys}) < len(keys):
        raise ConfigError("two keys have the same id", where=where, hint="an id says which key a pseudonym is under")
    if keys[0].until != math.inf:
        hint = "the first key makes new pseudonyms; put a new one before it"
        raise ConfigError("the first key has readable_until", where=where, hint=hint)
    return keys


def _key(entry: Any, where: str) -> Key:
    if not isinstance(entry, dict) or not entry.keys() <= _FIELDS or not {"id", "key"} <= entry.keys():
        raise ConfigError("is not a mapping of id, key and readable_until", where=where)
    id_, written = entry["id"], entry["key"]
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise ConfigError("its id is not 1 to 32 small letters, digits and hyphens", where=where)
    try:
        secret = base64.b64decode(written.encode("ascii"), validate=True) if isinstance(written, str) else b""
    except (ValueError, binascii.Error):
        raise ConfigError("its key is not base64", where=where, hint="openssl rand -base64 32 makes one") from None
    if len(secret) < LEAST_KEY:
        hint = "openssl rand -base64 32 makes one"
        raise ConfigError(f"its key has {len(secret)} bytes, {LEAST_KEY} are needed", where=where, hint=hint)
    return Key(id_, secret, _until(entry.get("readable_until"), where))


def _until(written: object, where: str) -> float:
    if written is None:
        return math.inf
    try:
        moment = datetime.fromisoformat(str(written))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        hint = "write 2027-01-31T00:00:00Z"
        raise ConfigError("readable_until is no time with its zone (RFC 3339)", where=where, hint=hint)
    return moment.timestamp()


def random_key() -> Key:
    """A key that nobody else has, and that is gone with this process."""
    return Key("p" + secrets.token_hex(4), secrets.token_bytes(LEAST_KEY))


class Pseudonyms:
    """Makes pseudonyms. `clock` gives seconds since the epoch."""

    def __init__(self, keys: Sequence[Key], clock: Callable[[], float] = time.time) -> None:
        """`keys` holds at least one, the current one first."""
        self._keys, self._clock = tuple(keys), clock
        self._readable: tuple[Key, ...] = ()
        self._until = -math.inf
        self._known = lru_cache(maxsize=CACHED)(self._make)

    def __repr__(self) -> str:
        return f"Pseudonyms({[key.id for key in self._keys]})"

    def name(self, kind: str, value: str, scope: Mapping[str, Named] | None = None) -> Named:
        """The pseudonyms of a value. `scope` are the pseudonyms of those in whom it is known, by kind: the same value
        in another scope, or of another kind, is another."""
        now = self._clock()
        if now >= self._until:
            self._readable = tuple(key for key in self._keys if key.until > now)
            self._until = min((key.until for key in self._readable), default=math.inf)
            self._known.cache_clear()
        within = tuple((scope or {}).items())
        return self._known(kind, value, within) if len(value) <= LONGEST_CACHED else self._make(kind, value, within)

    def _make(self, kind: str, value: str, within: tuple[tuple[str, Named], ...]) -> Named:
        made = []
        for place, key in enumerate(self._readable):
            scope = ",".join(f"{caller}={(named.current, *named.former)[place]}" for caller, named in within)
            said = b"\0".join(part.encode("utf-8", "surrogatepass") for part in (kind, scope, value))
            digest = hmac.digest(key.secret, said, "sha256")[:DIGEST]
            made.append(f"{key.id}.{base64.b32encode(digest).decode().rstrip('=').lower()}")
        return Named(made[0], tuple(made[1:]))
