"""Statuses and headers of refusals, the same for every dialect."""

from __future__ import annotations

import pytest

from safeguards_extproc.core.text import Refusal
from safeguards_extproc.wire import refusals


@pytest.mark.parametrize(("reason", "status"), [*refusals.STATUS.items(), ("unheard-of", 400)])
def test_each_reason_has_its_status(reason: str, status: int) -> None:
    """A reason that the table does not know is a policy's."""
    assert refusals.error(Refusal(reason, "no"), b"{}", id_header="x-id").status == status


def test_a_policys_no_is_final() -> None:
    """The SDKs are told not to ask again, and which exchange it was."""
    answer = refusals.error(Refusal("policy", "no", id="e1", retry_after_s=9), b"{}", id_header="x-id")
    assert answer.headers == [("content-type", "application/json"), ("x-should-retry", "false"), ("x-id", "e1")]


def test_what_passes_says_when_to_come_back() -> None:
    """Throttling and outages may be retried, after a while if one is known."""
    throttled = refusals.error(Refusal("throttled", "slow", retry_after_s=30), b"{}", id_header="x-id")
    assert throttled.headers == [("content-type", "application/json"), ("retry-after", "30")]
    assert refusals.error(Refusal("unavailable", ""), b"{}", id_header="x-id").headers == [
        ("content-type", "application/json")
    ]


@pytest.mark.parametrize(("seconds", "asks"), [(120, True), (121, False)])
def test_a_wait_that_no_sdk_keeps_is_not_retried(seconds: int, asks: bool) -> None:
    """Told to wait longer than it will, an SDK would ask again within seconds."""
    headers = dict(refusals.error(Refusal("throttled", "slow", retry_after_s=seconds), b"{}", id_header="x-id").headers)
    assert (str(seconds), asks) == (headers["retry-after"], "x-should-retry" not in headers)


def test_a_streamed_answer_is_an_event_stream() -> None:
    """Content type as the client asked, no cache in between."""
    answer = refusals.success(Refusal("policy", "no", id="e1"), b"", id_header="x-id", streamed=True)
    assert answer.headers == [("content-type", refusals.EVENTS), ("cache-control", "no-cache"), ("x-id", "e1")]
    assert refusals.success(Refusal("policy", "no"), b"", id_header="x-id", streamed=False).headers == [
        ("content-type", "application/json")
    ]
