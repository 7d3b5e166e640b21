"""What headers say of a body that no format reads. Names for policy and the record, never a reason to let it pass."""

from __future__ import annotations

from collections.abc import Mapping

WEBSOCKET = "websocket"
"""The connection turns into a tunnel: WebSocket, any other upgrade, CONNECT."""

ANSWER = "opaque-answer"
"""An answer that no format reads, where no text was asked for: to a request without a body, or the page of a redirect
or an error."""

OVERLOADED = "overloaded"
"""There is no time to read it: too much waited already when it began."""

_TEXTUAL = ("json", "xml", "yaml", "x-www-form-urlencoded", "javascript", "graphql")
_NO_UPGRADE = frozenset(("h2c", "h2", "http/2.0"))


def media(fields: Mapping[str, str]) -> str:
    """The media type, in small letters and without its parameters; "" if there is none."""
    return fields.get("content-type", "").partition(";")[0].strip().lower()


def unknown(fields: Mapping[str, str]) -> str:
    """What to call a body that no format reads: "grpc", "binary", or "opaque" for text and what says nothing."""
    type_ = media(fields)
    if type_.startswith("application/grpc"):
        return "grpc"
    if not type_ or type_.startswith(("text/", "multipart/")) or type_.endswith(_TEXTUAL):
        return "opaque"
    return "binary"


def upgrades(fields: Mapping[str, str]) -> bool:
    """Whether a request asks for a tunnel. Only GET can (RFC 6455 4.1): beside a body that is read, the header of any
    other method asks for nothing. HTTP/2 by upgrade is no tunnel, and Envoy takes such a header off."""
    method = fields.get(":method", "").upper()
    if method == "CONNECT":
        return True
    wanted = {name.strip().lower() for name in fields.get("upgrade", "").split(",")} - {""}
    return method == "GET" and bool(wanted - _NO_UPGRADE)
