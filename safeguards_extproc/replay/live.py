"""One exchange, put to a running filter as Envoy would put it.

The one rule: what it says is what the filter answered on the wire; nothing is decided here.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb  # type: ignore[import-untyped]
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as service
from grpc_health.v1 import health_pb2, health_pb2_grpc

from safeguards_extproc.core.taken import Message
from safeguards_extproc.replay.messages import Side, messages, request, response

ANSWER = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Well."}}]}
"""A harmless answer, so that a verdict that waits for one comes out, too."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it: `refused` is the status that the client gets in place of an answer, 0 where it passed."""

    refused: int

    def __str__(self) -> str:
        return f"refused with {self.refused}" if self.refused else "allowed"


def channel(
    address: str, *, ca: bytes = b"", certificate: bytes = b"", key: bytes = b"", name: str = ""
) -> grpc.Channel:
    """A connection to `address`, over TLS with an authority `ca`; `name` is what the certificate must say if not the
    address's host."""
    if not ca:
        return grpc.insecure_channel(address)
    credentials = grpc.ssl_channel_credentials(ca, key or None, certificate or None)
    return grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", name)] if name else None)


def ready(to: grpc.Channel, timeout_s: float) -> str:
    """What the health service says of readiness: "SERVING", "NOT_SERVING" …; waits for a connection. grpc.RpcError."""
    question = health_pb2.HealthCheckRequest(service="readiness")
    reply = health_pb2_grpc.HealthStub(to).Check(question, timeout=timeout_s, wait_for_ready=True)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))


def ask(to: grpc.Channel, text: str, timeout_s: float) -> Outcome:
    """Put a chat request that says `text`, and if it passes a harmless answer. grpc.RpcError if the filter does not
    answer, ends the stream early, or takes longer than `timeout_s`."""
    body = json.dumps({"model": "probe", "messages": [{"role": "user", "content": text}]}).encode()
    kind = [("content-type", "application/json")]
    asked = request("POST", "probe", "/v1/chat/completions", kind, body)
    answered = response(200, kind, [(0, json.dumps(ANSWER).encode())], 0)
    return put(to, asked, answered, timeout_s)


def put(to: grpc.Channel, asked: Side, answered: Side, timeout_s: float) -> Outcome:
    """Put an exchange in full duplex; the answer follows when the whole request has passed, as with Envoy."""
    both = messages(asked, answered)
    first = 1 + len(asked.body)
    said: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
    for message in both[:first]:
        said.put(message)
    call = service.ExternalProcessorStub(to).Process(_requests(said), timeout=timeout_s, wait_for_ready=True)
    try:
        for reply in call:
            match reply.WhichOneof("response"):
                case "immediate_response":
                    return Outcome(int(reply.immediate_response.status.code))
                case "request_body" if reply.request_body.response.body_mutation.streamed_response.end_of_stream:
                    for message in both[first:]:
                        said.put(message)
                case "response_body" if reply.response_body.response.body_mutation.streamed_response.end_of_stream:
                    return Outcome(0)
    finally:
        said.put(None)
        call.cancel()
    raise EndedEarly


class EndedEarly(grpc.RpcError):
    """The filter ended the stream before it had answered everything."""

    def __str__(self) -> str:
        return "the filter ended the stream before it had answered everything"


def _requests(said: queue.SimpleQueue[Message | None]) -> Iterator[pb.ProcessingRequest]:
    while (message := said.get()) is not None:
        yield pb.ProcessingRequest.FromString(message.raw)
