"""Where the policy finds each identity: the first place that has it counts, and no place that a client can fill counts
unless the policy says who vouches for it.

What is found here is raw. It goes to enforcement/who.py, which makes pseudonyms of it, and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from safeguards_extproc.core.events import Opened
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.account_document import From, IdentitySpec, TokenKeys
from safeguards_extproc.policy.problems import Problem
from safeguards_extproc.policy.source import Path, Source
from safeguards_extproc.wire import json_paths
from safeguards_extproc.wire.asked import told as as_told

Claims = Callable[[str], Mapping[str, object]]
"""The claims of a token, none if it does not verify."""

JWT_AUTHN = "envoy.filters.http.jwt_authn"
"""The namespace in which Envoy's JWT filter leaves the payloads that it has verified (`payload_in_metadata`)."""

XFCC = "x-forwarded-client-cert"

CERTIFICATES = {
    "subject": "connection.subject_peer_certificate",
    "uri": "connection.uri_san_peer_certificate",
    "dns": "connection.dns_san_peer_certificate",
}
"""Envoy's attributes for names in the client's certificate, which its listener verifies."""

LONGEST = 16 << 10
"""Characters of a value, beyond which it is nobody's name."""

_KINDS = ("tenant", "organisation", "key", "end_user", "region")
_CALLERS = frozenset(("tenant", "organisation", "key"))
_ATTRIBUTE = re.compile(r"(?:source|destination|connection|upstream|xds)(?:\.[a-z0-9_]+)+")
_ADDRESSES = ("source.address", "destination.address")
_PORT = re.compile(r"(?:\[([0-9a-fA-F:.%]+)\]|([^:]+)):[0-9]+")
_XFCC = re.compile(r'([A-Za-z]{1,16})=(?:"((?:[^"\\]|\\.)*)"|([^;,"]*))(;|,|$)')
_ESCAPED = re.compile(r"\\(.)")
_XFCC_FIELDS = ("URI=", "Subject=", "DNS=", "Hash=")
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(slots=True)
class Asked:
    """What is known of a request, raw."""

    fields: Mapping[str, str]
    opened: Opened
    told: Mapping[str, str]
    claims: Claims

    def __repr__(self) -> str:
        return f"Asked({len(self.fields)} fields)"


Place = Callable[[Asked], str]
"""What stands at a place, "" if nothing."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The places of each identity, in order; of those that are looked for in the body, `in_body` says whether they are
    looked for nowhere else. `wants` are the places in the body, `within` whom an end user is known in, `tokens` what
    claims are checked against, `reads_claims` whether any is read by this filter."""

    places: Mapping[str, Sequence[Place]]
    in_body: Mapping[str, bool]
    wants: tuple[str, ...]
    within: frozenset[str]
    tokens: TokenKeys | None
    reads_claims: bool

    def find(self, asked: Asked) -> dict[str, str]:
        """Who the request says it is from, as far as it is to be believed: raw values by identity."""
        found = {}
        for name, places in self.places.items():
            said = next(filter(None, (place(asked) for place in places)), "")
            if said and len(said) <= LONGEST and (name != "region" or _REGION.fullmatch(said)):
                found[name] = said
        return found

    def raw(self, name: str, value: str, body: bool | None = None) -> str:
        """The value of an identity as `find` has it where a request says `value`, in its body or not. Raises
        ConfigError where that makes a difference and nobody says."""
        told = as_told(value)
        only = self.in_body.get(name)
        if told == value or only is None or body is False:
            return value
        if not (only or body):
            message = f"the policy looks for it in the body and elsewhere, and {len(value)} characters differ there"
            raise ConfigError(message, where=name, hint="say --body or --no-body")
        return told


def sources(spec: IdentitySpec) -> Sources:
    """The places that a checked specification names."""
    named = {name: written for name in _KINDS if (written := getattr(spec, name))}
    every = [each for written in named.values() for each in written]
    return Sources(
        {name: tuple(map(_place, written)) for name, written in named.items()},
        {
            name: all(each.json_path is not None for each in written)
            for name, written in named.items()
            if any(each.json_path is not None for each in written)
        },
        tuple(dict.fromkeys(each.json_path for each in every if each.json_path is not None)),
        frozenset(spec.within),
        spec.tokens,
        any(each.claim is not None and each.verified_by == "filter" for each in every),
    )


def check(spec: IdentitySpec, source: Source) -> Iterator[Problem]:
    """What cannot work in a specification, or would believe whom nobody vouches for."""
    for name in _KINDS:
        for index, each in enumerate(getattr(spec, name)):
            for key, message, hint in _wrong(name, each, spec):
                path: Path = ("identity", name, index, key)
                yield source.problem(path, message, hint)


def _wrong(name: str, each: From, spec: IdentitySpec) -> Iterator[tuple[str, str, str]]:
    if each.json_path is not None:
        try:
            if not json_paths.singular(json_paths.parse(each.json_path, "$")):
                yield "json", "names no single value", "write a path such as $.metadata.user_id"
        except ValueError as error:
            yield "json", str(error), ""
        if name in _CALLERS and not each.trusted:
            hint = "a caller is known by a header, a token or a certificate; trusted: true if a proxy writes the body"
            yield "json", f"a client can write any {name} in a body", hint
    if each.claim is not None and each.verified_by == "filter" and spec.tokens is None:
        hint = "add identity.tokens.jwks, or verified_by: envoy if Envoy's JWT filter has checked it"
        yield "claim", "there is nothing to check the token against", hint
    if each.attribute is not None and not _ATTRIBUTE.fullmatch(each.attribute):
        if each.attribute.startswith("request."):
            yield (
                "attribute",
                "a client chooses what a request says",
                "name a header, with trusted: true or secret: true",
            )
        else:
            hint = (
                "one of source.*, destination.*, connection.*, upstream.* and xds.*; or write metadata: namespace:key"
            )
            yield "attribute", "is no attribute of Envoy that says who is connected", hint
    if each.metadata is not None and not all((*each.metadata.partition(":"), *_keys(each.metadata))):
        yield "metadata", "is no place in Envoy's metadata", "write namespace:key, or namespace:key.key"
    if each.header == XFCC and each.claim is None and not each.trusted:
        yield "header", "is no secret", "trusted: true if a proxy sets it or removes what clients send"
    if each.header == XFCC and each.claim is None and each.prefix not in _XFCC_FIELDS:
        yield "header", f"{XFCC} holds several names", f"add prefix: one of {', '.join(_XFCC_FIELDS)}"


def _place(each: From) -> Place:
    prefix = each.prefix
    match each:
        case From(claim=str(claim)):
            if each.verified_by == "envoy":
                return lambda asked: _verified(asked.opened.metadata.get(JWT_AUTHN), claim)
            name = each.header or "authorization"
            scheme = prefix or ("Bearer " if name == "authorization" else "")
            return lambda asked: (
                text(_at(asked.claims(raw), claim)) if (raw := _header(asked.fields, name, scheme)) else ""
            )
        case From(json_path=str(path)):
            return lambda asked: asked.told.get(path, "")
        case From(attribute=str(attribute)):
            strip = attribute in _ADDRESSES
            return lambda asked: (
                _host(asked.opened.attributes.get(attribute, ""))
                if strip
                else asked.opened.attributes.get(attribute, "")
            )
        case From(metadata=str(metadata)):
            namespace, keys = metadata.partition(":")[0], _keys(metadata)
            return lambda asked: text(_walk(asked.opened.metadata.get(namespace), keys))
        case From(certificate=str(certificate)):
            attribute_ = CERTIFICATES[certificate]
            return lambda asked: asked.opened.attributes.get(attribute_, "")
        case From(value=str(value)):
            return lambda _: value
        case From(header=str(header)) if header == XFCC:
            return lambda asked: _forwarded(asked.fields.get(XFCC, ""), prefix)
    name = each.header or ""
    return lambda asked: _header(asked.fields, name, prefix)


def text(value: object) -> str:
    """A scalar as text, as the body's are told; "" for anything else."""
    match value:
        case str():
            return value
        case bool() | int() | float():
            return json.dumps(value)
    return ""


def _header(fields: Mapping[str, str], name: str, prefix: str) -> str:
    """The first value of a header without its prefix, whose case does not matter; "" where it is not there."""
    value = fields.get(name, "").partition(",")[0].strip()
    if not prefix:
        return value
    return value[len(prefix) :].strip() if value[: len(prefix)].lower() == prefix.lower() else ""


def _forwarded(value: str, prefix: str) -> str:
    """One field of the first element of x-forwarded-client-cert, which is the client's own."""
    at = 0
    while match := _XFCC.match(value, at):
        if match[1].lower() == prefix[:-1].lower():
            return match[3] if match[2] is None else _ESCAPED.sub(r"\1", match[2])
        if match[4] != ";":
            break
        at = match.end()
    return ""


def _verified(found: object, claim: str) -> str:
    """A claim of the payloads that Envoy has verified; "" where they disagree."""
    payloads = found.values() if isinstance(found, Mapping) else ()
    said = {text(_at(payload, claim)) for payload in payloads if isinstance(payload, Mapping)} - {""}
    return said.pop() if len(said) == 1 else ""


def _at(claims: Mapping[str, object], claim: str) -> object:
    """A claim by its name, which may hold dots, or else by its way through claims within claims."""
    return claims[claim] if claim in claims else _walk(claims, claim.split("."))


def _walk(value: object, keys: Sequence[str]) -> object:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _keys(metadata: str) -> list[str]:
    return metadata.partition(":")[2].split(".")


def _host(address: str) -> str:
    """An address without its port, which is another for each connection."""
    match = _PORT.fullmatch(address)
    return (match[1] or match[2]) if match else address
