"""Replay through records on a Ray cluster: past one machine, the same counts.

The one rule: a part of the files is counted as it would be on one machine, and parts are merged, so nothing depends on
who counted what. Policies and labels travel as they are; files must be where each machine of the cluster can read them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.load import parse
from safeguards_extproc.records.stores import open_store
from safeguards_extproc.replay.compare import Comparison
from safeguards_extproc.replay.identities import Identities
from safeguards_extproc.replay.records import HERE, Labels, Policies, run

HINT = 'pip install "safeguards-extproc[ray]"'

PARTS = 4
"""Parts of the files for each processor of the cluster, so that a slow one does not hold up all."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Policies as text, `against` "" where there is none, and the store where the files are, "" for absolute paths."""

    after: str
    against: str = ""
    store: str = ""

    def policies(self) -> Policies:
        return Policies(parse(self.after, "policy"), parse(self.against, "against") if self.against else None)


def identities(policies: Policies) -> Identities:
    """Where identities would stand by each policy's own ladder."""
    before = policies.against or policies.after
    return Identities(before.document.enforcement, policies.after.document.enforcement)


def part(files: Sequence[str], texts: Texts, labels: Labels) -> Comparison:
    """What one task counts."""
    policies = texts.policies()
    comparison = Comparison(identities(policies))
    run(files, policies, comparison, labels, threads=1, store=open_store(texts.store) if texts.store else HERE)
    return comparison


def on_ray(
    files: Sequence[str], texts: Texts, comparison: Comparison, labels: Labels, told: Callable[[int], None]
) -> None:
    """Count the files on the cluster of RAY_ADDRESS, or of this machine. ConfigError where Ray is not installed."""
    if find_spec("ray") is None:
        raise ConfigError("Ray is not installed", where="--engine", hint=HINT)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    with ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False):
        cluster: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        workers = max(1, int(cluster.get("CPU", 1)))
        remote, known = ray.remote(part), ray.put(labels)
        size = max(1, -(-len(files) // (workers * PARTS)))
        waiting = [remote.remote(files[at : at + size], texts, known) for at in range(0, len(files), size)]
        while waiting:
            done, waiting = ray.wait(waiting)
            counted: Comparison = ray.get(done[0])
            comparison.merge(counted)
            told(counted.total.exchanges + counted.undecided.total())
