"""Each check on a real Envoy: silent on our own attachments, speaking where its fault is planted, and only there."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.attach.options import Attachment, How, Tls
from safeguards_extproc.doctor import examine
from safeguards_extproc.doctor.look import ask
from safeguards_extproc.doctor.seen import seen
from safeguards_extproc.local import envoy, processes
from tests.attach.older import envoy as older
from tests.attach.pasted import istio, save, static
from tests.doctor.faults import AFTER, DOCUMENT, at, both, cluster_of, filter_of, with_, without
from tests.envoy.rig import ROOT, end, post, serve
from tests.helm.certificates import write

pytestmark = pytest.mark.real

PATH = "/v1/chat/completions"
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'


@pytest.fixture(scope="module")
def filter_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A filter that runs, for all Envoys here."""
    folder = tmp_path_factory.mktemp("doctor")
    policy = folder / "policy.yaml"
    policy.write_text((ROOT / "policies" / "minimal.yaml").read_text())
    started = serve(policy, folder / "filter.sock")
    yield started.socket
    end(started.part)


@contextmanager
def running(document: dict[str, Any], folder: Path, binary: str = "") -> Iterator[tuple[str, str]]:
    """Envoy on a configuration: its admin address, and where it takes traffic."""
    for listener in document["static_resources"]["listeners"]:
        listener["address"] = envoy.address("127.0.0.1:0")
    document["admin"]["address"] = envoy.address("127.0.0.1:0")
    config, admin_file = folder / "envoy.json", folder / "envoy.admin"
    config.write_text(json.dumps(document))
    argv = [binary or envoy.binary(), "-c", str(config), "--admin-address-path", str(admin_file)]
    argv += ["--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    part = processes.start("envoy", argv, folder / "envoy.log")
    try:
        admin = envoy.ready(part, admin_file)
        yield admin, f"http://{envoy.listener(admin)}"
    finally:
        processes.stop(part)


def codes(admin: str) -> set[str]:
    """Which checks found something on this Envoy."""
    return {check.code for check, findings in examine(seen(*ask(admin))) if findings}


def attached(filter_socket: Path, how: How = How.GUARD) -> dict[str, Any]:
    document, _ = static(Attachment(addresses=(f"unix://{filter_socket}",), how=how))
    return document


@pytest.mark.parametrize("how", [How.GUARD, How.BUFFERED])
def test_our_own_attachment_is_well(how: How, filter_socket: Path, tmp_path: Path) -> None:
    """Before any traffic, and after it."""
    with running(attached(filter_socket, how), tmp_path) as (admin, url):
        assert set() == codes(admin)
        post(url, PATH, BODY, {"content-type": "application/json"})
        assert set() == codes(admin)


def test_mutual_tls_is_well(tmp_path: Path) -> None:
    """A filter that wants a certificate of Envoy, and an Envoy that checks the filter's name."""
    pem = tmp_path / "pem"
    write(pem, "filter.test")
    policy = tmp_path / "policy.yaml"
    policy.write_text((ROOT / "policies" / "minimal.yaml").read_text())
    options = ["--tls-certificate", f"{pem}/tls.crt", "--tls-key", f"{pem}/tls.key", "--tls-client-ca", f"{pem}/ca.crt"]
    started = serve(policy, tmp_path / "filter.sock", options=options)
    try:
        wanted = Attachment(
            addresses=(f"unix://{started.socket}",), tls=Tls.MUTUAL, tls_name="filter.test", tls_folder=str(pem)
        )
        document, files = static(wanted)
        save(files)
        with running(document, tmp_path) as (admin, url):
            assert set() == codes(admin)
            assert "x-safeguards-id" in post(url, PATH, BODY, {"content-type": "application/json"})[1]
            assert set() == codes(admin)
    finally:
        end(started.part)


def test_what_istio_makes_of_ours_is_well(filter_socket: Path, tmp_path: Path) -> None:
    """The patches of the EnvoyFilter, applied."""
    with running(istio(Attachment(addresses=(f"unix://{filter_socket}",))), tmp_path) as (admin, _):
        assert set() == codes(admin)


@pytest.mark.parametrize("fault", DOCUMENT)
def test_a_fault_is_found_and_nothing_else(fault: str, filter_socket: Path, tmp_path: Path) -> None:
    """A person makes one mistake in a configuration, and the doctor says that one."""
    plant, expected = DOCUMENT[fault]
    document = attached(filter_socket)
    plant(document)
    write(tmp_path / "pem", "localhost")
    document = json.loads(json.dumps(document).replace('"CA"', json.dumps(str(tmp_path / "pem" / "ca.crt"))))
    with running(document, tmp_path) as (admin, _):
        assert expected == codes(admin)


@pytest.mark.parametrize("fault", AFTER)
def test_what_happened_is_told(fault: str, filter_socket: Path, tmp_path: Path) -> None:
    """Nothing is counted before a request came through; afterwards it is."""
    plant, expected = AFTER[fault]
    document = attached(filter_socket)
    plant(document)
    with running(document, tmp_path) as (admin, url):
        before = codes(admin)
        post(url, PATH, BODY, {"content-type": "application/json"})
        assert expected <= codes(admin)
        assert not {"passed-unread", "streams-failed", "overflowed", "changes-rejected"} & before


def test_a_wait_that_was_too_long_is_told(tmp_path: Path) -> None:
    """The filter takes the connection and never answers."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        document = attached(tmp_path / "silent.sock", How.BUFFERED)
        both(without(cluster_of, "health_checks"), with_(filter_of, message_timeout="1s"))(document)
        with running(document, tmp_path) as (admin, url):
            assert "timed-out" not in codes(admin)
            post(url, PATH, BODY, {"content-type": "application/json"})
            assert "timed-out" in codes(admin)


@pytest.mark.parametrize("version", ["1.36.4", "1.38.2"])
def test_an_envoy_that_can_be_crashed_is_named(version: str, filter_socket: Path, tmp_path: Path) -> None:
    """Nothing else is wrong with it: what we write needs no newer one."""
    with running(attached(filter_socket), tmp_path, str(older(version))) as (admin, _):
        assert {"version"} == codes(admin)


def test_nobody_home_is_wrong_at_once(tmp_path: Path) -> None:
    """A cluster whose filter was never there."""
    document, _ = static(Attachment())
    at({"socket_address": {"address": "127.0.0.1", "port_value": processes.free_port()}})(document)
    with running(document, tmp_path) as (admin, _):
        assert {"no-host"} == codes(admin)
