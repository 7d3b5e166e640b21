"""Who asks, from a request to pseudonyms: nothing raw comes out."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.account import NOBODY_KNOWN, Identity
from safeguards_extproc.core.events import BodyMode, Opened
from safeguards_extproc.enforcement.pseudonyms import Key
from safeguards_extproc.enforcement.who import Asker, who
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.account_document import IdentitySpec
from tests.enforcement.test_tokens import NOW, checker, signed

EU, OLD = Key("eu-2", b"\1" * 32), Key("eu-1", b"\2" * 32, NOW + 100)
SPEC: dict[str, Any] = {
    "tenant": [{"attribute": "source.address"}],
    "organisation": [{"metadata": "auth:org"}],
    "key": [{"header": "authorization", "secret": True, "prefix": "Bearer "}],
    "end_user": [{"json": "$.user"}],
    "region": [{"value": "eu-west-1"}],
}


def asker(spec: Any = SPEC, keys: Any = (EU, OLD), folder: Path = Path()) -> Asker:
    made = who(IdentitySpec.model_validate(spec), folder, keys, lambda: NOW)
    assert isinstance(made, Asker)
    return made


def asks(made: Asker, **raw: str) -> Identity:
    opened = Opened(
        BodyMode.DUPLEX,
        BodyMode.DUPLEX,
        False,
        {"source.address": raw["tenant"]} if "tenant" in raw else {},
        {"auth": {"org": raw["organisation"]}} if "organisation" in raw else {},
    )
    fields = {"authorization": f"Bearer {raw['key']}"} if "key" in raw else {}
    return made.identify(fields, opened, {"$.user": raw["end_user"]} if "end_user" in raw else {})


plain = st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789@._+/=", min_size=8, max_size=40)
raws = st.fixed_dictionaries({}, optional=dict.fromkeys(("tenant", "organisation", "key", "end_user"), plain))


@settings(max_examples=100)
@given(raws)
def test_nothing_raw_comes_out(raw: dict[str, str]) -> None:
    """Neither a value nor a piece of one that is long enough to be no chance."""
    identity = asks(asker(), **raw)
    assert {*raw, "region"} == set(identity.names)
    assert set(raw) == set(identity.former)
    shown = repr(identity)
    for value in raw.values():
        assert not any(value[at : at + 8] in shown for at in range(len(value) - 7))


def test_the_law_of_raw_values_bites() -> None:
    """An identity that holds what it was given is found."""
    raw = {"key": "sk-0123456789"}
    with pytest.raises(AssertionError):
        assert raw["key"] not in repr(Identity(raw))


@settings(max_examples=50)
@given(raws, raws)
def test_the_same_end_user_of_other_callers_is_another(one: dict[str, str], other: dict[str, str]) -> None:
    """Whatever else is the same; so no caller can act for another's users."""
    first, second = ({**raw, "end_user": "ann@example.com"} for raw in (one, other))
    same = all(first.get(kind) == second.get(kind) for kind in ("tenant", "organisation", "key"))
    names = [asks(asker(), **raw).names["end_user"] for raw in (first, second)]
    assert same == (names[0] == names[1])


def test_a_policy_says_in_whom_an_end_user_is_known() -> None:
    """With `within: [tenant]` a user keeps its name when its tenant takes another key."""
    spec = {**SPEC, "within": ["tenant"]}
    one, other = (asks(asker(spec), tenant="t", key=key, end_user="ann") for key in ("a", "b"))
    assert one.names["end_user"] == other.names["end_user"]
    assert one.names["key"] != other.names["key"]


def test_rotation_keeps_the_old_names_readable() -> None:
    """What was counted and kept under the old key is still found."""
    raw = {"tenant": "t", "key": "k", "end_user": "ann"}
    before, after = asks(asker(keys=[Key("eu-1", b"\2" * 32)]), **raw), asks(asker(), **raw)
    former = {kind: (name,) for kind, name in before.names.items() if kind != "region"}
    assert former == after.former
    assert not set(before.names.values()) & set(after.names.values()) - {"eu-west-1"}


def test_an_analyst_finds_whom_the_filter_named() -> None:
    """By the values and callers that a request had."""
    raw = {"tenant": "t", "organisation": "o", "key": "k"}
    identity = asks(asker(), **raw, end_user="ann")
    found = asker().pseudonym("end_user", "ann", raw)
    assert (identity.names["end_user"], identity.former["end_user"]) == (found.current, found.former)
    assert identity.names["key"] == asker().pseudonym("key", "k", {}).current
    for kind in ("region", "nobody"):
        with pytest.raises(ConfigError, match="has no pseudonym"):
            asker().pseudonym(kind, "x", {})


def test_a_policy_without_identities_knows_nobody() -> None:
    """And asks bodies for nothing."""
    assert NOBODY_KNOWN is who(IdentitySpec(), Path(), [EU])


def test_what_became_of_a_token_is_told(tmp_path: Path) -> None:
    """A token that does not verify names nobody, and is not the same as none."""
    checker(tmp_path)
    spec = {"end_user": [{"claim": "sub"}], "tokens": {"jwks": "keys.json", "audience": "gateway"}}
    made = asker(spec, folder=tmp_path)
    opened = Opened(BodyMode.DUPLEX, BodyMode.DUPLEX)
    for token, expected in ((signed(), "valid"), (signed()[:-9], "invalid"), ("", "absent")):
        fields = {"authorization": f"Bearer {token}"} if token else {}
        identity = made.identify(fields, opened, {})
        assert (expected, expected == "valid") == (identity.token, "end_user" in identity.names)
        assert "ann" not in repr(identity)
    assert "" == asks(asker()).token


def test_the_order_of_what_is_known_changes_nothing() -> None:
    """Headers and attributes come in any order."""
    fields = {"authorization": "Bearer k", "x-a": "1", "x-b": "2"}
    attributes = {"source.address": "t", "xds.route_name": "r"}
    identities = [
        asker().identify(dict(some), Opened(BodyMode.NONE, BodyMode.NONE, False, dict(others)), {})
        for some in itertools.permutations(fields.items())
        for others in itertools.permutations(attributes.items())
    ]
    assert all(identity == identities[0] for identity in identities)
