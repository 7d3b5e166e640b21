"""One Envoy, one filter without models, one upstream that says what it is told to, and a tap on the line to Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from safeguards_extproc.local import envoy
from tests.envoy import rig, rules
from tests.envoy.background import Background, until
from tests.envoy.recorder import Recorder, Reply

_REQUEST = re.compile(rb"POST \S+ HTTP/1\.1\r\n")
_ID = re.compile(rb"\r\nx-safeguards-id: (\S+)")

FORBIDDEN, WAIT, LATER, GONE = "juniper", "heather", "lavender", "hemlock"
"""Words in a prompt: blocked, throttled for a second, throttled for an hour, suspended."""

KIND = "/kind"
"""A block is an answer that says no where a path begins so."""

BAD, WIPE = "Bluefinch", "preserve-root"
"""Words that no answer and no call may hold."""


def policy() -> rules.Rules:
    """A rule for each column. A slow stream's first window is waited for, so that the status can still say no."""
    words = {"forbidden": FORBIDDEN, "wait": WAIT, "later": LATER, "gone": GONE, "bad": BAD, "wipe": WIPE}
    lists = {name: {"keywords": [word]} for name, word in words.items()}

    def rule(name: str, on: str, then: str, **more: object) -> dict[str, object]:
        return {"name": name, "when": f"scores.marks.{name} > 0", "on": on, "then": then, **more}

    patient = {"flush_ms": 20_000}
    return {
        "version": 1,
        "name": "matrix",
        "detectors": {"marks": {"kind": "patterns", "lists": lists}, "pii": {"kind": "pii", "entities": ["email"]}},
        "rules": [
            rule("forbidden", "request", "block", category="plants"),
            rule("wait", "request", "throttle", retry_after_s=1),
            rule("later", "request", "throttle", retry_after_s=3600),
            rule("gone", "request", "suspend"),
            rule("bad", "response", "block", category="names"),
            rule("wipe", "response", "block", **{"in": ["tool_call"]}),
            {"name": "mask", "when": "scores.pii.email > 0", "then": "redact", "entities": ["email"]},
        ],
        "routes": [
            {"name": "kind", "match": {"paths": [f"{KIND}/**"]}, "refuse_as": "answer", "window": patient},
            {"name": "all", "window": patient},
        ],
    }


class Tap:
    """Passes connections on to `target` ("host:port") and keeps every byte of both directions."""

    def __init__(self, background: Background, target: str) -> None:
        self._target = target
        self.up, self.down = bytearray(), bytearray()
        self.url = f"http://{background.run(self._listen())}"

    async def _listen(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        there = await asyncio.open_connection(host, int(port))
        await asyncio.gather(self._pipe(reader, there[1], self.up), self._pipe(there[0], writer, self.down))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray) -> None:
        with contextlib.suppress(OSError):
            try:
                while data := await reader.read(1 << 16):
                    seen += data
                    writer.write(data)
                    await writer.drain()
            finally:
                writer.close()

    @property
    def requests(self) -> int:
        return len(_REQUEST.findall(self.up))


@dataclass(slots=True)
class Stack:
    """`fresh` before each exchange; then what the tap, the upstream and the records say is of that one."""

    tap: Tap
    recorder: Recorder
    filter: rig.Filter
    clients: dict[tuple[str, bool, str], Any] = field(default_factory=dict)
    _at: int = 0

    def fresh(self, reply: Reply | None = None) -> None:
        self.tap.up.clear()
        self.tap.down.clear()
        self.recorder.received.clear()
        self.recorder.asked = 0
        self.recorder.cancelled = 0
        self.recorder.replies[""] = reply or Reply()
        self._at = self.filter.records.stat().st_size if self.filter.records.exists() else 0

    def records(self) -> list[dict[str, Any]]:
        """The records of the exchanges since `fresh`, by the ids in their answers: one that was hung up on is late."""
        ids = [found.decode() for found in _ID.findall(bytes(self.tap.down))]

        def read() -> list[dict[str, Any]]:
            with self.filter.records.open("rb") as file:
                file.seek(self._at)
                kept = [json.loads(line) for line in file.read().split(b"\n")[:-1]]
            found = [each for each in kept if each["id"] in ids]
            return found if len(found) >= len(ids) else []

        return until(read, f"{len(ids)} records")


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Everything up; everything ended on the way out."""
    with ExitStack() as ends:
        background = Background()
        ends.callback(background.close)
        recorder = Recorder(background)
        started = rig.serve(rules.write(folder / "matrix.yaml", policy()), folder / "filter.sock")
        ends.callback(rig.end, started.part)
        document = envoy.load(rules.ROOT / "envoy" / "demo.yaml")
        [_, upstream] = document["static_resources"]["clusters"]
        upstream["typed_extension_protocol_options"] = rig.http2()
        addresses = envoy.Addresses(recorder.address, (f"unix://{started.socket}",))
        front = envoy.start(document, addresses, folder)
        ends.callback(partial(rig.end, front.part))
        yield Stack(Tap(background, front.url.removeprefix("http://")), recorder, started)
