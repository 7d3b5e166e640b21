"""What can be attached, and what is refused in words that name the option."""

from __future__ import annotations

from typing import Any

import pytest

from safeguards_extproc.attach.options import Attachment, How, Route, place, route
from safeguards_extproc.errors import ConfigError

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"addresses": ("filter",)}, "--address"),
    ({"addresses": ("filter:0",)}, "--address"),
    ({"addresses": ("filter:70000",)}, "--address"),
    ({"addresses": ("two words:9002",)}, "--address"),
    ({"addresses": ("unix://relative",)}, "--address"),
    ({"addresses": ("unix:///a.sock", "filter:9002")}, "--address"),
    ({"service": "Not A Name"}, "--service"),
    ({"namespace": "a_b"}, "--namespace"),
    ({"gateway": "-x"}, "--gateway"),
    ({"gateway_namespace": "x" * 64}, "--gateway-namespace"),
    ({"port": 0}, "--port"),
    ({"streams": 0}, "--streams"),
    ({"timeout_s": 0.2}, "--message-timeout"),
    ({"routes": (Route("/a", How.OFF), Route("/a", How.GUARD))}, "--route"),
]


@pytest.mark.parametrize(("given", "option"), REFUSED, ids=[str(given) for given, _ in REFUSED])
def test_what_cannot_be_attached_is_refused(given: dict[str, Any], option: str) -> None:
    """Nothing is written that Envoy or Kubernetes would refuse later."""
    with pytest.raises(ConfigError) as caught:
        Attachment(**given)
    assert option == caught.value.where


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("127.0.0.1:9002", ("127.0.0.1", 9002)),
        ("[::1]:9002", ("::1", 9002)),
        ("filter.mesh.svc:1", ("filter.mesh.svc", 1)),
        ("unix:///run/a.sock", ("/run/a.sock", 0)),
    ],
)
def test_addresses_are_read(given: str, expected: tuple[str, int]) -> None:
    """Host and port of an address, and a socket's path."""
    assert expected == place(given)
    assert Attachment(addresses=(given,)).addresses == (given,)


def test_a_name_is_resolved_and_checked() -> None:
    """A host by name needs DNS, and its certificate has that name."""
    named = Attachment(addresses=("filter.example:9002",))
    assert (True, "filter.example") == (named.resolved, named.server_name)
    plain = Attachment(tls_name="filter.internal")
    assert (False, "filter.internal") == (plain.resolved, plain.server_name)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/v1/chat", Route("/v1/chat", How.GUARD)),
        ("/admin=off", Route("/admin", How.OFF)),
        ("chat.default=fail-open", Route("chat.default", How.FAIL_OPEN)),
    ],
)
def test_routes_are_read(given: str, expected: Route) -> None:
    """A route alone is guarded."""
    assert expected == route(given)


@pytest.mark.parametrize("given", ["", "=off", '/a"b', "/a=open", "/a=", "a b"])
def test_other_routes_are_refused(given: str) -> None:
    """A word that is no route, or no way to treat one, is refused; quotes could end an expression."""
    with pytest.raises(ConfigError):
        route(given)


def test_a_slug_is_a_name_of_kubernetes() -> None:
    """Part of an object's name, whatever the route is called."""
    assert ["v1-chat", "root", "chat-default"] == [
        Route(name, How.OFF).slug for name in ("/v1/Chat/", "/", "chat.default")
    ]
