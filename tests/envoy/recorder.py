"""An upstream over HTTP/2 that keeps what reached it, byte for byte, and answers what a test told it to.

The demo's model server reads JSON and answers JSON; here it is the bytes, the headers and the trailers that count.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from tests.envoy.background import Background
from tests.envoy.http2 import Fields, fields_of

HELLO = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer. One that `hangs` does not end until `Recorder.reset`; without headers it does not even begin."""

    body: bytes = json.dumps(HELLO).encode()
    headers: Fields = (("content-type", "application/json"),)
    trailers: Fields = ()
    hangs: bool = False


@dataclass(slots=True)
class Received:
    """A request as it arrived."""

    headers: dict[str, str]
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)


class Recorder:
    """`replies` and `received` go by the exchange that the request names (EXCHANGE_HEADER), "" if it names none.

    `asked` counts requests, `cancelled` the answers of which the rest was not wanted.
    """

    def __init__(self, background: Background) -> None:
        self.replies: dict[str, Reply] = {}
        self.received: dict[str, Received] = {}
        self.hanging: dict[str, tuple[_Connection, int]] = {}
        self.asked = self.cancelled = 0
        self._background = background
        self.address = background.run(self._listen())

    def reset(self, name: str) -> None:
        """End an answer that hangs, with an error."""
        connection, stream_id = self.hanging.pop(name)
        self._background.loop.call_soon_threadsafe(connection.reset, stream_id)

    async def _listen(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, writer)
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            while data := await reader.read(1 << 16):
                connection.take(data)
                await writer.drain()
        writer.close()


class _Connection:
    def __init__(self, recorder: Recorder, writer: asyncio.StreamWriter) -> None:
        self._recorder, self._writer = recorder, writer
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._http.initiate_connection()
        self._requests: dict[int, Received] = {}
        self._unsent: dict[int, tuple[bytearray, Reply]] = {}
        self._flush()

    def _flush(self) -> None:
        self._writer.write(self._http.data_to_send())

    def take(self, data: bytes) -> None:
        for event in self._http.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    self._requests[event.stream_id] = Received(fields_of(event))
                case h2.events.DataReceived():
                    self._requests[event.stream_id].body += event.data or b""
                    self._http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                case h2.events.TrailersReceived():
                    self._requests[event.stream_id].trailers = fields_of(event)
                case h2.events.StreamEnded():
                    self._answer(event.stream_id)
                case h2.events.StreamReset():
                    self._unsent.pop(event.stream_id, None)
                    self._recorder.cancelled += 1
                case _:
                    pass
        for stream_id in list(self._unsent):
            self._send(stream_id)
        self._flush()

    def reset(self, stream_id: int) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):  # Envoy was faster
            self._http.reset_stream(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            self._flush()

    def _answer(self, stream_id: int) -> None:
        received = self._requests.pop(stream_id)
        name = received.headers.get(EXCHANGE_HEADER, "")
        self._recorder.received[name] = received
        self._recorder.asked += 1
        reply = self._recorder.replies.get(name, Reply())
        if reply.hangs:
            self._recorder.hanging[name] = self, stream_id
        if reply.hangs and not reply.headers:
            return
        self._http.send_headers(stream_id, [(":status", "200"), *reply.headers])
        self._unsent[stream_id] = bytearray(reply.body), reply

    def _send(self, stream_id: int) -> None:
        """As much as the peer's windows allow; the end when all has gone."""
        rest, reply = self._unsent[stream_id]
        while rest:
            size = min(self._http.local_flow_control_window(stream_id), self._http.max_outbound_frame_size, len(rest))
            if size <= 0:
                return
            self._http.send_data(stream_id, bytes(rest[:size]))
            del rest[:size]
        del self._unsent[stream_id]
        if reply.hangs:
            return
        if reply.trailers:
            self._http.send_headers(stream_id, list(reply.trailers), end_stream=True)
        else:
            self._http.end_stream(stream_id)
