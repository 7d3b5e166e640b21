"""The cluster's DNS: A records of Services, as CoreDNS answers them, over UDP.

The one rule: what is told is looked up every `ttl_s` seconds, whoever asks, as behind a cache that many share. So a pod
that has gone is still named for a while, and one that has come is not yet.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence

TTL_S = 5.0
"""What CoreDNS's plugin `kubernetes` gives its records."""

_A, _IN = 1, 1
_NXDOMAIN = 3

Addresses = Callable[[str], Sequence[str] | None]
"""The addresses of a name; None if there is no such name."""


class Names:
    """Answers at `host`:`port` (0 takes a free one) until it is closed."""

    def __init__(self, addresses: Addresses, host: str, port: int, ttl_s: float = TTL_S) -> None:
        self._addresses, self._ttl_s, self._told = addresses, ttl_s, dict[str, Sequence[str] | None]()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.settimeout(0.05)
        self.place: tuple[str, int] = self._socket.getsockname()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        due = 0.0
        while not self._closed:
            if time.monotonic() >= due:
                due = time.monotonic() + self._ttl_s
                self._told = {name: self._addresses(name) for name in self._told}
            with contextlib.suppress(OSError, IndexError, struct.error):
                query, peer = self._socket.recvfrom(4096)
                self._socket.sendto(self._answer(query), peer)

    def _look_up(self, name: str) -> Sequence[str] | None:
        if not self._told.get(name):  # a denial is not kept: its time is short in clusters, too
            self._told[name] = self._addresses(name)
        return self._told[name]

    def _answer(self, query: bytes) -> bytes:
        """RFC 1035: the question again, and a record for each address. Other types than A exist and are empty."""
        labels, at = [], 12
        while size := query[at]:
            labels.append(query[at + 1 : at + 1 + size].decode("ascii", "replace"))
            at += 1 + size
        kind, _ = struct.unpack_from("!HH", query, at + 1)
        found = self._look_up(".".join(labels).lower())
        records = [
            struct.pack("!HHHIH", 0xC00C, _A, _IN, int(self._ttl_s), 4) + socket.inet_aton(address)
            for address in (found or ())
            if kind == _A
        ]
        flags = 0x8580 | (_NXDOMAIN if found is None else 0)  # an answer, with authority; recursion as it was asked
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        return head + query[12 : at + 5] + b"".join(records)
