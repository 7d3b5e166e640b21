"""Pseudonyms: the same where they must be, different where they may not be the same, gone when their key is."""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.enforcement.pseudonyms import Key, Named, Pseudonyms, random_key, read_keys
from safeguards_extproc.errors import ConfigError

NOW = 1_800_000_000.0
SECRETS = [bytes([number]) * 32 for number in range(1, 5)]
EU, US, OLD = Key("eu-2", SECRETS[0]), Key("us-1", SECRETS[1]), Key("eu-1", SECRETS[2], NOW + 100)
values = st.text(min_size=4, max_size=40)
kinds = st.sampled_from(["tenant", "organisation", "key", "end_user"])


@settings(max_examples=100)
@given(values, kinds)
def test_a_value_has_one_name_in_each_region(value: str, kind: str) -> None:
    """The same each time, another under another key, and none of the value is in it."""
    here, there = Pseudonyms([EU]), Pseudonyms([US])
    name = here.name(kind, value).current
    assert name == here.name(kind, value).current == Pseudonyms([EU]).name(kind, value).current
    assert re.fullmatch(r"eu-2\.[a-z2-7]{26}", name)
    assert name.partition(".")[2] != there.name(kind, value).current.partition(".")[2]
    assert value not in name + repr(here)


@settings(max_examples=100)
@given(values, kinds, kinds, st.lists(values, min_size=2, max_size=2, unique=True))
def test_another_kind_or_scope_is_another(value: str, kind: str, other: str, callers: list[str]) -> None:
    """Two callers' users of one name are two, and neither is the user that nobody vouches for."""
    names = Pseudonyms([EU, OLD], lambda: NOW)
    scopes = [{"key": names.name("key", caller)} for caller in callers]
    made = [names.name("end_user", value, scope) for scope in (*scopes, {})]
    assert 3 == len({each.current for each in made}) == len({each.former for each in made})
    assert (kind == other) == (names.name(kind, value) == names.name(other, value))
    assert names.name("end_user", value, {"tenant": scopes[0]["key"]}) != made[0]


@settings(max_examples=50)
@given(values, st.floats(0, 200))
def test_a_former_name_is_known_until_its_key_is_not(value: str, later: float) -> None:
    """And not after; the scope of an end user is then that of the former key, so that the old name is the same."""
    clock = [NOW]
    before = Pseudonyms([Key("eu-1", SECRETS[2])], lambda: NOW)
    after = Pseudonyms([EU, OLD], lambda: clock[0])

    def user(names: Pseudonyms) -> Named:
        return names.name("end_user", value, {"key": names.name("key", "sk")})

    old = user(before).current
    assert (old,) == user(after).former
    clock[0] = NOW + later
    assert ((old,) if later < 100 else ()) == user(after).former
    assert user(after).current != old


def test_what_is_kept_at_hand_is_bounded() -> None:
    """By its number and by its length; neither changes a name."""
    names = Pseudonyms([EU])
    long = "x" * 10_000
    assert names.name("key", long) == names.name("key", long) != names.name("key", long + "y")
    assert 0 == names._known.cache_info().currsize
    for number in range(9000):
        names.name("key", str(number))
    assert 8192 == names._known.cache_info().currsize


def written(path: Path, keys: object) -> Path:
    path.write_text(json.dumps(keys))
    return path


def entry(id_: str, secret: bytes = SECRETS[0], **more: str) -> dict[str, str]:
    return {"id": id_, "key": base64.b64encode(secret).decode(), **more}


def test_keys_are_read_from_json_and_yaml(tmp_path: Path) -> None:
    """The first is the current one; the time until which another is readable has its zone."""
    path = written(tmp_path / "keys", [entry("eu-2"), entry("eu-1", SECRETS[2], readable_until="2027-01-15T08:00:00Z")])
    assert (EU, Key("eu-1", SECRETS[2], NOW)) == read_keys(path)
    path.write_text(f"- id: eu-2\n  key: {entry('')['key']}\n- id: eu-1\n  key: {entry('', SECRETS[2])['key']}\n")
    assert [("eu-2", math.inf), ("eu-1", math.inf)] == [(key.id, key.until) for key in read_keys(path)]
    assert not any(repr(secret)[2:-1] in repr(read_keys(path)) for secret in SECRETS)


HIDDEN = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([], "no list of keys"),
        ({"id": "a"}, "no list of keys"),
        (["a"], "key 1: is not a mapping"),
        ([{"id": "a"}], "key 1: is not a mapping"),
        ([{**entry("a"), "secret": "x"}], "key 1: is not a mapping"),
        ([entry("A b")], "its id is not"),
        ([{"id": "a", "key": HIDDEN}], "its key has 20 bytes, 32 are needed"),
        ([{"id": "a", "key": HIDDEN + "!"}], "not base64"),
        ([{"id": "a", "key": [HIDDEN]}], "its key has 0 bytes"),
        ([entry("a"), entry("a", SECRETS[1])], "the same id"),
        ([entry("a", readable_until="2027-01-15T08:00:00Z")], "the first key has readable_until"),
        ([entry("a"), entry("b", readable_until="2027-01-15T08:00:00")], "no time with its zone"),
        ([entry("a"), entry("b", readable_until="soon")], "no time with its zone"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(keys: object, message: str, tmp_path: Path) -> None:
    """And shows nothing of a key."""
    with pytest.raises(ConfigError, match=re.escape(message)) as raised:
        read_keys(written(tmp_path / "keys.json", keys))
    assert HIDDEN not in str(raised.value)
    assert str(tmp_path / "keys.json") in str(raised.value)


def test_a_file_that_cannot_be_read_shows_nothing(tmp_path: Path) -> None:
    """Where YAML is broken, its line is told and not what stands there."""
    path = tmp_path / "keys.yaml"
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_keys(path)
    path.write_text(f"- id: a\n  key: {HIDDEN}: [\n")
    with pytest.raises(ConfigError, match=r"keys\.yaml:\d: not YAML") as raised:
        read_keys(path)
    assert HIDDEN not in str(raised.value)
    path.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_keys(path)


def test_a_random_key_is_nobody_elses() -> None:
    """Neither its secret nor its name, and both are as long as a file's must be."""
    one, other = random_key(), random_key()
    assert one.id != other.id
    assert one.secret != other.secret
    assert 32 == len(one.secret)
