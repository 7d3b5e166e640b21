"""One real gRPC connection to a server that is good, bad, away, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from safeguards_extproc.adapters.batching import TooLarge
from safeguards_extproc.adapters.endpoint import FAILURE_OF, Endpoint
from safeguards_extproc.adapters.kserve import Scored
from safeguards_extproc.errors import FAILURES, DetectorError
from tests.adapters.kserve_fake import KServeFake, until


def soon(seconds: float = 20) -> float:
    return asyncio.get_running_loop().time() + seconds


@pytest.fixture
async def endpoint(server: KServeFake) -> AsyncIterator[Endpoint]:
    made = Endpoint(server.address, control_s=10)
    yield made
    await made.close()


async def scores(endpoint: Endpoint, *texts: str) -> list[float] | None:
    scored = await endpoint.score("screen", texts, soon())
    assert isinstance(scored, Scored)
    return scored.best(0, len(texts))


async def test_texts_go_out_and_scores_come_back(server: KServeFake, endpoint: Endpoint) -> None:
    """Two texts, two labels, one request."""
    scored = await endpoint.score("screen", ["0.5,0.25", "0.75,0"], soon())
    assert isinstance(scored, Scored)
    assert scored.labels == ("risk", "other")
    assert scored.best(0, 2) == [0.75, 0.25]
    assert scored.version == "1"
    assert server.requests == [["0.5,0.25", "0.75,0"]]


async def test_prompts_go_to_a_model_that_reads_them_and_to_no_other(server: KServeFake, endpoint: Endpoint) -> None:
    """A model with the input PROMPT gets one for each text, empty where nobody gave any; another model gets none."""
    texts = ["0.5,0.25", "0.75,0"]
    assert isinstance(await endpoint.score("screen", texts, soon(), ["why", ""]), Scored)
    assert server.prompts == []
    await server.stop()
    server.inputs = ["PROMPT", "TEXT"]
    await server.start()
    await until(lambda: endpoint.ready("screen"))
    for prompts in (["why", "how"], ()):
        assert isinstance(await endpoint.score("screen", texts, soon(), prompts), Scored)
    assert server.prompts == [["why", "how"], ["", ""]]


async def test_labels_are_asked_for_once_per_version(server: KServeFake, endpoint: Endpoint) -> None:
    """Once before the first request and once for the version that answered; then again for a new version only."""
    for _ in range(3):
        await scores(endpoint, "0.5,0.25")
    assert server.configs == 2
    server.version = "2"
    await scores(endpoint, "0.5,0.25")
    await scores(endpoint, "0.5,0.25")
    assert server.configs == 3


async def test_another_server_at_the_same_address_is_asked_for_its_labels(
    server: KServeFake, endpoint: Endpoint
) -> None:
    """After a restart the labels of before are not believed, even with the same version."""
    await scores(endpoint, "0.5,0.25")
    await server.stop()
    server.labels = "other,risk"
    await server.start()
    await until(lambda: endpoint.ready("screen"))
    scored = await endpoint.score("screen", ["0.5,0.25"], soon())
    assert isinstance(scored, Scored)
    assert scored.labels == ("other", "risk")


async def test_a_reloaded_model_with_more_labels_recovers(server: KServeFake, endpoint: Endpoint) -> None:
    """An answer that no longer fits is refused, and the labels are read anew for the next."""
    await scores(endpoint, "0.5,0.25")
    server.labels = "risk,other,new"
    with pytest.raises(DetectorError, match="bad-response"):
        await endpoint.score("screen", ["0.5,0.25,1"], soon())
    assert await scores(endpoint, "0.5,0.25,1") == [0.5, 0.25, 1]


async def test_a_batch_that_the_model_does_not_take_is_not_sent(server: KServeFake, endpoint: Endpoint) -> None:
    """The model's own bound is known before the first request."""
    server.largest = 2
    assert await endpoint.score("screen", ["0,0"] * 3, soon()) == TooLarge(2)
    assert server.requests == []


async def test_an_answer_after_the_deadline_is_a_timeout(server: KServeFake, endpoint: Endpoint) -> None:
    """The deadline travels with the request, so the server stops too."""
    await scores(endpoint, "0,0")
    await server.said("asked")
    server.go.clear()
    with pytest.raises(DetectorError, match="timeout"):
        await endpoint.score("screen", ["0,0"], soon(0.5))
    await server.said("asked")
    await server.said("cancelled")


async def test_a_cancelled_request_is_cancelled_at_the_server(server: KServeFake, endpoint: Endpoint) -> None:
    """Work that nobody waits for stops."""
    server.go.clear()
    request = asyncio.create_task(endpoint.score("screen", ["0,0"], soon()))
    await server.said("asked")
    request.cancel()
    await server.said("cancelled")
    await asyncio.wait([request])
    assert request.cancelled()


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
async def test_every_status_is_one_of_our_failures(
    server: KServeFake, endpoint: Endpoint, status: grpc.StatusCode
) -> None:
    """Whatever a server may say, policy hears one of the documented slugs and no words of the server's."""
    server.status = status
    with pytest.raises(DetectorError) as caught:
        await endpoint.score("screen", ["0,0"], soon())
    assert caught.value.code == FAILURE_OF.get(status, "bad-response")
    assert str(caught.value) in FAILURES


async def test_a_server_that_is_away_is_unavailable_and_found_again(server: KServeFake, endpoint: Endpoint) -> None:
    """Away: "unavailable" and not ready. Back: ready, without anybody's help."""
    assert await endpoint.ready("screen")
    await server.stop()
    with pytest.raises(DetectorError, match="unavailable"):
        await endpoint.score("screen", ["0,0"], soon())
    assert not await endpoint.ready("screen")
    await server.start()
    await until(lambda: endpoint.ready("screen"))
    assert await scores(endpoint, "0.5,0.25") == [0.5, 0.25]


async def test_a_model_that_is_not_loaded_is_not_ready(server: KServeFake, endpoint: Endpoint) -> None:
    """The server is there, the model is not."""
    server.loaded = False
    assert not await endpoint.ready("screen")


async def test_a_model_without_labels_is_a_bad_response(server: KServeFake, endpoint: Endpoint) -> None:
    """Mended at the server, it works at once."""
    server.labels = ""
    with pytest.raises(DetectorError, match="bad-response"):
        await endpoint.score("screen", ["0,0"], soon())
    server.labels = "risk,other"
    assert await scores(endpoint, "0.5,0.25") == [0.5, 0.25]
