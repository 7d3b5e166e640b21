"""The chart's pods, run as rendered, are replaced under load: with a drain nobody notices, without one somebody does.

Times are shorter than the chart's own; `python -m tests.platform.rolling` takes those, and 20,000 requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helm.program import Helm, downloaded, installed
from tests.platform import rolling
from tests.platform.cluster import waits
from tests.platform.network import refused
from tests.platform.rolling import NO_DRAIN, Pace, rendered, roll, stand
from tests.platform.scene import SERVICE, Scene

pytestmark = pytest.mark.real

PACE = Pace(
    requests=1_000,
    streams=16,
    drain={"preStopSeconds": 3, "delaySeconds": 2, "limitSeconds": 30},
    ttl_s=1.0,
    refresh_s=1.0,
    asking=8,
    streaming=8,
    rate=200.0,
)


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The newer Helm; what the majors render alike is compared elsewhere."""
    return Helm(4, installed(4) or downloaded(4), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def made(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two replicas behind Envoy; on addresses of loopback, and with our user, where there are no namespaces."""
    with stand(tmp_path_factory.mktemp("rolling"), helm, PACE) as (made, _):
        yield made


def test_helm_test_passes(made: Scene, helm: Helm) -> None:
    """The chart's own test, run as rendered: it finds the Service by name, and is answered."""
    hooks = [each for each in rendered(helm, PACE) if "helm.sh/hook" in (each["metadata"].get("annotations") or {})]
    assert hooks
    for hook in hooks:
        assert {0} == {code for code, _ in made.cluster.run(hook).values()}


def test_nobody_notices_an_upgrade(made: Scene, helm: Helm) -> None:
    """Every answer whole, every stream to its end, nothing unread, a record for each; and pods end well."""
    outcome = roll(made, PACE, rendered(helm, PACE, "upgraded", NO_DRAIN), restart=False)
    assert [] == outcome.counts["failures"]
    asked, streamed = outcome.counts["asked"], outcome.counts["streamed"]
    assert ({"whole"}, {"whole"}) == (asked.keys(), streamed.keys())
    assert (True, True) == (asked["whole"] >= PACE.requests, streamed["whole"] >= PACE.streams)
    total = asked["whole"] + streamed["whole"]
    assert (0, total) == (outcome.counts["unchecked"], outcome.records)
    assert {"requests": total, "canaries": 0, "finished": total, "cut": 0} == outcome.seen
    assert (2, {0}) == (outcome.replaced, outcome.codes)
    assert sum(outcome.drained) > 0, "no pod had anything to do when it was told to end: nothing was shown"
    policies = {record.policy for pod in made.cluster.of(SERVICE) for record in made.records(pod)}
    assert 1 == len(policies), "pods of the upgrade decide by its policy alone"


def test_a_pod_may_do_only_what_the_chart_says(made: Scene) -> None:
    """No root, no capabilities, no new privileges, nothing to write to but its volumes: and it serves all the same."""
    if not made.cluster.network.isolated:
        pytest.skip(f"pods have our user here, because {refused()}")
    pod = made.cluster.of(SERVICE)[0]
    proc = Path("/proc", str(pod.container("extproc").pid))
    status = dict(line.split(":\t", 1) for line in proc.joinpath("status").read_text().splitlines() if ":\t" in line)
    assert {"65532"} == {*status["Uid"].split(), *status["Gid"].split()}
    assert {0} == {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")}
    assert "1" == status["NoNewPrivs"]
    root = next(line.split() for line in proc.joinpath("mounts").read_text().splitlines() if line.split()[1] == "/")
    assert "ro" in root[3].split(",")
    assert pod.name == proc.joinpath("root", "etc", "hosts").read_text().split()[-1]
    assert rolling.lines(pod) > 0


def test_without_a_drain_somebody_does(made: Scene) -> None:
    """The pods of the upgrade end at once: one that is deleted cuts its streams, and still nothing unread gets out."""
    waits(made.knows_all, "Envoy sends to every pod")
    pod = made.cluster.of(SERVICE)[0]
    load = made.load(PACE.asking, PACE.streaming, rate=PACE.rate)
    waits(lambda: load.ended("streamed") and made.metric(pod, "safeguards_streams_active") > 2, "streams run")
    made.cluster.delete([pod])
    counts = load.stop()
    assert counts["streamed"].keys() & {"cut", "503"}
    assert (0, 0) == (counts["unchecked"], made.seen()["canaries"])
