"""Paths that no API claims, through a real Envoy: a body of a known shape is read, any other is refused by default."""

from __future__ import annotations

import json

import pytest

from tests.envoy import rules
from tests.envoy.rig import Rig, post, send

pytestmark = pytest.mark.real

KEY = "aws_access_key_id = AKIAQYLPMN5HFIQR7X2K"
CHAT = {"model": "m", "messages": [{"role": "user", "content": KEY}]}
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--b\r\nContent-Disposition: form-data; '
    b'name="file"; filename="a.txt"\r\nContent-Type: image/png\r\n\r\n' + KEY.encode() + b"\r\n--b--\r\n"
)
listeners = pytest.mark.parametrize("listener", ["ingress", "buffered"])


@listeners
@pytest.mark.parametrize(
    ("content_type", "body", "read_as"),
    [
        ("application/json", json.dumps(CHAT).encode(), "openai_chat"),
        ("application/grpc", json.dumps(CHAT).encode(), "openai_chat"),
        ("application/json", json.dumps({**CHAT, "system": "x"}).encode(), "anthropic_messages"),
        ("multipart/form-data; boundary=b", FORM, "openai_media"),
    ],
)
def test_a_rewritten_path_hides_no_text(rig: Rig, listener: str, content_type: str, body: bytes, read_as: str) -> None:
    """The credential is found, whatever the label says, and the request never leaves."""
    _, headers, _ = post(rig.urls[listener], "/rewritten", body, {"content-type": content_type})
    record = rig.main.record(headers["x-safeguards-id"])
    assert ("block", read_as, "secrets") == (record.outcome, record.format, record.rule)


@listeners
@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("application/grpc", b"\x00\x00\x00\x00\x02\x08\x01", "grpc"),
        ("application/x-protobuf", b"\x08\x01", "binary"),
        ("application/json", b'{"messages": [], "messages": []}', "malformed"),
        ("application/json", b'{"query": "running shoes"}', "opaque"),
        ("application/x-www-form-urlencoded", b"query=running+shoes", "opaque"),
    ],
)
def test_what_has_no_shape_is_told_apart(rig: Rig, listener: str, content_type: str, body: bytes, reason: str) -> None:
    """And refused by the demo's policy."""
    _, headers, _ = post(rig.urls[listener], "/rewritten", body, {"content-type": content_type})
    record = rig.main.record(headers["x-safeguards-id"])
    assert ("block", reason) == (record.outcome, record.request.account.uninspectable)


@listeners
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_a_request_without_a_body_has_its_answer(rig: Rig, listener: str, method: str) -> None:
    """Whatever the upstream says to it; a header tells that nobody read that."""
    status, headers, body = send(method, rig.urls[listener], "/v1/unheard-of", b"", {})
    record = rig.main.record(headers["x-safeguards-id"])
    assert ("annotate", status) == (record.outcome, record.status)
    assert ("", "opaque-answer") == tuple(one.account.uninspectable for one in (record.request, record.response))
    assert "opaque-answer" == headers["x-safeguards-uninspected"]
    assert body


@listeners
def test_envoy_says_which_of_its_routes_it_took(rig: Rig, listener: str) -> None:
    """The attribute comes with the first message, in both body modes."""
    body = json.dumps({**CHAT, "messages": [{"role": "user", "content": KEY}]}).encode()
    _, headers, _ = post(rig.urls[listener], "/v1/chat/completions", body, dict([rules.CAREFUL]))
    features = rig.main.record(headers["x-safeguards-id"]).request.features
    assert rules.CAREFUL[1] == features["envoy_route"]
