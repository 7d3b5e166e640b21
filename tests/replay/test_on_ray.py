"""On a cluster of this machine the counts are those of one process, whoever counted what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from safeguards_extproc.replay.compare import Comparison
from safeguards_extproc.replay.on_ray import Texts, identities, on_ray, part
from safeguards_extproc.replay.records import run
from tests.replay.decided import POLICY, bad, records
from tests.replay.test_compare import shown
from tests.replay.test_records import written

STRICT = Texts(
    POLICY.replace("attack: 0.7", "attack: 0.4") + "enforcement: {strikes: [{}], ladder: [{at: 3.0, step: warn}]}\n"
    "identity: {key: [{header: x-key, secret: true}]}\n",
    POLICY,
)


def merged(parts: list[Comparison]) -> Comparison:
    whole = Comparison(identities(STRICT.policies()))
    for each in parts:
        whole.merge(each)
    return whole


def counts(comparison: Comparison) -> object:
    return shown(comparison), comparison.before_ms.counts.tolist(), comparison.seen


def patiently(run: Callable[[], None]) -> None:
    """Ray gives itself 30 s to start, which nothing can change: on a busy machine it takes another go."""
    for left in (4, 3, 2, 1, 0):
        try:
            return run()
        except Exception as error:
            if not left or "timed out during startup" not in str(error):
                raise


@pytest.mark.long
def test_parts_add_up(tmp_path: Path) -> None:
    """Files counted by three tasks and merged, backwards, are files counted together."""
    found = records(600)
    files, labels = written(found, tmp_path, 100), bad(found)
    whole = Comparison(identities(STRICT.policies()))
    run(files, STRICT.policies(), whole, labels)
    parts = [part(files[at::3], STRICT, labels) for at in range(3)]
    assert counts(whole) == counts(merged(parts[::-1]))
    assert whole.total.newly_blocked
    assert whole.identities.changed()[1]


@pytest.mark.real
def test_a_cluster_counts_the_same(tmp_path: Path) -> None:
    """A real one, of this machine's processors."""
    pytest.importorskip("ray", reason="Ray is an extra: pip install 'safeguards-extproc[ray]'")
    found = records(600)
    files, labels = written(found, tmp_path, 100), bad(found)
    alone, together, heard = merged([part(files, STRICT, labels)]), merged([]), list[int]()
    patiently(lambda: on_ray(files, STRICT, together, labels, heard.append))
    assert counts(alone) == counts(together)
    assert 600 == sum(heard)
