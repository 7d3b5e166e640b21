"""A connection of ours and a client of another make (the h2 library), with nothing but bytes between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings

from safeguards_extproc.rpc.call import Call, Owner
from safeguards_extproc.rpc.connection import Connection, Limits
from safeguards_extproc.rpc.status import Status

HEADERS = [(":method", "POST"), (":scheme", "http"), (":path", "/test/Echo"), (":authority", "a")]
GRPC = [("te", "trailers"), ("content-type", "application/grpc")]


def framed(*messages: bytes) -> bytes:
    """As gRPC frames them."""
    return b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)


class Echo:
    """Says every message back, and OK at the end."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.heard: list[bytes] = []
        self.events: list[str] = []

    def message(self, data: bytes) -> None:
        self.heard.append(data)
        self.call.send(data)

    def half_closed(self) -> None:
        self.events.append("half-closed")
        self.call.end(Status.OK)

    def gone(self) -> None:
        self.events.append("gone")


class Silent(Echo):
    """Says nothing by itself."""

    def message(self, data: bytes) -> None:
        self.heard.append(data)

    def half_closed(self) -> None:
        self.events.append("half-closed")


@dataclass
class Heard:
    """What the client heard of one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    reset: int | None = None
    ended: bool = False

    @property
    def status(self) -> str:
        return self.trailers.get("grpc-status", self.headers.get("grpc-status", ""))


def _fields(headers: Any) -> dict[str, str]:
    """By name; h2 was asked for strings."""
    return {str(name): str(value) for name, value in headers}


class Talk:
    """Both ends. `owners` are those of the calls, in order; `pieces` says how the client's bytes are cut."""

    def __init__(
        self,
        owner: Callable[[Call], Owner] = Echo,
        limits: Limits | None = None,
        pieces: Sequence[int] = (1 << 20,),
        window: int | None = None,
    ) -> None:
        self.owners: list[Owner] = []
        self.woken = 0
        self._owner, self._pieces, self._turn = owner, pieces, 0
        self.server = Connection(self._route, self._woke, limits)
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.heard: dict[int, Heard] = {}
        self.reads = True
        self.ended: h2.events.ConnectionTerminated | None = None
        self.client.initiate_connection()
        if window is not None:
            self.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.pump()

    def _route(self, call: Call) -> Owner | None:
        if call.path != "/test/Echo":
            return None
        self.owners.append(self._owner(call))
        return self.owners[-1]

    def _woke(self) -> None:
        self.woken += 1

    def open(self, headers: list[tuple[str, str]] | None = None, *, end: bool = False) -> int:
        number = self.client.get_next_available_stream_id()
        self.heard[number] = Heard()
        self.client.send_headers(number, HEADERS + GRPC if headers is None else headers, end_stream=end)
        self.pump()
        return number

    def say(self, number: int, data: bytes, *, end: bool = False) -> None:
        """In frames as large as they may be, as the windows allow."""
        while True:
            room = min(self.client.local_flow_control_window(number), self.client.max_outbound_frame_size, len(data))
            piece, data = data[:room], data[room:]
            self.client.send_data(number, piece, end_stream=end and not data)
            self.pump()
            if not data:
                return
            assert room, "no room"

    def raw(self, data: bytes) -> None:
        """Bytes that h2 would not send."""
        self.server.receive(data)
        self.pump()

    def pump(self) -> None:
        """Until neither side has anything to say."""
        while True:
            there = self.client.data_to_send()
            while there:
                size = max(1, self._pieces[self._turn % len(self._pieces)])
                self._turn += 1
                self.server.receive(there[:size])
                there = there[size:]
            back = self.server.take()
            if not back:
                return
            for event in self.client.receive_data(back):
                self._hear(event)

    def _hear(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(stream_id=number, headers=headers):
                self.heard[number].headers = _fields(headers)
            case h2.events.DataReceived(stream_id=number, data=data, flow_controlled_length=size):
                self.heard[number].data += data
                if self.reads:
                    self.client.acknowledge_received_data(size, number)
            case h2.events.TrailersReceived(stream_id=number, headers=headers):
                self.heard[number].trailers = _fields(headers)
            case h2.events.StreamEnded(stream_id=number):
                self.heard[number].ended = True
            case h2.events.StreamReset(stream_id=number, error_code=code):
                self.heard[number].reset = int(code)
            case h2.events.ConnectionTerminated():
                self.ended = event
