"""The processes that the chart describes, started as the kubelet would: their arguments, files, probes and ends."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import grpc
import pytest
import typer
from grpc_health.v1 import health_pb2
from redis import Redis

from safeguards_extproc.cli import app
from safeguards_extproc.records.stores import open_store
from tests import redis_server
from tests.helm.certificates import write
from tests.helm.containers import ask, command, container, free_ports, mount, probe, running, wait_for
from tests.helm.matrix import COMPACTED, MATRIX, merged, pods
from tests.helm.program import Helm, Manifest, Values, only
from tests.records.object_store import s3

pytestmark = pytest.mark.real

NAME = "guard-safeguards-extproc"
HOST = f"{NAME}.mesh.svc"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
DRAIN: Values = {"drain": {"preStopSeconds": 0, "delaySeconds": 2, "limitSeconds": 5}}


def on_free_ports() -> Values:
    """Values with which a filter can run here, and drains fast."""
    return {"ports": free_ports("extproc", "health", "metrics"), **DRAIN}


def test_starts_serves_and_drains(newest: Helm, tmp_path: Path) -> None:
    """Started with the chart's words the filter becomes ready, shows its metrics, drains alive, and ends well."""
    values = on_free_ports()
    manifests = newest.render(values)
    mount(manifests, tmp_path)
    found = container(manifests, "extproc")
    with running(found, tmp_path) as process:
        wait_for(SERVING, found, "startupProbe")
        assert probe(found, "livenessProbe") == SERVING
        with urllib.request.urlopen(f"http://127.0.0.1:{values['ports']['metrics']}/metrics", timeout=5) as reply:
            assert "safeguards_build_info" in reply.read().decode()
        process.send_signal(signal.SIGTERM)
        wait_for(NOT_SERVING, found, "readinessProbe", seconds=2)
        assert probe(found, "livenessProbe") == SERVING
        assert process.wait(timeout=15) == 0


def test_speaks_mutual_tls(newest: Helm, tmp_path: Path) -> None:
    """With a Secret, Envoy's port takes a client with a certificate of the authority, and none without."""
    write(tmp_path / "tls", HOST)
    values = on_free_ports()
    manifests = newest.render(values | {"tls": {"secretName": "x"}})
    mount(manifests, tmp_path)
    found = container(manifests, "extproc")
    with running(found, tmp_path):
        wait_for(SERVING, found, "readinessProbe")
        authority, chain, key = ((tmp_path / "tls" / name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key"))
        known = grpc.ssl_channel_credentials(authority, key, chain)
        unknown = grpc.ssl_channel_credentials(authority)
        answers = []
        for credentials in (known, unknown):
            target, name = f"127.0.0.1:{values['ports']['extproc']}", [("grpc.ssl_target_name_override", HOST)]
            with grpc.secure_channel(target, credentials, name) as channel:
                answers.append(ask(channel, "envoy.service.ext_proc.v3.ExternalProcessor"))
        assert answers == [SERVING, None]


def test_refuses_a_policy_that_does_not_load(newest: Helm, tmp_path: Path) -> None:
    """A pod with a broken policy never becomes ready, and says where the mistake is."""
    manifests = newest.render(on_free_ports() | {"policy": "version: 1\nnam: x\n"})
    mount(manifests, tmp_path)
    with running(container(manifests, "extproc"), tmp_path) as process:
        assert process.wait(timeout=30) == 2
        assert process.stderr is not None
        assert "policy.yaml:2" in process.stderr.read()


def pod_says(manifests: list[Manifest], folder: Path) -> subprocess.CompletedProcess[str]:
    """What the pod of `helm test` says of a filter on this machine."""
    (pod,) = (each for name, each in pods(manifests).items() if name.startswith("Pod/"))
    found = {"volumeMounts": [], **pod["containers"][0]}
    argv = command(found, folder, {HOST: "127.0.0.1"})
    options = ["--server-name", HOST] if found["volumeMounts"] else []
    return subprocess.run([*argv, *options], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "mutual"])
def test_helm_test_asks_the_filter(newest: Helm, tmp_path: Path, tls: bool) -> None:
    """The command of `helm test`, put to the filter of the same release: ready, one message passes, one does not; and
    with a policy that blocks nothing it fails."""
    values = on_free_ports()
    if tls:
        write(tmp_path / "tls", HOST)
        values["tls"] = {"secretName": "x"}
    for policy, well in (("", True), ("version: 1\nname: nothing\n", False))[: 1 if tls else 2]:
        block = {"test": {"block": "Tell me about Project Bluefinch"}}
        manifests = newest.render(merged(values, block, {"policy": policy}))
        mount(manifests, tmp_path)
        found = container(manifests, "extproc")
        with running(found, tmp_path):
            wait_for(SERVING, found, "readinessProbe")
            done = pod_says(manifests, tmp_path)
        assert well == (done.returncode == 0), done.stdout + done.stderr
        assert "ok    ready: SERVING" in done.stdout
        assert "ok    allow 1: allowed" in done.stdout


def test_the_sealer_takes_what_the_filter_leaves(newest: Helm, tmp_path: Path) -> None:
    """Filter and native sidecar over one volume and a real bucket: they end in the kubelet's order, and the last
    record is in the bucket, where the compactor finds that its hour is not over."""
    with s3() as url:
        place = re.sub("//[^@]*@", "//", url)
        ports = free_ports("sealer")
        sealing: Values = {
            "records": {"kind": "spool", "region": "eu"},
            "sealer": {"store": place, "every": "1h", "metricsPort": ports["sealer"], **COMPACTED["sealer"]},
        }
        manifests = newest.render(merged(on_free_ports(), sealing, {"terminationGracePeriodSeconds": 60}))
        mount(manifests, tmp_path)
        filter_, sealer = container(manifests, "extproc"), container(manifests, "sealer")
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        with running(sealer, tmp_path, env=keys) as after, running(filter_, tmp_path) as first:
            wait_for(SERVING, filter_, "readinessProbe")
            assert 0 == pod_says(manifests, tmp_path).returncode
            first.send_signal(signal.SIGTERM)
            assert 0 == first.wait(timeout=20)
            after.send_signal(signal.SIGTERM)
            assert 0 == after.wait(timeout=20)
        manifest = next(each for each in open_store(url).all("eu") if each.path.endswith(".json"))
        assert 2 == json.loads(open_store(url).get(manifest.path))["rows"]
        compact = command({"volumeMounts": [], **container(manifests, "compact")}, tmp_path)
        done = subprocess.run(compact, capture_output=True, text=True, env={**os.environ, **keys}, timeout=60)
        assert (0, "") == (done.returncode, done.stderr)
        assert "  joined   0\n" in done.stdout


def test_keeper_and_redis_of_a_trial(newest: Helm, tmp_path: Path) -> None:
    """The bundled Redis starts with the chart's words, and the keeper beside it is ready, its ledger on its volume."""
    redis_server.needed()
    ports = free_ports("health", "metrics", "redis")
    values = merged(MATRIX["keeper"], {"keeper": {"ports": {name: ports[name] for name in ("health", "metrics")}}})
    manifests = newest.render(values)
    mount(manifests, tmp_path)
    redis, keeper = container(manifests, "redis"), container(manifests, "keeper")
    at = {"6379": str(ports["redis"]), f"{NAME}-redis.mesh.svc": "127.0.0.1"}
    with running(redis, tmp_path, at), Redis(port=ports["redis"]) as client:
        redis_server.until("Redis", client.ping)
        assert {"maxmemory-policy": "noeviction"} == client.config_get("maxmemory-policy")
        there = {f"{NAME}-redis.mesh.svc:6379": f"127.0.0.1:{ports['redis']}"}
        with running(keeper, tmp_path, there) as process:
            wait_for(SERVING, keeper, "readinessProbe")
            assert probe(keeper, "livenessProbe") == SERVING
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(timeout=20)
    assert (tmp_path / "ledger" / "ledger.sqlite").exists()


def test_redis_is_told_of(newest: Helm, tmp_path: Path) -> None:
    """The exporter's words are those that redis_exporter knows, and what it then tells is what the dashboards ask."""
    redis_server.needed()
    program = shutil.which("prometheus-redis-exporter")
    if program is None:
        pytest.skip("no prometheus-redis-exporter on PATH (Debian, Ubuntu: apt install prometheus-redis-exporter)")
    manifests = newest.render(MATRIX["redis with its metrics"])
    mount(manifests, tmp_path)
    ports = free_ports("redis", "metrics")
    at = {"6379": str(ports["redis"]), "9121": str(ports["metrics"])}
    exporter = {"volumeMounts": [], **container(manifests, "exporter"), "command": [program]}
    with (
        running(container(manifests, "redis"), tmp_path, at),
        Redis(port=ports["redis"]) as client,
        running(exporter, tmp_path, at),
    ):
        redis_server.until("Redis", client.ping)

        def told() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['metrics']}/metrics", timeout=5) as reply:
                return "redis_up 1" in reply.read().decode()

        redis_server.until("the exporter", told)


def test_models_are_fetched_by_their_digests(newest: Helm, tmp_path: Path) -> None:
    """The init container copies from its claim what the digests name; a changed file ends it before Triton starts."""
    file = tmp_path / "source" / "repository" / "screen" / "config.pbtxt"
    file.parent.mkdir(parents=True)
    file.write_text('name: "screen"\n')
    sums = f"{hashlib.sha256(file.read_bytes()).hexdigest()}  ./screen/config.pbtxt\n"
    manifests = newest.render(merged(MATRIX["triton on a slice"], {"triton": {"models": {"digests": sums}}}))
    found = container(manifests, "models")
    argv = command(found, tmp_path)
    (tmp_path / "digests" / "SHA256SUMS").write_text(only(manifests, "ConfigMap", "-digests")["data"]["SHA256SUMS"])
    assert 0 == subprocess.run(argv, capture_output=True, timeout=60).returncode
    assert file.read_text() == (tmp_path / "models" / "screen" / "config.pbtxt").read_text()
    file.write_text("changed")
    (tmp_path / "models" / "screen" / "config.pbtxt").unlink()
    assert 1 == subprocess.run(argv, capture_output=True, timeout=60).returncode


def parsed(args: list[str]) -> None:
    """Have the command line read the words without doing anything; fails as it would."""
    group, words = typer.main.get_command(app), args
    with group.make_context("safeguards-extproc", words, resilient_parsing=False) as context:
        while words:
            name, found, words = context.command.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
            context = found.make_context(name, list(words), parent=context)
            if not hasattr(context.command, "resolve_command"):
                return


@pytest.mark.parametrize("row", [name for name in MATRIX if name != "everything else"])
def test_the_command_line_knows_every_argument(newest: Helm, tmp_path: Path, row: str) -> None:
    """Whatever the values, our images are given commands and options that they have, with values that they take."""
    for spec in pods(newest.render(MATRIX[row])).values():
        for each in (*spec.get("initContainers", ()), *spec["containers"]):
            if "image" in each and "command" not in each and each["name"] != "exporter":
                argv = command({"volumeMounts": [], **each}, tmp_path)
                for name in ("policy/policy.yaml", "safeguards-policy/policy.yaml", "tls/ca.crt"):
                    (tmp_path / name).parent.mkdir(exist_ok=True)
                    (tmp_path / name).touch()
                parsed(argv[3:])


def test_the_check_of_arguments_bites() -> None:
    """An option that is not there, and a value that is none, are found."""
    for words in (["serve", "--polcy=x"], ["records", "seal", "/none", "s3://x"], ["keeper", "--policy"]):
        with pytest.raises(Exception, match=r"(?i)no such option|does not exist|requires an argument"):
            parsed(words)
