"""Where identities are found, and what no client can make of itself."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.events import BodyMode, Opened
from safeguards_extproc.policy import identify
from safeguards_extproc.policy.account_document import IdentitySpec
from tests.policy.written import HEAD, mistakes

LINES = HEAD.count("\n")


def found(
    spec: Mapping[str, Any],
    fields: Mapping[str, str] | None = None,
    *,
    attributes: Mapping[str, str] | None = None,
    metadata: Mapping[str, object] | None = None,
    told: Mapping[str, str] | None = None,
    claims: identify.Claims = lambda _: {},
) -> dict[str, str]:
    """What a specification finds in a request."""
    opened = Opened(BodyMode.DUPLEX, BodyMode.DUPLEX, False, attributes or {}, metadata or {})
    asked = identify.Asked(fields or {}, opened, told or {}, claims)
    assert "secret" not in repr(asked)
    return identify.sources(IdentitySpec.model_validate(spec)).find(asked)


KEY = {"key": [{"header": "authorization", "secret": True, "prefix": "Bearer "}]}


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ("Bearer sk-1", "sk-1"),
        ("bearer sk-1 ", "sk-1"),
        ("Bearer sk-1, Bearer sk-2", "sk-1"),
        ("Basic sk-1", None),
        ("Bearer", None),
        ("", None),
    ],
)
def test_a_header_is_read_without_its_prefix(sent: str, value: str | None) -> None:
    """Of several values the first; another scheme is nobody."""
    assert value == found(KEY, {"authorization": sent}).get("key")


def test_the_first_place_that_has_it_counts() -> None:
    """In the order in which the policy names them; a constant is the last resort."""
    spec = {"tenant": [{"header": "x-tenant", "trusted": True}, {"attribute": "xds.cluster_name"}, {"value": "all"}]}
    assert {"tenant": "a"} == found(spec, {"x-tenant": "a"}, attributes={"xds.cluster_name": "b"})
    assert {"tenant": "b"} == found(spec, attributes={"xds.cluster_name": "b"})
    assert {"tenant": "all"} == found(spec)


def test_an_address_is_read_without_its_port() -> None:
    """Which is another for every connection."""
    spec = {"key": [{"attribute": "source.address"}]}
    for address, host in (("10.0.0.1:4711", "10.0.0.1"), ("[::1]:4711", "::1"), ("10.0.0.1", "10.0.0.1")):
        assert {"key": host} == found(spec, attributes={"source.address": address})


def test_a_certificate_names_whoever_it_was_made_for() -> None:
    """By the name that the policy asks for."""
    attributes = {name: name for name in identify.CERTIFICATES.values()}
    for name, attribute in identify.CERTIFICATES.items():
        assert {"key": attribute} == found({"key": [{"certificate": name}]}, attributes=attributes)


@pytest.mark.parametrize(
    ("sent", "uri"),
    [
        ("By=spiffe://a;Hash=1;URI=spiffe://client", "spiffe://client"),
        ('Hash=1;Subject="CN=x;URI=spiffe://evil,O=\\"y\\"";URI="spiffe://client"', "spiffe://client"),
        ("Hash=1;URI=spiffe://client,Hash=2;URI=spiffe://proxy", "spiffe://client"),
        ("Hash=1,Hash=2;URI=spiffe://proxy", None),
        ('Subject="CN=x;URI=spiffe://evil', None),
        ("", None),
    ],
)
def test_a_forwarded_certificate_is_read_with_its_quotes(sent: str, uri: str | None) -> None:
    """What a subject holds is no field, and a later element is a proxy's."""
    spec = {"key": [{"header": "x-forwarded-client-cert", "trusted": True, "prefix": "URI="}]}
    assert uri == found(spec, {"x-forwarded-client-cert": sent}).get("key")


def test_metadata_is_a_place_within_a_namespace() -> None:
    """Down to a scalar; what is none names nobody."""
    metadata = {"com.example.auth": {"user": {"id": 7, "admin": True}}}
    for path, value in (("user.id", "7"), ("user.admin", "true"), ("user", None), ("user.id.x", None), ("none", None)):
        spec = {"key": [{"metadata": f"com.example.auth:{path}"}]}
        assert value == found(spec, metadata=metadata).get("key")


def test_claims_come_from_this_filter_or_from_envoys() -> None:
    """A name with dots is a name first, then a way; payloads of Envoy's that disagree name nobody."""
    claims = {"sub": "ann", "https://x.test/org": "o", "realm": {"id": 3}}
    ours = {"end_user": [{"claim": "sub"}], "organisation": [{"claim": "https://x.test/org"}]}
    ours["key"] = [{"claim": "realm.id"}]
    expected = {"end_user": "ann", "organisation": "o", "key": "3"}
    asked = []

    def check(token: str) -> Mapping[str, object]:
        asked.append(token)
        return claims

    assert expected == found(ours, {"authorization": "Bearer t"}, claims=check)
    assert {"t"} == set(asked)
    assert {} == found(ours, {"authorization": "Bearer t"})
    own = {"end_user": [{"claim": "sub", "header": "x-token"}]}
    assert {"end_user": "ann"} == found(own, {"x-token": "t"}, claims=check)

    envoys = {"end_user": [{"claim": "sub", "verified_by": "envoy"}]}
    one = {identify.JWT_AUTHN: {"payload": claims}}
    two = {identify.JWT_AUTHN: {"payload": claims, "other": {"sub": "bob"}}}
    assert ({"end_user": "ann"}, {}) == (found(envoys, metadata=one), found(envoys, metadata=two))
    assert {} == found(envoys, {"authorization": "Bearer t"}, claims=check)


def test_the_body_is_asked_for_what_the_policy_names() -> None:
    """And read nowhere else."""
    spec = {"end_user": [{"json": "$.user"}, {"json": "$.metadata.user_id"}, {"json": "$.user"}]}
    compiled = identify.sources(IdentitySpec.model_validate(spec))
    assert ("$.user", "$.metadata.user_id") == compiled.wants
    assert {"end_user": "ann"} == found(spec, told={"$.metadata.user_id": "ann"})


def test_a_region_stands_as_it_is_and_so_holds_a_name_only() -> None:
    """Anything else could be what a client wrote."""
    spec = {"region": [{"header": "x-region", "trusted": True}]}
    assert {"region": "eu-west-1"} == found(spec, {"x-region": "eu-west-1"})
    assert {} == found(spec, {"x-region": "ann@example.com"})


EVERY: dict[str, Any] = {
    "tenant": [{"attribute": "source.address"}, {"metadata": "auth:tenant"}],
    "organisation": [{"certificate": "subject"}],
    "key": [*KEY["key"], {"header": "x-key-id", "trusted": True}],
    "end_user": [{"claim": "sub"}, {"claim": "sub", "verified_by": "envoy"}, {"json": "$.user"}],
    "region": [{"value": "eu"}],
}
BELIEVED = {"authorization", "x-key-id"}
names = st.one_of(
    st.sampled_from(["x-tenant", "x-user", "source.address", "auth", "sub", "user", "x-forwarded-client-cert"]),
    st.from_regex(r"[a-z][a-z-]{0,12}", fullmatch=True),
)
headers = st.dictionaries(names, st.text(max_size=20), max_size=5)


def law_of_headers(spec: Mapping[str, Any], believed: set[str]) -> None:
    @settings(max_examples=60)
    @given(headers)
    def nothing_changes(sent: dict[str, str]) -> None:
        world: dict[str, Any] = {
            "attributes": {"source.address": "10.0.0.1:1", "connection.subject_peer_certificate": "CN=a"},
            "metadata": {"auth": {"tenant": "t"}},
            "told": {"$.user": "ann"},
        }
        valid = {":path": "/v1/messages", "authorization": "Bearer sk"}
        forged = {name: value for name, value in sent.items() if name not in believed}
        assert found(spec, valid, **world) == found(spec, {**forged, **valid}, **world)

    nothing_changes()


def test_a_header_that_nobody_vouches_for_changes_nothing() -> None:
    """Whatever a client adds to a valid request, it is who it was."""
    law_of_headers(EVERY, BELIEVED)


@pytest.mark.long
def test_the_law_of_headers_bites() -> None:
    """Were any header believed, the law would find it."""
    with pytest.raises(AssertionError):
        law_of_headers({"tenant": [{"header": "x-tenant", "trusted": True}, *EVERY["tenant"]]}, BELIEVED)


@pytest.mark.parametrize(
    ("written", "where", "message"),
    [
        ("end_user: [{claim: sub}]", "identity.end_user[0].claim", "nothing to check the token against"),
        ("end_user: [{json: user}]", "identity.end_user[0].json", "begins with $"),
        ("end_user: [{json: '$.users[*]'}]", "identity.end_user[0].json", "no single value"),
        ("key: [{json: $.key}]", "identity.key[0].json", "a client can write any key"),
        ("key: [{attribute: request.useragent}]", "identity.key[0].attribute", "a client chooses"),
        ("key: [{attribute: source_address}]", "identity.key[0].attribute", "no attribute of Envoy"),
        ("key: [{metadata: 'a:b..c'}]", "identity.key[0].metadata", "no place in Envoy's metadata"),
        ("key: [{metadata: 'nothing'}]", "identity.key[0].metadata", "no place in Envoy's metadata"),
        ("key: [{header: x-forwarded-client-cert, secret: true, prefix: URI=}]", "identity.key[0].header", "no secret"),
        ("key: [{header: x-forwarded-client-cert, trusted: true}]", "identity.key[0].header", "several names"),
    ],
)
def test_what_cannot_work_is_told_with_its_line(written: str, where: str, message: str) -> None:
    """And with what to write instead."""
    (problem,) = mistakes("identity:\n" + indent(written, "  "))
    assert problem.startswith(f"policy.yaml:{LINES + 2}: {where}: ")
    assert message in problem


def test_what_works_is_no_mistake() -> None:
    """With keys for tokens, and a body that a proxy writes."""
    text = """\
identity:
  tokens: {jwks: keys.json}
  key: [{json: $.key, trusted: true}, {claim: azp}]
  end_user: [{json: $.metadata.user_id}, {claim: sub, verified_by: envoy}]
"""
    assert [] == mistakes(text)
