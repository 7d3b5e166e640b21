"""One request over HTTP/2 from one socket, trailers included: what no HTTP client of the SDKs can send."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

from tests.envoy.background import PATIENCE_S

Fields = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Answer:
    """A response as it arrived. `reset` is the error code of a stream that did not end well."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    reset: int | None = None
    ended: bool = False

    @property
    def status(self) -> int:
        return int(self.headers[":status"])


def post(
    url: str, path: str, body: bytes, headers: Fields = (), trailers: Fields = (), host: str = "models.test"
) -> Answer:
    """POST `body` to "http://host:port" + `path`, with prior knowledge of HTTP/2; the answer once it has ended."""
    place, _, port = url.removeprefix("http://").rpartition(":")
    config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
    http, answer = h2.connection.H2Connection(config), Answer()
    with socket.create_connection((place, int(port)), timeout=PATIENCE_S) as connection:
        http.initiate_connection()
        stream = http.get_next_available_stream_id()
        fields = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", host), *headers]
        http.send_headers(stream, fields)
        size = http.max_outbound_frame_size
        for start in range(0, len(body), size):
            http.send_data(stream, body[start : start + size])
        if trailers:
            http.send_headers(stream, list(trailers), end_stream=True)
        else:
            http.end_stream(stream)
        connection.sendall(http.data_to_send())
        while not answer.ended and answer.reset is None:
            data = connection.recv(1 << 16)
            if not data:
                break
            for event in http.receive_data(data):
                _take(http, answer, event)
            connection.sendall(http.data_to_send())
    return answer


def fields_of(event: h2.events.Event) -> dict[str, str]:
    """The headers or trailers of an event, of a connection that decodes them (header_encoding)."""
    return {str(name): str(value) for name, value in getattr(event, "headers", None) or ()}


def _take(http: h2.connection.H2Connection, answer: Answer, event: h2.events.Event) -> None:
    match event:
        case h2.events.ResponseReceived():
            answer.headers = fields_of(event)
        case h2.events.DataReceived():
            answer.body += event.data or b""
            http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        case h2.events.TrailersReceived():
            answer.trailers = fields_of(event)
        case h2.events.StreamEnded():
            answer.ended = True
        case h2.events.StreamReset():
            answer.reset = int(event.error_code or 0)
        case _:
            pass
