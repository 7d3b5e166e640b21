"""The runner itself: what it does with manifests is what a kubelet and controllers do."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.platform import volumes
from tests.platform.cluster import Cluster, cluster, waits
from tests.platform.names import Names
from tests.platform.network import network
from tests.platform.pods import Pod

pytestmark = pytest.mark.real

BRIEF: dict[str, Any] = {"periodSeconds": 0.05, "timeoutSeconds": 5}


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster on loopback: what is shown here is the same in namespaces."""
    with network(loopback=True) as net, cluster(net, tmp_path, ttl_s=1.0) as made:
        yield made


def deployment(script: str, *, replicas: int = 1, **more: Any) -> dict[str, Any]:
    """One whose pods run a shell script, with a volume at /work; `more` goes to the container or the pod."""
    container: dict[str, Any] = {"name": "main", "image": "redis:7", "command": ["sh", "-c", script]}
    container |= {key: more.pop(key) for key in list(more) if key in ("readinessProbe", "lifecycle", "env")}
    container["volumeMounts"] = [{"name": "work", "mountPath": "/work"}]
    volumes = [{"name": "work", **more.pop("volume", {"emptyDir": {}})}]
    spec = {"containers": [container], "volumes": volumes, **more}
    labels = {"app": "thing"}
    return {
        "kind": "Deployment",
        "metadata": {"name": "thing"},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": labels}, "spec": spec}},
    }


SERVICE = {"kind": "Service", "metadata": {"name": "thing"}, "spec": {"selector": {"app": "thing"}}}
LIVES = "trap 'echo term >> /work/log; exit 0' TERM; touch /work/up; while :; do sleep 0.05; done"
READY: dict[str, Any] = {"readinessProbe": {"exec": {"command": ["true"]}, **BRIEF}}


def the(pods: Cluster) -> Pod:
    [pod] = pods.of("thing")
    return pod


def test_a_pod_ends_in_order(pods: Cluster) -> None:
    """preStop, then SIGTERM, then what is left of the grace; no endpoint from the first moment on."""
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "sleep 0.3; echo hook >> $WORK/log"]}}}
    manifest = deployment(LIVES, lifecycle=hook, env=[{"name": "WORK", "value": "/work"}], **READY)
    pods.apply([SERVICE, manifest])
    pod = the(pods)
    assert [pod.address] == pods.addresses("thing.mesh.svc.cluster.local")
    pod.delete()
    assert [] == pods.addresses("thing")
    assert pod.container("main").code is None
    pod.wait(10)
    assert "hook\nterm\n" == (pod.folders["work"] / "log").read_text()
    assert 0 == pod.container("main").code


def test_a_pod_that_does_not_listen_is_killed(pods: Cluster) -> None:
    """SIGKILL once the grace is over, and not before."""
    pods.apply([deployment("trap '' TERM; while :; do sleep 0.05; done", terminationGracePeriodSeconds=1)])
    pod, began = the(pods), time.monotonic()
    pods.delete([pod])
    assert time.monotonic() - began >= 1
    assert -9 == pod.container("main").code


def test_a_container_that_ends_is_started_again(pods: Cluster) -> None:
    """And is no endpoint until its probe says so."""
    probe: dict[str, Any] = {"readinessProbe": {"exec": {"command": ["test", "-e", "/work/up"]}, **BRIEF}}
    pods.apply([SERVICE, deployment(LIVES, **probe)])
    pod = the(pods)
    (pod.folders["work"] / "up").unlink()
    pod.container("main").signal(9)
    waits(lambda: pod.container("main").restarts == 1 and pod.ready, "it is back", 10)


def test_a_roll_out_takes_no_more_away_than_it_may(pods: Cluster) -> None:
    """Two stay available while both are replaced by pods of the new template."""
    manifest = deployment(LIVES, replicas=2, **READY)
    pods.apply([SERVICE, manifest])
    old = pods.of("thing")
    new = json.loads(json.dumps(manifest))
    new["spec"]["template"]["metadata"]["labels"]["version"] = "2"
    new["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    least, ended = [2], threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            least.append(len(pods.endpoints(SERVICE)))

    watching = threading.Thread(target=watch)
    watching.start()
    pods.apply([new])
    ended.set()
    watching.join()
    assert 2 == min(least)
    assert all(pod.terminating for pod in old)
    assert ["2", "2"] == [pod.labels["version"] for pod in pods.of("thing")]
    pods.roll_out("thing")
    assert 4 == len(pods.pods), "nothing is replaced where nothing has changed"


def test_what_a_secret_says_changes_at_once(pods: Cluster) -> None:
    """A running pod sees all of the new files or all of the old ones, by one link."""

    def secret(text: str) -> dict[str, Any]:
        data = {name: base64.b64encode(f"{text} {name}".encode()).decode() for name in ("a", "b")}
        return {"kind": "Secret", "metadata": {"name": "s"}, "data": data}

    mounted = {"secret": {"secretName": "s", "defaultMode": 0o440}}
    pods.apply([secret("old"), deployment("sleep 60", volume=mounted, terminationGracePeriodSeconds=1)])
    folder = the(pods).folders["work"]
    before = (folder / "..data").resolve()
    assert "old a" == (folder / "a").read_text()
    pods.change([secret("new")])
    assert ["new a", "new b"] == [(folder / name).read_text() for name in ("a", "b")]
    assert 0o440 == (folder / "a").stat().st_mode & 0o777
    assert not before.exists()


def test_what_is_not_known_is_no_silence(pods: Cluster) -> None:
    """A volume, a variable or an image that the runner cannot do fails the test that has it."""
    with pytest.raises(AssertionError, match="unknown kind"):
        pods.apply([deployment(LIVES, volume={"csi": {"driver": "x"}})])
    with pytest.raises(ValueError, match="unknown kind"):
        pods.apply([deployment(LIVES, env=[{"name": "X", "valueFrom": {"resourceFieldRef": {}}}])])
    strange = deployment(LIVES)
    strange["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox"
    with pytest.raises(KeyError, match="busybox"):
        pods.apply([strange])
    missing = {"configMap": {"name": "nobody"}}
    with pytest.raises(KeyError, match="nobody"):
        volumes.contents(missing, pods.find)


def test_a_name_is_remembered_for_a_while() -> None:
    """As behind CoreDNS: what was told is told again until its time is over, a denial is not kept."""
    held: dict[str, list[str] | None] = {"a": None}
    names = Names(lambda name: held[name], "127.0.0.1", 0, ttl_s=60)
    try:
        query = b"\0\1\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"
        assert 3 == names._answer(query)[3] & 0xF
        held["a"] = ["10.0.0.1"]
        assert bytes((10, 0, 0, 1)) == names._answer(query)[-4:]
        held["a"] = ["10.0.0.2"]
        assert bytes((10, 0, 0, 1)) == names._answer(query)[-4:]
    finally:
        names.close()
