"""An HTTP exchange as the messages that Envoy would send of it, in full duplex; and messages as HTTP again.

Envoy's own classes write and read them, so what is made here is what a filter gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode  # type: ignore[import-untyped]
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest  # type: ignore[import-untyped]

from safeguards_extproc.core.taken import Message

HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
)
"""Headers of one hop (RFC 9110 7.6.1), and the length, which Envoy says anew."""


@dataclass(slots=True)
class Side:
    """One direction: its headers (pseudo-headers first, names in lower case) and its body as it came: microseconds from
    the exchange's first message, and bytes."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    body: list[tuple[int, bytes]] = field(default_factory=list)
    at: int = 0
    ended: bool = False

    def __repr__(self) -> str:
        return f"Side({len(self.headers)} headers, {sum(len(data) for _, data in self.body)} bytes)"

    def get(self, name: str) -> str:
        """The first header of that name, "" if there is none."""
        return next((value for each, value in self.headers if each == name), "")


def request(method: str, host: str, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> Side:
    """A request that begins at 0."""
    pseudo = [(":method", method), (":scheme", "https"), (":authority", host), (":path", path)]
    return Side(pseudo + _kept(headers, "host"), [(0, body)] if body else [])


def response(status: int, headers: Iterable[tuple[str, str]], body: Sequence[tuple[int, bytes]], at: int) -> Side:
    """An answer whose headers come at `at`."""
    return Side([(":status", str(status)), *_kept(headers)], [chunk for chunk in body if chunk[1]], at)


def messages(asked: Side, answered: Side | None) -> list[Message]:
    """What Envoy would send, in order."""
    found: list[Message] = []
    for name, side in (("request", asked), ("response", answered)):
        if side is None:
            continue
        first = ProcessingRequest()
        if not found:
            config = first.protocol_config
            config.request_body_mode = config.response_body_mode = ProcessingMode.FULL_DUPLEX_STREAMED
        head = getattr(first, f"{name}_headers")
        for key, value in side.headers:
            head.headers.headers.add(key=key, raw_value=value.encode("latin-1", "replace"))
        head.end_of_stream = not side.body
        found.append(Message(len(found), side.at, True, first.SerializeToString()))
        for number, (at, data) in enumerate(side.body, 1):
            chunk = ProcessingRequest()
            body = getattr(chunk, f"{name}_body")
            body.body, body.end_of_stream = data, number == len(side.body)
            found.append(Message(len(found), at, True, chunk.SerializeToString()))
    return found


def sides(said: Iterable[Message]) -> tuple[Side | None, Side | None]:
    """The request and the answer that Envoy told of, None where it told of none. What is no message is passed over."""
    found: dict[str, Side] = {}
    for message in said:
        if not message.from_envoy:
            continue
        parsed = ProcessingRequest.FromString(message.raw)
        name, _, part = str(parsed.WhichOneof("request")).partition("_")
        value: Any = getattr(parsed, f"{name}_{part}", None)
        if part == "headers":
            headers = [(each.key, each.raw_value.decode("latin-1") or each.value) for each in value.headers.headers]
            found[name] = Side(headers, [], message.at, value.end_of_stream)
        elif name in found and part == "body":
            found[name].body.append((message.at, value.body))
            found[name].ended = value.end_of_stream
        elif name in found:
            found[name].ended = True
    return found.get("request"), found.get("response")


def _kept(headers: Iterable[tuple[str, str]], *others: str) -> list[tuple[str, str]]:
    named = [(name.lower(), value) for name, value in headers]
    return [(name, value) for name, value in named if name[:1] != ":" and name not in HOP_BY_HOP and name not in others]
