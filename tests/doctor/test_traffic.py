"""What happened since Envoy started, and which Envoys have faults of their own."""

from __future__ import annotations

import pytest

from safeguards_extproc.attach.options import Attachment
from safeguards_extproc.doctor import traffic
from safeguards_extproc.doctor.seen import Seen
from tests.attach.pasted import static
from tests.doctor.paper import on_paper


@pytest.mark.parametrize(
    ("version", "well"),
    [
        ((1, 34, 9), False),
        ((1, 35, 12), False),
        ((1, 35, 13), True),
        ((1, 36, 4), False),
        ((1, 36, 9), True),
        ((1, 38, 2), False),
        ((1, 38, 3), True),
        ((1, 40, 0), True),
        ((2, 0, 0), True),
        ((0, 0, 0), False),
    ],
)
def test_versions(version: tuple[int, int, int], well: bool) -> None:
    """An Envoy that a processor can crash is named; one that does not say what it is, too."""
    assert well == (not list(traffic.old_version(Seen(version, [], {}))))


def test_counts_of_our_listeners_are_told() -> None:
    """With how many; a filter's own prefix is no reason to miss them, and other listeners are none of ours."""
    document, _ = static(Attachment())
    stats = {
        "http.ingress.ext_proc.message_timeouts": 3,
        "http.ingress.ext_proc.guard.message_timeouts": 2,
        "http.other.ext_proc.message_timeouts": 9,
        "http.ingress.ext_proc.streams_failed": 0,
    }
    found = [f"{each.where}: {each.what}" for each in traffic.timed_out(on_paper(document, stats=stats))]
    assert [
        "http.ingress.ext_proc: 3 times Envoy gave up waiting for the filter",
        "http.ingress.ext_proc.guard: 2 times Envoy gave up waiting for the filter",
    ] == found
    assert [] == list(traffic.streams_failed(on_paper(document, stats=stats)))


def test_failed_streams_are_a_share() -> None:
    """Two of seven is another thing than two of a million."""
    document, _ = static(Attachment())
    stats = {"http.ingress.ext_proc.streams_failed": 2, "http.ingress.ext_proc.streams_started": 7}
    [found] = traffic.streams_failed(on_paper(document, stats=stats))
    assert "2 of 7 streams to the filter broke" == found.what
