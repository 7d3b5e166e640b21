"""Sends one large body over ext_proc as Envoy does, or many at once, each time it reads a line: prints how they
were answered.

python -m bench.body_client SOCKET FILE request|answer HEADERS TIMES AT_ONCE
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import grpc
from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue  # type: ignore[import-untyped]
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb  # type: ignore[import-untyped]

from safeguards_extproc.adapters.extproc import METHOD

CHUNK, DUPLEX = 65_536, 4
ASK = b'{"model":"bench","messages":[{"role":"user","content":"Hello."}]}'


def headers(direction: str, fields: dict[str, str]) -> bytes:
    values = [HeaderValue(key=name, raw_value=value.encode()) for name, value in fields.items()]
    message = pb.ProcessingRequest(**{f"{direction}_headers": pb.HttpHeaders(headers=HeaderMap(headers=values))})
    message.protocol_config.request_body_mode = message.protocol_config.response_body_mode = DUPLEX
    return bytes(message.SerializeToString())


def chunks(direction: str, body: bytes) -> list[bytes]:
    """As Envoy sends a body."""
    found = []
    for start in range(0, len(body), CHUNK):
        last = start + CHUNK >= len(body)
        piece = pb.HttpBody(body=body[start : start + CHUNK], end_of_stream=last)
        found.append(bytes(pb.ProcessingRequest(**{f"{direction}_body": piece}).SerializeToString()))
    return found


async def heard(rpc: Any, direction: str) -> str:
    """Read answers until one ends the direction: its kind, and the bytes that went on."""
    total = 0
    while True:
        raw = await rpc.read()
        answer = pb.ProcessingResponse.FromString(raw)
        kind = answer.WhichOneof("response")
        if kind == "immediate_response":
            return f"{answer.immediate_response.status.code}"
        if kind == f"{direction}_body":
            streamed = answer.request_body if direction == "request" else answer.response_body
            mutation = streamed.response.body_mutation.streamed_response
            total += len(mutation.body)
            if mutation.end_of_stream:
                return f"{total} bytes went on"


async def exchange(channel: grpc.aio.Channel, body: bytes, fields: dict[str, str], *, answer: bool) -> str:
    rpc: Any = channel.stream_stream(METHOD, None, None)(None)
    ask, said = (ASK, body) if answer else (body, b"")
    common = {":method": "POST", ":path": "/v1/chat/completions", ":authority": "bench"}
    first = {**common, "content-type": "application/json", **({} if answer else fields)}
    for message in (headers("request", first), *chunks("request", ask)):
        await rpc.write(message)
    how = await heard(rpc, "request")
    if said:
        for message in (
            headers("response", {":status": "200", "content-type": "application/json", **fields}),
            *chunks("response", said),
        ):
            await rpc.write(message)
        how = await heard(rpc, "response")
    rpc.cancel()
    return how


async def main(socket: str, body: bytes, direction: str, fields: str, times: str, at_once: str) -> None:
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        for _ in range(int(times)):
            sys.stdin.readline()
            answer = direction == "answer"
            each = [exchange(channel, body, json.loads(fields), answer=answer) for _ in range(int(at_once))]
            hows = dict.fromkeys(await asyncio.gather(*each))
            sys.stdout.write(f"{', '.join(hows)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes(), *sys.argv[3:]))
