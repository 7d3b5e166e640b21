"""What headers say of a body that nobody reads."""

import pytest

from safeguards_extproc.core import media


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("", "opaque"),
        ("text/html; charset=utf-8", "opaque"),
        ("application/json", "opaque"),
        ("application/vnd.api+json", "opaque"),
        ("application/x-www-form-urlencoded", "opaque"),
        ("multipart/mixed; boundary=x", "opaque"),
        ("application/grpc", "grpc"),
        ("Application/gRPC-Web+proto", "grpc"),
        ("application/octet-stream", "binary"),
        ("audio/mpeg", "binary"),
        ("application/x-protobuf", "binary"),
    ],
)
def test_a_body_has_a_name(content_type, name):
    """Text that nobody knows, gRPC, and everything else."""
    assert name == media.unknown({"content-type": content_type})


@pytest.mark.parametrize(
    ("fields", "tunnel"),
    [
        ({":method": "GET", "upgrade": "websocket"}, True),
        ({":method": "get", "upgrade": "WebSocket, h2c"}, True),
        ({":method": "GET", "upgrade": "something-new"}, True),
        ({":method": "CONNECT"}, True),
        ({":method": "GET", "upgrade": "h2c"}, False),
        ({":method": "GET"}, False),
        ({":method": "POST", "upgrade": "websocket"}, False),
    ],
)
def test_only_a_handshake_asks_for_a_tunnel(fields, tunnel):
    """A POST with the header is read like any other: it must not be a way past the reader."""
    assert tunnel is media.upgrades(fields)


def test_a_media_type_has_no_parameters():
    """And no capitals."""
    assert "text/plain" == media.media({"content-type": " Text/Plain ; charset=utf-8"})
    assert "" == media.media({})
