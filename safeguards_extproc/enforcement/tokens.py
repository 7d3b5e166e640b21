"""A JSON Web Token (RFC 7519) is believed only with a signature by a key of the policy's, in an algorithm that the
policy names and the key is for (RFC 8725); any other names nobody.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from jwt import PyJWK
from jwt.types import Options

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.account_document import TokenKeys

LONGEST = 16 << 10
"""Characters of a token. Envoy's own bound on all headers is 60 KiB."""

KEPT = 4096
"""Tokens whose verdict is kept: a signature costs 100 µs to check, and a token comes many times."""

LARGEST_FILE = 1 << 20

NOTHING: Mapping[str, object] = {}

_FITTING: dict[str, tuple[str, str]] = {
    "RS256": ("RSA", ""),
    "PS256": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""The type and the curve of the keys that an algorithm takes (RFC 7518, RFC 8037)."""

_SHORTEST_RSA = 2048


@dataclass(slots=True)
class _Verdict:
    """The claims of a token that verifies, good from `since` until `until`; none of one that does not."""

    claims: Mapping[str, object]
    since: float
    until: float

    def __repr__(self) -> str:
        return f"Verdict({len(self.claims)} claims)"


class Tokens:
    """Checks tokens against the keys of a file. `clock` gives seconds since the epoch."""

    def __init__(self, spec: TokenKeys, beside: Path, clock: Callable[[], float] = time.time) -> None:
        """`beside` is the folder that the file's name starts from. Raises ConfigError, which shows nothing of it."""
        path = beside / spec.jwks
        self._spec, self._clock = spec, clock
        self._keys = _fitting(_read(path), spec.algorithms, str(path))
        # Times are looked at when the verdict is used, by our clock.
        self._options: Options = {
            "verify_iat": False,
            "verify_exp": False,
            "verify_nbf": False,
            "verify_aud": spec.audience is not None,
            "require": ["exp"],
        }
        self._kept: OrderedDict[bytes, _Verdict] = OrderedDict()

    def claims(self, token: str) -> Mapping[str, object]:
        """The claims of a token that verifies now; none of any other. Never raises."""
        if len(token) > LONGEST:
            return NOTHING
        digest, kept, now = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), self._kept, self._clock()
        verdict = kept.get(digest)
        if verdict is None:
            verdict = kept[digest] = self._verify(token)
            if len(kept) > KEPT:
                kept.popitem(last=False)
        else:
            kept.move_to_end(digest)
        return verdict.claims if verdict.since <= now < verdict.until else NOTHING

    def _verify(self, token: str) -> _Verdict:
        spec = self._spec
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            for key_algorithm, key_id, key in self._keys:
                if algorithm != key_algorithm or (kid is not None and key_id is not None and kid != key_id):
                    continue
                try:
                    claims = jwt.decode(
                        token,
                        key,
                        [key_algorithm],
                        options=self._options,
                        audience=spec.audience,
                        issuer=spec.issuer,
                    )
                except jwt.InvalidSignatureError:
                    continue
                return _Verdict(claims, _time(claims.get("nbf", 0)) - spec.leeway, _time(claims["exp"]) + spec.leeway)
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return _Verdict(NOTHING, 0.0, 0.0)
        return _Verdict(NOTHING, 0.0, 0.0)


def _time(value: object) -> float:
    """A NumericDate. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("no time")
    return float(value)


def _read(path: Path) -> list[Any]:
    where = str(path)
    try:
        with path.open("rb") as file:
            written = json.loads(file.read(LARGEST_FILE))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        hint = "identity.tokens.jwks is a path from the policy's folder"
        raise ConfigError(f"cannot be read: {reason}", where=where, hint=hint) from None
    except (ValueError, RecursionError):
        raise ConfigError("is not JSON", where=where, hint="it holds a JSON Web Key Set (RFC 7517)") from None
    keys = written.get("keys") if isinstance(written, dict) else None
    if not isinstance(keys, list):
        raise ConfigError('has no list "keys"', where=where, hint="it holds a JSON Web Key Set (RFC 7517)")
    return keys


def _fitting(keys: list[Any], algorithms: list[Any], where: str) -> list[tuple[str, str | None, PyJWK]]:
    """Each key with each algorithm that it is for, by name, and its id. Other keys of the set are for others."""
    found = []
    for index, key in enumerate(keys):
        if not isinstance(key, dict) or key.get("use", "sig") != "sig":
            continue
        public = {name: value for name, value in key.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "oth")}
        for algorithm in algorithms:
            kind, curve = _FITTING[algorithm]
            if key.get("kty") != kind or key.get("crv", "") != curve or key.get("alg", algorithm) != algorithm:
                continue
            kid = key.get("kid")
            try:
                made = PyJWK(public, algorithm)
                short = kind == "RSA" and made.key.key_size < _SHORTEST_RSA
            except (jwt.PyJWTError, ValueError, TypeError):
                raise ConfigError(f"key {index + 1} is not well-formed", where=where) from None
            if short:
                raise ConfigError(f"key {index + 1} has fewer than {_SHORTEST_RSA} bits", where=where)
            found.append((algorithm, kid if isinstance(kid, str) else None, made))
    if not found:
        hint = "is it the set of those who sign? identity.tokens.algorithms names what counts"
        raise ConfigError(f"holds no key for {', '.join(algorithms)}", where=where, hint=hint)
    return found
