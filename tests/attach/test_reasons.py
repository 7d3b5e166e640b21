"""What stands beside a setting is about that value."""

from __future__ import annotations

import pytest

from safeguards_extproc.attach import MESHES
from safeguards_extproc.attach.options import Attachment, How, Route, Tls
from safeguards_extproc.attach.reasons import REASONS, reason
from safeguards_extproc.attach.yaml_text import stream


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("failure_mode_allow", False, "a filter that is away must not mean traffic that nobody reads"),
        ("failure_mode_allow", True, REASONS["failure_mode_allow=true"]),
        ("message_timeout", "10s", REASONS["message_timeout"]),
        ("type", "STATIC", ""),
        ("name", "safeguards", ""),
    ],
)
def test_a_value_has_its_own_reason(name: str, value: object, expected: str) -> None:
    """Failing open is called unread, failing closed is not."""
    assert expected == reason(name, value)


def test_every_reason_is_given() -> None:
    """No reason is kept for a setting that nobody writes."""
    shapes = [
        ("static", Attachment(how=how, tls=tls, routes=(Route("/a", How.OFF),)))
        for how in (How.GUARD, How.FAIL_OPEN)
        for tls in (Tls.NONE, Tls.MUTUAL)
    ]
    shapes += [("istio", Attachment(addresses=("f.mesh.svc:1",))), ("gke", Attachment(gateway="g"))]
    shapes += [("envoy-gateway", Attachment(gateway="g", how=how)) for how in (How.GUARD, How.FAIL_OPEN)]
    said = "".join(stream(MESHES[mesh](wanted)) for mesh, wanted in shapes)
    assert [] == [words for words in REASONS.values() if words not in said]
