"""A network in which every pod has an address of its own: network namespaces on a bridge, or addresses of loopback.

The one rule: whatever was made is gone when the network is closed, and what a killed run left goes with the next one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_NAME = re.compile(r"sg(\d+)[bvn]\d*")
_ROOT = """
mount -t tmpfs none "$1" && mkdir "$1/upper" "$1/work" "$1/root" &&
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" none "$1/root" && test -e "$1/root/bin/sh"
"""
"""What inside.py begins with."""
_count = itertools.count()
_FIRST_HOST = 10  # the bridge is .1


def _ip(*args: str) -> str:
    done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise OSError(f"ip {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


@dataclass(slots=True)
class Host:
    """Where a pod lives: `within` is the program that runs others there, empty where it is this machine itself."""

    address: str
    within: tuple[str, ...]
    network: Network

    def cut(self) -> None:
        """From now on nothing that it sends arrives: whoever asks it hears nothing, no refusal either."""
        self.network.cut(self)

    def join(self) -> None:
        """Undo `cut`."""
        self.network.join(self)

    def leave(self) -> None:
        """Its address is gone."""
        self.network.leave(self)


class Network:
    """Addresses of loopback. Processes share all else, so nothing can be cut off."""

    isolated = False

    def __init__(self, prefix: str, gateway: str) -> None:
        self.prefix, self.gateway, self._count = prefix, gateway, _FIRST_HOST

    def host(self) -> Host:
        """A new address, never one that was used before."""
        return Host(self._next(), (), self)

    def _next(self) -> str:
        self._count += 1
        assert self._count < 255, "no address is left"
        return f"{self.prefix}.{self._count}"

    def cut(self, host: Host) -> None:
        raise OSError("only a network namespace can be cut off")

    def join(self, host: Host) -> None: ...

    def leave(self, host: Host) -> None: ...

    def close(self) -> None: ...


class Namespaces(Network):
    """A namespace for each host, joined by a bridge of this machine's own namespace."""

    isolated = True

    def __init__(self) -> None:
        """Raises OSError where that is not allowed."""
        _sweep()
        super().__init__(_free_prefix(), "")
        self.gateway, self._bridge = f"{self.prefix}.1", f"sg{os.getpid()}b"
        self._names: dict[str, str] = {}
        _ip("link", "add", self._bridge, "type", "bridge")
        try:
            _ip("addr", "add", f"{self.gateway}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            self.leave(self.host())
        except OSError:
            self.close()
            raise

    def host(self) -> Host:
        address = self._next()
        number = next(_count)  # never one that was used before: a namespace may outlive its name for a moment
        name, wire = f"sg{os.getpid()}n{number}", f"sg{os.getpid()}v{number}"
        _ip("netns", "add", name)
        self._names[address] = name
        _ip("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", wire, "master", self._bridge, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "default", "via", self.gateway)
        return Host(address, ("nsenter", f"--net=/run/netns/{name}", "--"), self)

    def cut(self, host: Host) -> None:
        """Its way back is taken: packets reach it, its answers go nowhere."""
        _ip("-n", self._names[host.address], "route", "replace", "blackhole", f"{self.prefix}.0/24")

    def join(self, host: Host) -> None:
        place = ("dev", "eth0", "src", host.address)
        _ip("-n", self._names[host.address], "route", "replace", f"{self.prefix}.0/24", *place)

    def leave(self, host: Host) -> None:
        name = self._names.pop(host.address, None)
        if name is not None:
            _ip("netns", "del", name)

    def close(self) -> None:
        for name in self._names.values():
            with contextlib.suppress(OSError):
                _ip("netns", "del", name)
        self._names = {}
        with contextlib.suppress(OSError):
            _ip("link", "del", self._bridge)


def _sweep() -> None:
    """Remove what runs of ours left that are no more."""
    names = [path.name for path in Path("/run/netns").glob("sg*")] if Path("/run/netns").exists() else []
    links = [row["ifname"] for row in json.loads(_ip("-j", "link", "show", "type", "bridge") or "[]")]
    for kind, found in (("netns", names), ("link", links)):
        for name in found:
            match = _NAME.fullmatch(name)
            if match is not None and not Path("/proc", match[1]).exists():
                with contextlib.suppress(OSError):
                    _ip(kind, "del", name)


def _free_prefix() -> str:
    """The first three numbers of a private network that this machine has no address in."""
    taken = {
        entry["local"].rpartition(".")[0] for row in json.loads(_ip("-j", "-4", "addr")) for entry in row["addr_info"]
    }
    start = os.getpid() % 250
    for number in range(start, start + 250):
        prefix = f"10.213.{number % 250}"
        if prefix not in taken:
            return prefix
    raise OSError("no private network is free")


@cache
def refused() -> str:
    """Why pods can have no namespaces here, of the network and of a root of their own; "" if they can."""
    try:
        Namespaces().close()
        with tempfile.TemporaryDirectory() as name:
            argv = ["unshare", "--mount", "--uts", "sh", "-c", _ROOT, "sh", name]
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


@contextlib.contextmanager
def network(*, loopback: bool = False) -> Iterator[Network]:
    """Namespaces where they are allowed, loopback where not or where it is asked for."""
    number = os.getpid() % 60_000
    plain = f"127.{64 + number // 250 % 128}.{number % 250}"
    made = Network(plain, f"{plain}.1") if loopback or refused() else Namespaces()
    try:
        yield made
    finally:
        made.close()
