"""One KServe v2 server over gRPC: connect, stay connected, ask, and say what went wrong in our own words.

The one rule: what comes out is an answer, DetectorError or CancelledError; gRPC stays in here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc  # type: ignore[import-untyped]

from safeguards_extproc.adapters.batching import TooLarge
from safeguards_extproc.adapters.kserve import PROMPT, Profile, Scored, decode, encode, read_profile
from safeguards_extproc.errors import DetectorError

CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # also the time that one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 20_000),  # with it, the kernel gives up on unacknowledged bytes after the timeout:
    ("grpc.keepalive_timeout_ms", 3_000),  # a vanished machine is noticed in seconds, not in a quarter of an hour
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 16 << 20),
)

FAILURE_OF = {
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.NOT_FOUND: "unavailable",
    grpc.StatusCode.UNIMPLEMENTED: "unavailable",
    grpc.StatusCode.CANCELLED: "unavailable",
    grpc.StatusCode.ABORTED: "unavailable",
    grpc.StatusCode.UNAUTHENTICATED: "unavailable",
    grpc.StatusCode.PERMISSION_DENIED: "unavailable",
    grpc.StatusCode.DEADLINE_EXCEEDED: "timeout",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "overload",
}
"""What a status means to a policy; any other is "bad-response": the server is there and could not do it."""


class Endpoint:
    """A server at `address` (host:port), over TLS with `credentials`. `control_s` bounds questions about readiness
    and configuration.

    A model's profile is asked for once per version, and again after the connection was lost: another server, or
    another model of the same name, may answer then.
    """

    def __init__(self, address: str, control_s: float, credentials: grpc.ChannelCredentials | None = None) -> None:
        self.address = address
        self._control_s = control_s
        if credentials:
            self._channel = grpc.aio.secure_channel(address, credentials, CHANNEL)
        else:
            self._channel = grpc.aio.insecure_channel(address, CHANNEL)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._profiles: dict[tuple[str, str], asyncio.Task[Profile]] = {}
        self._watching = asyncio.create_task(self._watch())

    async def score(
        self, model: str, texts: Sequence[str], deadline: float, prompts: Sequence[str] = ()
    ) -> Scored | TooLarge:
        """Scores of `texts` before `deadline` (loop time). A model that reads prompts, too, gets those that the texts
        answer, or empty ones. Raises DetectorError."""
        try:
            profile = await self._profile(model, "")
            if 0 < profile.largest < len(texts):
                return TooLarge(profile.largest)
            timeout_s = max(deadline - asyncio.get_running_loop().time(), 0.001)
            asked = (prompts or [""] * len(texts)) if PROMPT in profile.inputs else ()
            response = await self._stub.ModelInfer(encode(model, texts, asked), timeout=timeout_s)
            return decode(response, len(texts), await self._profile(model, response.model_version))
        except DetectorError:
            self._profiles.clear()
            raise
        except grpc.aio.AioRpcError as error:
            failure = FAILURE_OF.get(error.code(), "bad-response")
            if failure == "unavailable":
                self._profiles.clear()
            raise DetectorError(failure) from None

    async def ready(self, model: str) -> bool:
        """Whether the server says that it can run the model."""
        try:
            response = await self._stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=self._control_s)
        except grpc.aio.AioRpcError:
            return False
        return bool(response.ready)

    async def close(self) -> None:
        """Hang up; what is in flight is cancelled."""
        self._watching.cancel()
        await asyncio.wait([self._watching])
        await self._channel.close(None)

    async def _profile(self, model: str, version: str) -> Profile:
        """The profile of a version of the model, "" for the newest."""
        key = (model, version)
        task = self._profiles.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._profiles[key] = asyncio.create_task(self._fetch(model, version))
        return task.result() if task.done() else await asyncio.shield(task)

    async def _fetch(self, model: str, version: str) -> Profile:
        request = service_pb2.ModelConfigRequest(name=model, version=version)
        response = await self._stub.ModelConfig(request, timeout=self._control_s)
        return read_profile(response.config)

    async def _watch(self) -> None:
        """Keep connecting, and forget the profiles whenever the connection is lost."""
        state = self._channel.get_state(try_to_connect=True)
        while True:
            await self._channel.wait_for_state_change(state)
            lost = state is grpc.ChannelConnectivity.READY
            state = self._channel.get_state(try_to_connect=True)
            if lost or state not in (grpc.ChannelConnectivity.CONNECTING, grpc.ChannelConnectivity.READY):
                self._profiles.clear()
