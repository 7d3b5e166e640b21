"""Tokens: what a signature proves, and everything that proves nothing."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from safeguards_extproc.enforcement import tokens
from safeguards_extproc.enforcement.tokens import Tokens
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.account_document import TokenKeys

NOW = 1_800_000_000.0
ES, ES2, ES384 = (ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP256R1(), ec.SECP384R1()))
RSA, ED = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
CLAIMS: dict[str, Any] = {"sub": "ann", "iss": "https://idp.test", "aud": ["gateway"], "exp": NOW + 60}


def jwk(key: Any, **more: str) -> dict[str, Any]:
    """The public key of a private one, as an issuer publishes it."""
    of: dict[type, Any] = {ec.EllipticCurvePrivateKey: ECAlgorithm, rsa.RSAPrivateKey: RSAAlgorithm}
    algorithm = next((made for kind, made in of.items() if isinstance(key, kind)), OKPAlgorithm)
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), **more}


SET = [jwk(ES, kid="es"), jwk(RSA, kid="rsa", use="sig"), jwk(ED, kid="ed"), jwk(ES384, kid="es384")]
SIGNERS: dict[str, tuple[Any, str]] = {
    "ES256": (ES, "es"),
    "RS256": (RSA, "rsa"),
    "PS256": (RSA, "rsa"),
    "EdDSA": (ED, "ed"),
}
SIGNERS["ES384"] = (ES384, "es384")


def signed(claims: Mapping[str, Any] = CLAIMS, algorithm: str = "ES256", key: Any = None, **header: Any) -> str:
    signer, kid = SIGNERS[algorithm]
    return jwt.encode(dict(claims), key or signer, algorithm, {"kid": kid, **header})


def checker(folder: Path, keys: object = SET, clock: list[float] | None = None, **spec: Any) -> Tokens:
    (folder / "keys.json").write_text(json.dumps({"keys": keys}))
    spec = {"jwks": "keys.json", "issuer": "https://idp.test", "audience": "gateway", **spec}
    return Tokens(TokenKeys.model_validate(spec), folder, lambda: (clock or [NOW])[0])


EVERY = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]


@pytest.mark.parametrize("algorithm", EVERY)
def test_a_signature_by_a_key_of_the_set_proves_the_claims(algorithm: str, tmp_path: Path) -> None:
    """In each algorithm that the policy names, and in no other."""
    assert "ann" == checker(tmp_path, algorithms=EVERY).claims(signed(algorithm=algorithm))["sub"]
    others = [name for name in EVERY if name != algorithm]
    assert {} == checker(tmp_path, algorithms=others).claims(signed(algorithm=algorithm))


@pytest.mark.parametrize(
    "claims",
    [
        {**CLAIMS, "iss": "https://evil.test"},
        {name: value for name, value in CLAIMS.items() if name != "iss"},
        {**CLAIMS, "aud": "other"},
        {name: value for name, value in CLAIMS.items() if name != "aud"},
        {name: value for name, value in CLAIMS.items() if name != "exp"},
        {**CLAIMS, "exp": NOW - 31},
        {**CLAIMS, "nbf": NOW + 31},
        {**CLAIMS, "nbf": "now"},
        {**CLAIMS, "exp": True},
    ],
    ids=["issuer", "no issuer", "audience", "no audience", "endless", "over", "not yet", "no time", "true"],
)
def test_a_token_for_others_or_another_time_names_nobody(claims: dict[str, Any], tmp_path: Path) -> None:
    """However well it is signed."""
    assert {} == checker(tmp_path).claims(signed(claims))


def test_clocks_may_differ_a_little(tmp_path: Path) -> None:
    """And a token that is kept is looked at again each time: it ends when it says."""
    clock = [NOW]
    check = checker(tmp_path, clock=clock)
    token = signed({**CLAIMS, "nbf": NOW + 20})
    for at, valid in ((NOW - 20, False), (NOW, True), (NOW + 89, True), (NOW + 91, False), (NOW + 80, True)):
        clock[0] = at
        assert valid == bool(check.claims(token))


def test_neither_issuer_nor_audience_need_be_named(tmp_path: Path) -> None:
    """The signature counts alone then."""
    assert checker(tmp_path, issuer=None, audience=None).claims(signed({**CLAIMS, "aud": "x", "iss": "y"}))


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any] = CLAIMS, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def shared_secret(secret: bytes) -> str:
    """A token whose signature is an HMAC under what everyone knows."""
    signing = unsigned({"alg": "HS256", "kid": "rsa"})[:-1]
    signature = base64.urlsafe_b64encode(hmac.digest(secret, signing.encode(), "sha256")).decode().rstrip("=")
    return f"{signing}.{signature}"


def test_an_algorithm_cannot_be_confused(tmp_path: Path) -> None:
    """Neither none, nor a public key as a shared secret, nor another algorithm, nor a key that the token brings."""
    check = checker(tmp_path, algorithms=EVERY)
    public = json.dumps(jwk(RSA)).encode()
    for algorithm in ("none", "None", "HS256", "", None, ["ES256"], {"a": 1}):
        assert {} == check.claims(unsigned({"alg": algorithm, "kid": "rsa"}))
    forged = shared_secret(public)
    assert {} == check.claims(forged)
    assert {} == check.claims(signed(key=ES2))
    assert {} == check.claims(signed(key=ES2, jwk=jwk(ES2), jku="https://evil.test", x5u="https://evil.test"))
    assert {} == check.claims(signed(algorithm="ES256", crit=["exp"]))
    shared = {"kty": "oct", "k": base64.urlsafe_b64encode(public).decode(), "kid": "rsa"}
    assert {} == checker(tmp_path, [*SET, shared]).claims(forged)


def test_the_key_is_the_one_that_the_token_names(tmp_path: Path) -> None:
    """Any that fits where either has no name; none where the name is another's."""
    check = checker(tmp_path, [jwk(ES2, kid="new"), jwk(ES, kid="old")])
    assert check.claims(signed(kid="old"))
    assert not check.claims(signed(kid="new"))
    assert not check.claims(signed(kid="gone"))
    nameless = jwt.encode(CLAIMS, ES, "ES256")
    assert check.claims(nameless)
    assert checker(tmp_path, [jwk(ES2), jwk(ES)]).claims(signed(kid="whatever"))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_token_that_was_changed_names_nobody(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One character, anywhere."""
    check, token = checker(tmp_path_factory.mktemp("keys")), signed()
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("AZaz09-_.=é ").filter(lambda sign: sign != token[at]))
    assert {} == check.claims(token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.é.é", "\ud800", "{}", "[" * 9000, "e30.e30."])
def test_what_is_no_token_names_nobody(token: str, tmp_path: Path) -> None:
    """And raises nothing."""
    assert {} == checker(tmp_path).claims(token)


def test_a_token_has_a_longest_length(tmp_path: Path) -> None:
    """Beyond it nothing is decoded."""
    check = checker(tmp_path)
    assert {} == check.claims(signed({**CLAIMS, "more": "x" * tokens.LONGEST}))
    assert 0 == len(check._kept)


def test_verdicts_are_kept_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last used of them; a kept verdict is the same as a new one."""
    monkeypatch.setattr(tokens, "KEPT", 2)
    check, good = checker(tmp_path), signed()
    for token in (good, "a", good, "b", "c", good):
        assert (token == good) == bool(check.claims(token))
    assert 2 == len(check._kept)
    assert not any("ann" in repr(verdict) for verdict in check._kept.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[]", 'no list "keys"'),
        ('{"keys": []}', "holds no key for RS256, ES256"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "holds no key for"),
        ('{"keys": [{"kty": "EC", "crv": "P-256", "x": "c2VjcmV0", "y": "c2VjcmV0"}]}', "key 1 is not well-formed"),
        ('{"keys": [{"kty": "EC", "crv": "P-256", "use": "enc"}]}', "holds no key for"),
        ('{"keys": [{"kty": "RSA", "n": "c2VjcmV0", "e": "AQAB"}]}', "key 1"),
    ],
)
def test_a_key_set_that_cannot_be_used_says_why(text: str, message: str, tmp_path: Path) -> None:
    """With its file, and nothing of what it holds."""
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(ConfigError, match=message) as raised:
        Tokens(TokenKeys(jwks="keys.json"), tmp_path)
    assert "c2VjcmV0" not in str(raised.value)
    assert str(tmp_path / "keys.json") in str(raised.value)


def test_a_missing_key_set_is_an_error(tmp_path: Path) -> None:
    """With where it is looked for."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Tokens(TokenKeys(jwks="keys.json"), tmp_path)


def test_a_private_key_in_the_set_is_used_as_a_public_one(tmp_path: Path) -> None:
    """A mistake that is often made, and of which nothing else follows here."""
    private = {**jwk(ES, kid="es"), "d": ECAlgorithm.to_jwk(ES, as_dict=True)["d"]}
    assert checker(tmp_path, [private]).claims(signed())
