"""A KServe v2 server that speaks real gRPC and does as the test says.

Its model's scores are what the text says: "0.5,0.25" scores 0.5 and 0.25. "poison" makes the model fail.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc  # type: ignore[import-untyped]


class KServeFake(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """One server with the model "screen". `requests` holds the texts of each ModelInfer; `events` tells, in order,
    "asked" when one arrives and "cancelled" when one is cancelled. With `inputs` of TEXT and PROMPT, `prompts` holds
    what came with the texts."""

    def __init__(self) -> None:
        self.labels = "risk,other"
        self.largest = 0
        self.inputs = ["TEXT"]
        self.prompts: list[list[str]] = []
        self.version = "1"
        self.loaded = True
        self.requests: list[list[str]] = []
        self.configs = 0
        self.active = 0
        self.events: asyncio.Queue[str] = asyncio.Queue()
        self.go = asyncio.Event()
        self.go.set()
        self.spoil: Callable[[Any], None] = lambda _: None
        self.status: grpc.StatusCode | None = None
        self._port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen; after `stop`, on the port of before."""
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self._port = self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        """Vanish: connections break, nothing listens."""
        if self._server:
            await self._server.stop(None)
            self._server = None

    async def said(self, event: str) -> None:
        """Wait for the next event, which must be this one."""
        async with asyncio.timeout(10):
            assert event == await self.events.get()

    async def idle(self) -> bool:
        """Whether it works for nobody: those whose callers left it was told to leave."""
        return not self.active

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.go.wait()
        return service_pb2.ModelReadyResponse(ready=self.loaded and request.name == "screen")

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.configs += 1
        if request.name != "screen":
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown model")
        response = service_pb2.ModelConfigResponse()
        response.config.name = request.name
        response.config.max_batch_size = self.largest
        for name in self.inputs:
            response.config.input.add(name=name)
        response.config.parameters["labels"].string_value = self.labels
        return response

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        names = [tensor.name for tensor in request.inputs]
        if sorted(names) != sorted(self.inputs):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "other inputs than the model has")
        given = dict(zip(names, request.raw_input_contents, strict=True))
        texts = [data.decode() for data in elements(given["TEXT"])]
        self.requests.append(texts)
        if "PROMPT" in given:
            self.prompts.append([data.decode() for data in elements(given["PROMPT"])])
        self.events.put_nowait("asked")
        self.active += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.events.put_nowait("cancelled")
            raise
        finally:
            self.active -= 1
        if self.status:
            await context.abort(self.status, "as the test says")
        if "poison" in texts or 0 < self.largest < len(texts):
            await context.abort(grpc.StatusCode.INTERNAL, "the model failed")
        scores = np.array([[float(part) for part in text.split(",")] for text in texts], "<f4")
        response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=self.version)
        response.outputs.add(name="SCORES", datatype="FP32", shape=scores.shape)
        response.raw_output_contents.append(scores.tobytes())
        self.spoil(response)
        return response


def elements(data: bytes) -> list[bytes]:
    """The elements of a BYTES tensor."""
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds: at most 20 seconds, and a failure then."""
    for _ in range(2000):
        if await holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to hold")
