"""Where to listen: an address as the operator writes it, as gRPC wants it, and for each of several workers."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from safeguards_extproc.errors import ConfigError

LONGEST_PATH = 107
"""Bytes of a socket's path that the kernel takes (unix(7): sun_path is 108, with its end)."""

_HINT = 'use "unix:///path", "host:port", "[v6]:port" or ":port"'


@dataclass(frozen=True, slots=True)
class Address:
    """Either `path` of a Unix socket, or `host` and `port`; port 0 lets the kernel choose.

    The host "::" is every address of both families.
    """

    path: str = ""
    host: str = "::"
    port: int = 0

    @property
    def target(self) -> str:
        """As gRPC takes it."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else self.target

    def for_worker(self, index: int) -> Address:
        """Worker `index`'s own: the port plus the index, or the path with ".index" (the first keeps the plain one).

        Raises ConfigError where there is no such port.
        """
        if index == 0:
            return self
        if self.path:
            return _checked(replace(self, path=f"{self.path}.{index}"), f"unix://{self.path}")
        if not self.port:
            raise ConfigError("several workers need a port", where=str(self), hint="port 0 is one worker's only")
        return _checked(replace(self, port=self.port + index), str(self))


def check_apart(addresses: Mapping[str, Address], workers: int) -> None:
    """Raises ConfigError where two of the workers' listeners would take the same place. `addresses` by option."""
    taken: dict[Address, str] = {}
    for index in range(workers):
        for option, address in addresses.items():
            place = address.for_worker(index)
            who = f"{option} of worker {index}"
            if place in taken and (place.path or place.port):
                hint = "a worker adds its number to each port: leave room for them all"
                raise ConfigError(f"{who} is {taken[place]} too", where=str(place), hint=hint)
            taken[place] = who


def parse(text: str) -> Address:
    """The address that `text` says. Raises ConfigError."""
    for prefix in ("unix://", "unix:"):
        if text.startswith(prefix):
            path = text.removeprefix(prefix)
            if not path.startswith("/"):
                raise ConfigError(
                    "the path of a socket must be absolute", where=text, hint='write "unix:///run/x.sock"'
                )
            return _checked(Address(path=path), text)
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal()):
        raise ConfigError("no port", where=text, hint=_HINT)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigError("an IPv6 address needs brackets", where=text, hint=_HINT)
    if any(character in host for character in "/[]@ "):
        raise ConfigError("not an address", where=text, hint=_HINT)
    return _checked(Address(host=host or "::", port=int(port)), text)


def _checked(address: Address, where: str) -> Address:
    if not 0 <= address.port <= 65535:
        raise ConfigError(f"port {address.port} does not exist", where=where, hint="ports end at 65535")
    if len(os.fsencode(address.path)) > LONGEST_PATH:
        raise ConfigError("the path is too long for a socket", where=where, hint=f"at most {LONGEST_PATH} bytes")
    return address


@contextmanager
def binding(address: Address, mode: int) -> Iterator[None]:
    """Around the call that binds: clears a dead socket away, and gives the new one `mode` from its first moment.

    Raises ConfigError if somebody answers there, or the path cannot be a socket. TCP needs nothing done.
    """
    if not address.path:
        yield
        return
    _clear(address)
    before = os.umask(0o777 & ~mode)
    try:
        yield
    finally:
        os.umask(before)
    try:
        os.chmod(address.path, mode)
    except OSError as error:
        raise ConfigError(
            "cannot set the socket's mode", where=str(address), hint=os.strerror(error.errno or 0)
        ) from None


def _clear(address: Address) -> None:
    path = Path(address.path)
    if not path.parent.is_dir():
        raise ConfigError("no such directory", where=str(address), hint=f"create {path.parent}")
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ConfigError("something that is no socket has this name", where=str(address), hint="choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            hint = os.strerror(error.errno) if error.errno else "it does not answer"
            raise ConfigError("cannot tell whether the socket is in use", where=str(address), hint=hint) from None
    raise ConfigError("somebody is listening there already", where=str(address), hint="stop it, or choose another path")
