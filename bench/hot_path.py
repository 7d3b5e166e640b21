"""What an exchange makes the filter do, counted and not timed: `python -m bench.hot_path [--note] [--instructions]`.

The whole service but for its sockets: bytes of HTTP/2 as Envoy sends them go into a connection, and what the connection
would write is thrown away. Bytecodes are the same on every machine with that version of Python; instructions are
callgrind's, and differ by a tenth between two builds of one version. `--note` writes both to bench/hot_path.json, where
the tests find what this build of Python took when somebody last looked.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import uvloop
from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue  # type: ignore[import-untyped]
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode  # type: ignore[import-untyped]
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb  # type: ignore[import-untyped]
from hpack import Encoder

from bench import texts
from bench.upstream import ANSWER, event
from safeguards_extproc import app
from safeguards_extproc.adapters.extproc import METHOD
from safeguards_extproc.adapters.server import Processor
from safeguards_extproc.rpc import frames
from safeguards_extproc.rpc.connection import Connection
from safeguards_extproc.settings import Settings

NOTE = Path(__file__).with_suffix(".json")
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
BUILD = f"{platform.python_version()}, {platform.python_compiler()}"
POLICY = Path("policies/minimal.yaml")
CHUNKS = 100
WARM = 12
"""Exchanges before anything is counted, so that caches are full."""

SHORT = b'{"model":"m","messages":[{"role":"user","content":"hello, friend"}]}'
STREAMED = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Tell me about the valley."}]}'
STREAM = f"answer of {CHUNKS} events"
COUNTED = {"short chat": 40, "8 KB prompt": 20, STREAM: 6, "shed": 120}
"""Exchanges that are counted: enough that what it takes to begin and to end does not matter."""

SHED = "shed"
"""An exchange that begins when too much waits already."""

CLIENT = {
    ":authority": "models.example",
    ":path": "/v1/chat/completions",
    ":method": "POST",
    ":scheme": "http",
    "user-agent": "OpenAI/Python 3.52.0",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "content-type": "application/json",
    "authorization": "Bearer sk-example",
    "x-stainless-lang": "python",
    "x-forwarded-for": "10.0.0.7",
    "x-forwarded-proto": "http",
    "x-request-id": "5a3f1c1e-6d0a-4b42-9a6c-54f1f6f5b2aa",
}


def _message(**fields: Any) -> bytes:
    return bytes(pb.ProcessingRequest(**fields).SerializeToString())


def _headers(fields: dict[str, str]) -> pb.HttpHeaders:
    values = [HeaderValue(key=name, raw_value=value.encode()) for name, value in fields.items()]
    return pb.HttpHeaders(headers=HeaderMap(headers=values))


def _exchange(body: bytes, answer: list[bytes], media: str) -> list[bytes]:
    """What Envoy says in full duplex, message by message."""
    duplex = ProcessingMode.FULL_DUPLEX_STREAMED
    config = pb.ProtocolConfiguration(request_body_mode=duplex, response_body_mode=duplex)
    opening = {**CLIENT, "content-length": str(len(body))}
    said = [_message(request_headers=_headers(opening), protocol_config=config)]
    said.append(_message(request_body=pb.HttpBody(body=body, end_of_stream=True)))
    said.append(_message(response_headers=_headers({":status": "200", "content-type": media, "server": "envoy"})))
    said += [_message(response_body=pb.HttpBody(body=chunk)) for chunk in answer]
    said.append(_message(response_body=pb.HttpBody(end_of_stream=True)))
    return said


def exchanges() -> dict[str, list[bytes]]:
    """The fixed inputs, by name."""
    events = [event(number, stamp=number) for number in range(CHUNKS)]
    return {
        "short chat": _exchange(SHORT, [ANSWER.encode()], "application/json"),
        "8 KB prompt": _exchange(texts.request("chat", 8192), [ANSWER.encode()], "application/json"),
        STREAM: _exchange(STREAMED, events, "text/event-stream"),
        SHED: _exchange(SHORT, [], "")[:2],
    }


class Played:
    """One connection to the service, and the exchanges that are played on it."""

    def __init__(self, folder: Path) -> None:
        """Inside a running loop."""
        policy = folder / "policy.yaml"
        policy.write_text(f"{POLICY.read_text()}\nremember: 0\n")  # else the same text would be looked at once
        service = app.build(Settings(policy, records=folder / "records.jsonl", log_level="error"))
        self._connection = Connection(Processor(service.shared).begin, lambda: None)
        self._shared = service.shared
        self._shared.sheds = lambda: self.overloaded
        self.overloaded = False
        self._number = -1
        encoder = Encoder()
        fields = [(":method", "POST"), (":scheme", "http"), (":path", METHOD), (":authority", "a")]
        fields += [("te", "trailers"), ("content-type", "application/grpc")]
        self._blocks = [encoder.encode(fields), encoder.encode(fields)]  # the second, of numbers alone, stands for all
        window = {frames.INITIAL_WINDOW_SIZE: 1 << 24}
        room = frames.window_update(0, 1 << 30)
        self._connection.receive(frames.PREFACE + frames.settings(window) + room)

    def play(self, messages: list[bytes]) -> None:
        """An exchange, each message as soon as the one before is answered."""
        self._number += 2
        number, receive, take = self._number, self._connection.receive, self._connection.take
        block = self._blocks.pop(0) if len(self._blocks) > 1 else self._blocks[0]
        receive(frames.frame(frames.HEADERS, frames.END_HEADERS, number, block))
        answered = 0
        for message in messages:
            framed = b"\0" + len(message).to_bytes(4, "big") + message
            receive(
                b"".join(
                    frames.frame(frames.DATA, 0, number, framed[at : at + frames.SMALLEST_FRAME])
                    for at in range(0, len(framed), frames.SMALLEST_FRAME)
                )
            )
            answered += len(take())
        receive(frames.frame(frames.DATA, frames.END_STREAM, number, b""))
        answered += len(take())
        if self._shared.streams or answered < 200:
            raise SystemExit("bench: an exchange did not end as it should")


def bytecodes(do: Callable[[], object]) -> int:
    """How many `do` executes, in every function that it calls."""
    count = 0

    def trace(frame: FrameType, happened: str, _: object) -> Any:
        nonlocal count
        if happened == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif happened == "opcode":
            count += 1
        return trace

    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(None)
    return count


async def _counted(
    folder: Path, count: Callable[[Callable[[], object]], int], connected: Callable[[Path], Played]
) -> dict[str, float]:
    """What `count` says of an exchange, by its name."""
    found: dict[str, float] = {}
    gc.disable()
    played = connected(folder)
    for name, messages in exchanges().items():
        played.overloaded = name == SHED

        def many(times: int, messages: list[bytes] = messages) -> None:
            for _ in range(times):
                played.play(messages)

        many(WARM)
        times = COUNTED[name]
        found[name] = count(lambda many=many, times=times: many(times)) / times  # type: ignore[misc]
    return found


def _run(
    count: Callable[[Callable[[], object]], int], connected: Callable[[Path], Played] = Played
) -> dict[str, float]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return uvloop.run(_counted(Path(folder), count, connected))


def _told(command: str) -> None:
    """Tell the callgrind that runs this process. It hears when the program goes on, so that does, now and then."""
    argv = ["vgdb", f"--pid={os.getpid()}", "--max-invoke-ms=0", *command.split()]
    teller = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while teller.poll() is None:
        time.sleep(0.01)
    if teller.returncode:
        raise SystemExit("bench: callgrind does not listen")


def _under_callgrind() -> None:
    """What `instructions` starts: prints nothing; each count is a dump of its own, in order."""

    def count(do: Callable[[], object]) -> int:
        _told("instrumentation on")
        _told("zero")
        do()
        _told("dump")
        _told("instrumentation off")
        return 0

    _run(count)


def instructions() -> dict[str, float]:
    """Those of an exchange, by its name. SystemExit where there is no valgrind."""
    if not (shutil.which("valgrind") and shutil.which("vgdb")):
        raise SystemExit("bench: no valgrind on PATH; Debian and Ubuntu have it: apt-get install valgrind")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        out = Path(folder) / "callgrind"
        argv = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}", "--vgdb-poll=500"]
        argv += [sys.executable, "-m", "bench.hot_path", "--under-callgrind"]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        dumps = sorted(Path(folder).glob("callgrind.*"), key=lambda path: int(path.suffix[1:]))
        names = list(exchanges())
        if done.returncode or len(dumps) < len(names):
            raise SystemExit(f"bench: callgrind failed\n{done.stderr[-2000:]}")
        return {name: next(_totals(dump)) / COUNTED[name] for name, dump in zip(names, dumps, strict=False)}


def _totals(dump: Path) -> Iterator[int]:
    for line in dump.read_text().splitlines():
        if line.startswith(("summary: ", "totals: ")):
            yield int(line.split()[1])


def executed(connected: Callable[[Path], Played] = Played) -> dict[str, float]:
    """Bytecodes of an exchange, by its name."""
    return _run(bytecodes, connected)


def grown(counts: dict[str, float], noted: dict[str, float], most: float = 0.05) -> list[str]:
    """What is more than `most` above the note, or not in it, in words."""
    return [
        f"{name}: {count:,.0f} where {NOTE.name} says {noted.get(name, 0):,.0f}"
        for name, count in counts.items()
        if count > noted.get(name, 0) * (1 + most)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hot_path", description=__doc__)
    parser.add_argument("--note", action="store_true", help=f"write {NOTE.name}")
    parser.add_argument("--instructions", action="store_true", help="count instructions too, which takes valgrind")
    parser.add_argument("--under-callgrind", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.under_callgrind:
        _under_callgrind()
        return
    figures = {"bytecodes": {VERSION: executed()}}
    if options.instructions or options.note:
        figures["instructions"] = {BUILD: instructions()}
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    if options.note:
        noted = json.loads(NOTE.read_text()) if NOTE.exists() else {}
        for what, counts in figures.items():
            noted[what] = {**noted.get(what, {}), **counts}
        NOTE.write_text(json.dumps(noted, indent=1) + "\n")


if __name__ == "__main__":
    main()
