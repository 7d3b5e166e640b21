"""An exchange put to a running filter: over mutual TLS, with a verdict that waits for the answer, to a bad end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb  # type: ignore[import-untyped]
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as service

from safeguards_extproc.replay import live
from tests.envoy import rig
from tests.helm.certificates import write

HOST = "guard.mesh.svc"
OVERLAP = """
version: 1
name: overlap
detectors: {lists: {kind: patterns, lists: {blocked: {keywords: [bluefinch]}}}}
rules: [{name: blocked, when: scores.lists.blocked > 0, then: block}]
routes: [{name: chat, match: {}, gate: overlap}]
"""


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, bytes]:
    """The authority, and a pair that both sides use."""
    write(tmp_path / "pem", HOST)
    names = {"ca": "ca.crt", "certificate": "tls.crt", "key": "tls.key"}
    return {name: (tmp_path / "pem" / file).read_bytes() for name, file in names.items()}


@pytest.mark.real
def test_a_verdict_that_comes_with_the_answer_is_seen(tmp_path: Path, pem: dict[str, bytes]) -> None:
    """Where the request goes on before its verdict, an answer is put, too; all over mutual TLS."""
    folder = tmp_path / "pem"
    (tmp_path / "policy.yaml").write_text(OVERLAP)
    pairs = (("--tls-certificate", "tls.crt"), ("--tls-key", "tls.key"), ("--tls-client-ca", "ca.crt"))
    options = [word for option, name in pairs for word in (option, str(folder / name))]
    filter_ = rig.serve(tmp_path / "policy.yaml", tmp_path / "filter.sock", options=options)
    try:
        with live.channel(f"unix://{filter_.socket}", **pem, name=HOST) as channel:
            assert live.Outcome(0) == live.ask(channel, "Hello", 10)
            assert live.Outcome(400) == live.ask(channel, "On bluefinch", 10)
        with (
            live.channel(f"unix://{filter_.socket}", ca=pem["ca"], name=HOST) as stranger,
            pytest.raises(grpc.RpcError),
        ):
            live.ask(stranger, "Hello", 1)
    finally:
        rig.end(filter_.part)


class Ending(service.ExternalProcessorServicer):  # type: ignore[misc]
    """Answers the headers and ends well, as no filter may: Envoy would pass the rest unread."""

    def Process(self, requests: Iterator[pb.ProcessingRequest], context: Any) -> Iterator[pb.ProcessingResponse]:  # noqa: N802 (Envoy's name)
        next(requests)
        yield pb.ProcessingResponse(request_headers=pb.HeadersResponse())


def test_a_stream_that_ends_early_is_no_answer() -> None:
    """Silence is not taken for consent."""
    server = grpc.server(ThreadPoolExecutor(1))
    service.add_ExternalProcessorServicer_to_server(Ending(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with live.channel(f"127.0.0.1:{port}") as channel, pytest.raises(live.EndedEarly):
            live.ask(channel, "Hello", 10)
    finally:
        server.stop(None)
