"""GKE's objects: fields and bounds as documented, and the expression reads the routes that were asked for."""

from __future__ import annotations

from typing import Any

import pytest
from celpy import Environment
from celpy.adapter import json_to_cel
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.attach import MESHES
from safeguards_extproc.attach.options import Attachment, How, Route, Tls
from safeguards_extproc.errors import ConfigError
from tests.attach import crds


def objects(wanted: Attachment) -> list[dict[str, Any]]:
    return [document for _, document in MESHES["gke"](wanted)]


SHAPES = {
    "default": Attachment(gateway="edge"),
    "tls": Attachment(gateway="edge", tls=Tls.SERVER, tls_name="filter.example"),
    "routes": Attachment(gateway="edge", routes=(Route("/v1/", How.OFF), Route("/v1/chat", How.GUARD))),
    "labels": Attachment(gateway="edge", pods={"app.kubernetes.io/instance": "guard"}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_kubernetes_takes_it(name: str) -> None:
    """Every object has the fields that are documented, within their bounds, and no other."""
    for document in objects(SHAPES[name]):
        crds.check(document)


PATHS = st.sampled_from(["/", "/v1", "/v1/", "/v1/chat", "/v1/chat/a", "/v2", "/files/x"])


@pytest.mark.long
@given(st.dictionaries(PATHS, st.sampled_from([How.GUARD, How.OFF]), max_size=4), st.booleans(), PATHS)
@settings(max_examples=25, deadline=None)
def test_the_longest_route_counts(routes: dict[str, How], on: bool, path: str) -> None:
    """The expression says of each path what the longest route that it begins with says."""
    default = How.GUARD if on else How.OFF
    wanted = Attachment(gateway="g", how=default, routes=tuple(Route(name, how) for name, how in routes.items()))
    matching = sorted((name for name in routes if path.startswith(name)), key=len)
    expected = (routes[matching[-1]] if matching else default) is How.GUARD
    try:
        [extension, *_] = objects(wanted)
    except ConfigError:
        assert not expected
        return
    crds.check(extension)
    [chain] = extension["spec"]["extensionChains"]
    assert expected == _matches(chain["matchCondition"]["celExpressions"][0]["celMatcher"], path)


def _matches(expression: str, path: str) -> bool:
    environment = Environment()
    program = environment.program(environment.compile(expression))
    return bool(program.evaluate({"request": json_to_cel({"path": path})}))


REFUSED = [
    (Attachment(), "no Gateway is named"),
    (Attachment(gateway="g", how=How.BUFFERED), "GKE has no buffered"),
    (Attachment(gateway="g", routes=(Route("/a", How.FAIL_OPEN),)), "GKE has no fail-open"),
    (Attachment(gateway="g", timeout_s=11), "ten seconds at most"),
    (Attachment(gateway="g", routes=(Route("chat", How.OFF),)), "is no path"),
    (Attachment(gateway="g", how=How.OFF), "no route is read"),
]


@pytest.mark.parametrize(("wanted", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_gke_cannot_do_is_refused(wanted: Attachment, said: str) -> None:
    """Nothing is written that would be weaker than what was asked for."""
    with pytest.raises(ConfigError, match=said):
        objects(wanted)


def test_an_event_that_is_missing_is_found() -> None:
    """The schema bites: full duplex without trailers would never reach us."""
    [extension, *_] = objects(SHAPES["default"])
    extension["spec"]["extensionChains"][0]["extensions"][0]["supportedEvents"].remove("ResponseTrailers")
    with pytest.raises(AssertionError, match="duplex_sends_trailers"):
        crds.check(extension)
