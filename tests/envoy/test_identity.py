"""Who asks, as a real Envoy tells it: attributes, what its JWT filter verified, and headers that clients made up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.core.record import Record
from safeguards_extproc.enforcement.pseudonyms import read_keys
from safeguards_extproc.enforcement.who import Asker, who
from safeguards_extproc.local import envoy, processes
from safeguards_extproc.policy.load import load
from tests.enforcement.test_pseudonyms import SECRETS, entry
from tests.enforcement.test_tokens import CLAIMS, SET, signed
from tests.envoy.rig import ROOT, Filter, end, post, serve

pytestmark = pytest.mark.real

POLICY = """\
version: 1
name: who
detectors:
  words: {kind: patterns, lists: {codename: {keywords: [bluefinch]}}}
rules: []
identity:
  tenant: [{attribute: source.address}]
  organisation: [{claim: org, verified_by: envoy}]
  key: [{header: x-api-key, secret: true}]
  end_user: [{claim: sub}, {json: $.user}]
  region: [{metadata: "envoy.filters.http.jwt_authn:payload.region"}, {value: home}]
  within: [tenant, organisation]
  tokens: {jwks: keys.json, issuer: https://idp.test, audience: gateway}
"""
SAID = {**CLAIMS, "org": "acme", "region": "eu-west-1", "exp": 4_000_000_000}
FORGED = {"x-tenant": "mallory", "x-forwarded-client-cert": "URI=mallory", "x-jwt-payload": "mallory"}


def asking(document: dict[str, Any]) -> dict[str, Any]:
    """The demo's Envoy, which answers itself, with a JWT filter before ours and with what ours is to be told."""
    [chain] = document["static_resources"]["listeners"][0]["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    [host] = manager["route_config"]["virtual_hosts"]
    host["routes"] = [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "{}"}}}]
    ours = next(each for each in manager["http_filters"] if each["name"] == "envoy.filters.http.ext_proc")
    config = ours["typed_config"]
    config["request_attributes"] = ["source.address", "request.path"]
    config["metadata_options"]["forwarding_namespaces"] = {"untyped": ["envoy.filters.http.jwt_authn"]}
    provider = {
        "issuer": "https://idp.test",
        "audiences": ["gateway"],
        "forward": True,
        "payload_in_metadata": "payload",
        "local_jwks": {"inline_string": json.dumps({"keys": SET[:1]})},
    }
    any_of = {"requirements": [{"provider_name": "idp"}, {"allow_missing": {}}]}
    jwt = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"idp": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": any_of}}],
    }
    manager["http_filters"].insert(0, {"name": "envoy.filters.http.jwt_authn", "typed_config": jwt})
    return document


@dataclass(slots=True)
class World:
    url: str
    filter: Filter
    asker: Asker

    def ask(self, headers: Mapping[str, str], **body: object) -> Record:
        """The record of a request."""
        text = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **body}
        sent = {"content-type": "application/json", **headers}
        status, answered, _ = post(self.url, "/v1/chat/completions", json.dumps(text).encode(), sent)
        assert 200 == status
        return self.filter.record(answered["x-safeguards-id"])

    def names(self, **raw: str) -> dict[str, str]:
        """The pseudonyms of raw values."""
        callers = {kind: value for kind, value in raw.items() if kind != "end_user"}
        return {kind: self.asker.pseudonym(kind, value, callers).current for kind, value in raw.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("who")
    keys, policy = folder / "pseudonyms.json", folder / "policy.yaml"
    keys.write_text(json.dumps([entry("eu-1", SECRETS[0])]))
    (folder / "keys.json").write_text(json.dumps({"keys": SET}))
    policy.write_text(POLICY)
    socket = Path(f"{folder}/f.sock")
    filter_ = serve(policy, socket, options=["--identity-keys", str(keys)])
    try:
        places = envoy.Addresses(f"127.0.0.1:{processes.free_port()}", (f"unix://{socket}",))
        running = envoy.start(asking(envoy.load(ROOT / "envoy" / "demo.yaml")), places, folder, workers=1)
        try:
            asker = who(load(policy).document.identity, folder, read_keys(keys))
            assert isinstance(asker, Asker)
            yield World(running.url, filter_, asker)
        finally:
            processes.stop(running.part)
    finally:
        end(filter_.part)


def test_envoy_tells_who_asks(world: World) -> None:
    """Its listener the address, its JWT filter the organisation; the token is checked here as well for the user."""
    token = {"authorization": f"Bearer {signed(SAID)}", "x-api-key": "sk-1"}
    record = world.ask(token)
    expected = world.names(tenant="127.0.0.1", organisation="acme", key="sk-1", end_user="ann")
    assert {**expected, "region": "eu-west-1", "model": "m"} == record.identity
    assert "valid" == record.request.features["token"]
    assert record.identity == world.ask({**token, **FORGED}, user="mallory").identity


def test_a_body_names_a_user_of_its_caller_only(world: World) -> None:
    """Without a token, so not one of those whom the organisation's tokens name."""
    record = world.ask(FORGED, user="ann")
    assert {**world.names(tenant="127.0.0.1", end_user="ann"), "region": "home", "model": "m"} == record.identity
    token = world.ask({"authorization": f"Bearer {signed(SAID)}"})
    assert record.identity["end_user"] != token.identity["end_user"]
    assert ("absent", "valid") == (record.request.features["token"], token.request.features["token"])


def test_no_raw_name_is_kept(world: World) -> None:
    """In no record and no log."""
    world.ask({"authorization": f"Bearer {signed(SAID)}", "x-api-key": "sk-0123456789"}, user="somebody")
    kept = world.filter.records.read_text() + world.filter.part.log.read_text()
    for raw in ("acme", "sk-0123456789", "127.0.0.1:", "somebody", '"ann"'):
        assert raw not in kept
