"""Figures of the filter's cluster are held against what the operator says of the load and of the filter's drain."""

from __future__ import annotations

import pytest

from safeguards_extproc.attach.options import Attachment
from safeguards_extproc.doctor import clusters
from tests.attach.pasted import static
from tests.doctor.paper import on_paper


@pytest.mark.parametrize(("streams", "expected"), [(40_000, []), (40_001, ["safeguards", "safeguards"])])
def test_the_breaker_has_room_for_the_load(streams: int, expected: list[str]) -> None:
    """One request there is one live answer."""
    document, _ = static(Attachment())
    assert expected == [found.where for found in clusters.small_breaker(on_paper(document, streams=streams))]


@pytest.mark.parametrize(("drain_s", "expected"), [(5.0, 0), (2.0, 0), (1.5, 1)])
def test_leaving_is_noticed_before_it_happens(drain_s: float, expected: int) -> None:
    """Interval and timeout of the health check are less than the filter's delay."""
    document, _ = static(Attachment())
    assert expected == len(list(clusters.slow_health(on_paper(document, drain_s=drain_s))))


def test_another_s_cluster_is_not_ours() -> None:
    """Only what the filter asks is looked at: the model server may be as it likes."""
    document, _ = static(Attachment())
    assert ["safeguards"] == [name for name, _ in on_paper(document).used()]
    assert [] == list(on_paper(document, wanted="model_server").used())
