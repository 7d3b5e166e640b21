"""What is taken away from a release. Each gives back what it took when the release's `undo` ends."""

from __future__ import annotations

import contextlib
import http.client
import signal
import subprocess
import threading

from tests.platform.cluster import PATIENCE_S, waits
from tests.platform.release import CLAIM, TRITON, Whole


def kill_filter(one: Whole) -> None:
    one.filters[0].container("extproc").signal(signal.SIGKILL)


def pause_filters(one: Whole) -> None:
    for pod in one.filters:
        process = pod.container("extproc")
        process.signal(signal.SIGSTOP)
        one.undo.callback(process.signal, signal.SIGCONT)


def kill_triton(one: Whole) -> None:
    process = one.triton.container("triton")
    process.kill()


def pause_triton(one: Whole) -> None:
    process = one.triton.container("triton")
    process.signal(signal.SIGSTOP)
    one.undo.callback(process.signal, signal.SIGCONT)


def slow_triton(one: Whole) -> None:
    """It works for half of the time: every other answer takes up to 400 ms more."""
    process, ended = one.triton.container("triton"), threading.Event()

    def blink() -> None:
        while not ended.is_set():
            process.signal(signal.SIGSTOP)
            ended.wait(0.4)
            process.signal(signal.SIGCONT)
            ended.wait(0.4)

    thread = threading.Thread(target=blink, daemon=True)
    thread.start()
    one.undo.callback(thread.join)
    one.undo.callback(ended.set)


def unload_models(one: Whole) -> None:
    _repository(one, "unload")
    one.undo.callback(_repository, one, "load")


def _repository(one: Whole, what: str) -> None:
    connection = http.client.HTTPConnection(one.triton.address, 8000, timeout=PATIENCE_S)
    connection.request("POST", f"/v2/repository/models/screen/{what}", "{}")
    assert 200 == connection.getresponse().status
    connection.close()


def kill_redis(one: Whole) -> None:
    one.redis.container("redis").signal(signal.SIGKILL)


def cut_redis(one: Whole) -> None:
    one.redis.place.host.cut()
    one.undo.callback(one.redis.place.host.join)


def slow_link(one: Whole) -> None:
    """256 kbit/s out of each filter's pod."""
    for pod in one.filters:
        device = [*pod.place.host.within, "tc", "qdisc", "{}", "dev", "eth0", "root"]
        limit = ["tbf", "rate", "256kbit", "burst", "8kb", "latency", "5s"]
        subprocess.run([word.format("add") for word in device] + limit, check=True)
        one.undo.callback(subprocess.run, [word.format("del") for word in device], check=False)


def nothing(one: Whole) -> None:
    """How the fault's Envoy is attached is the fault."""


def rotate(one: Whole) -> None:
    before = one.served()
    one.certify()
    waits(lambda: not before & one.served(), "the new certificates are served")


def expire(one: Whole) -> None:
    """Envoys that have a connection keep it: who comes now is refused."""
    one.certify(hours=-1)
    one.undo.callback(one.certify)


def fill_disk(one: Whole) -> None:
    path = one.made.cluster.claims / CLAIM / "filler"
    one.undo.callback(path.unlink)
    with contextlib.suppress(OSError), path.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))
            file.flush()


def kill_master(one: Whole) -> None:
    """One of three; its replica takes over."""
    one.masters[0].process.kill()


def kill_one_triton(one: Whole) -> None:
    one.made.cluster.of(TRITON)[0].container("triton").kill()


def roll_triton(one: Whole) -> None:
    """Both are replaced, one after the other."""
    one.made.cluster.roll_out(TRITON, anew=True)
