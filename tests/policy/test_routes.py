"""The first route that matches counts, and no spelling of a path slips past one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.decision import Gate, Limits, Release, Route
from safeguards_extproc.policy.document import Match, RouteSpec
from safeguards_extproc.policy.routes import CACHED, Matches, Table, authority, glob, matches_all, route

ROUTES = [
    RouteSpec(name="health", match=Match(methods=["GET"], paths=["/healthz"]), inspect=False),
    RouteSpec(name="internal", match=Match(hosts=["*.internal.example"]), gate="observe"),
    RouteSpec(name="chat", match=Match(methods=["POST"], paths=["/v1/chat/completions", "/v1/messages"])),
    RouteSpec(name="files", match=Match(paths=["/v1/files/*/content"])),
    RouteSpec(name="v1", match=Match(paths=["/v1/**"])),
]


@pytest.mark.parametrize(
    ("method", "host", "path", "expected"),
    [
        ("GET", "a", "/healthz", "health"),
        ("get", "a", "/healthz?x=1", "health"),
        ("POST", "a", "/healthz", "default"),
        ("GET", "a", "/healthz/../v1/messages", "v1"),
        ("GET", "a", "/v1/%2e%2e/healthz", "health"),
        ("POST", "api.internal.example:8443", "/healthz", "internal"),
        ("POST", "API.Internal.Example.", "/v1/messages", "internal"),
        ("POST", "internal.example", "/v1/messages", "chat"),
        ("POST", "a", "/v1//chat/./completions/", "chat"),
        ("POST", "a", "/V1/Chat/Completions?stream=1", "chat"),
        ("POST", "a", "https://a/v1/messages", "chat"),
        ("POST", "a", "/v1/files/x/content", "files"),
        ("POST", "a", "/v1/files/x/y/content", "v1"),
        ("POST", "a", "/v1/caf\u00e9/\udc80", "v1"),
        ("POST", "a", "", "default"),
        ("OPTIONS", "", "*", "default"),
    ],
)
def test_finds(method: str, host: str, path: str, expected: str) -> None:
    """Hosts without port and in small letters; paths as a server would read them; the same answer twice."""
    table = Table(ROUTES)
    assert [table.find(method, host, path).name for _ in range(2)] == [expected] * 2


def test_the_last_route_matches_everything() -> None:
    """A catch-all that inspects is added, unless the policy has its own."""
    assert Table([]).routes == (Route("default"),)
    assert [r.name for r in Table(ROUTES).routes][-2:] == ["v1", "default"]
    assert [r.name for r in Table([RouteSpec(name="mine")]).routes] == ["mine"]
    assert Table([RouteSpec(name="mine", match=Match(paths=["/**"]))]).find("POST", "", "*").name == "mine"


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (Match(), True),
        (Match(paths=["/**"], hosts=["*"]), True),
        (Match(paths=["/x", "/**"]), True),
        (Match(paths=["/*"]), False),
        (Match(methods=["POST"]), False),
        (Match(hosts=["a"]), False),
    ],
)
def test_what_matches_everything(match: Match, expected: bool) -> None:
    """Nothing may be left over."""
    assert matches_all(match) is expected


def test_a_route_is_what_its_document_says() -> None:
    """Every key arrives in the core's route."""
    spec = RouteSpec.model_validate(
        {
            "name": "r",
            "format": "openai_chat",
            "gate": "overlap",
            "release": "follow",
            "window": {"first": 10, "largest": 50, "overlap": 5, "flush_ms": 7, "turns": True},
            "limits": {"request_bytes": "1MiB"},
            "refuse_as": "answer",
            "strip_accept_encoding": False,
        }
    )
    got = route(spec)
    assert (got.gate, got.release, got.format, got.refuse_as) == (Gate.OVERLAP, Release.FOLLOW, "openai_chat", "answer")
    assert (got.windowing.first, got.windowing.flush_ms, got.strip_accept_encoding) == (10, 7, False)
    assert (False, True) == (got.windowing.paragraphs, got.windowing.turns)
    assert got.limits == Limits(request_bytes=1 << 20)


@pytest.mark.parametrize(
    ("host", "name"),
    [("A.b:443", "a.b"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a.b.", "a.b"), ("", ""), ("a:b", "a:b")],
)
def test_hosts(host: str, name: str) -> None:
    """A port is no part of the name."""
    assert authority(host) == name


def test_a_pattern_is_no_regular_expression() -> None:
    """Only stars are special."""
    assert glob("/a.b/*/c+", "[^/]*") == r"\/a\.b\/[^/]*\/c\+"


def test_the_cache_is_bounded() -> None:
    """However many paths clients make up, and however long."""
    table = Matches([(spec.match, spec.name) for spec in ROUTES], "default")
    for i in range(CACHED + 10):
        table.find("POST", "a", f"/v1/{i}")
    table.find("POST", "a", "/v1/" + "x" * 10_000)
    assert len(table._cache) <= CACHED


@given(st.text(max_size=20), st.text(max_size=20), st.text(st.characters(), max_size=40))
@settings(max_examples=150, deadline=None)
def test_every_exchange_has_a_route(method: str, host: str, path: str) -> None:
    """Nothing raises, and what the cache answers is what the search answers."""
    table = Table(ROUTES)
    assert table.find(method, host, path) is table.find(method, host, path)
