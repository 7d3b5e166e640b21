"""Addresses as operators write them, and sockets that nobody loses by accident."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from safeguards_extproc.adapters.listener import LONGEST_PATH, Address, binding, check_apart, parse
from safeguards_extproc.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "target", "shown"),
    [
        ("unix:///run/x.sock", "unix:/run/x.sock", "unix:///run/x.sock"),
        ("unix:/run/x.sock", "unix:/run/x.sock", "unix:///run/x.sock"),
        ("127.0.0.1:8443", "127.0.0.1:8443", "127.0.0.1:8443"),
        ("filter.example:1", "filter.example:1", "filter.example:1"),
        (":8443", "[::]:8443", "[::]:8443"),
        ("[::1]:8443", "[::1]:8443", "[::1]:8443"),
        ("0.0.0.0:0", "0.0.0.0:0", "0.0.0.0:0"),
    ],
)
def test_an_address_is_what_it_says(text: str, target: str, shown: str) -> None:
    """What gRPC binds and what people read."""
    address = parse(text)
    assert (target, shown) == (address.target, str(address))
    assert address == parse(shown)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no port"),
        ("8443", "no port"),
        ("host:", "no port"),
        ("host:https", "no port"),
        ("host:-1", "no port"),
        ("host:\u0663", "no port"),
        ("host:65536", "does not exist"),
        ("::1:8443", "brackets"),
        ("http://host:80", "brackets|not an address"),
        ("user@host:80", "not an address"),
        ("unix://run/x.sock", "absolute"),
        ("unix://", "absolute"),
        ("unix:///" + "x" * LONGEST_PATH, "too long"),
    ],
)
def test_a_bad_address_is_refused_with_a_hint(text: str, why: str) -> None:
    """The message says what is wrong with what was written, and what to write."""
    with pytest.raises(ConfigError, match=why) as caught:
        parse(text)
    assert text == caught.value.where
    assert caught.value.hint


def test_every_worker_has_its_own_address() -> None:
    """Ports count up, paths get a suffix; the first worker has the plain one."""
    assert [str(parse("h:80").for_worker(index)) for index in range(3)] == ["h:80", "h:81", "h:82"]
    assert [parse("unix:///a").for_worker(index).path for index in range(2)] == ["/a", "/a.1"]
    for text in ("h:65535", "h:0", "unix:///" + "x" * (LONGEST_PATH - 1)):
        assert parse(text) == parse(text).for_worker(0)
        with pytest.raises(ConfigError):
            parse(text).for_worker(1)


def bind(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    return listening


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_a_socket_has_its_mode_from_its_first_moment(tmp_path: Path, mode: int) -> None:
    """Nobody whom the mode keeps out could connect in between, and the process's umask is as before."""
    path = tmp_path / "s"
    before = os.umask(0o022)
    try:
        with binding(Address(path=str(path)), mode), bind(path):
            assert stat.S_IMODE(path.stat().st_mode) & ~mode == 0
        assert mode == stat.S_IMODE(path.stat().st_mode)
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_dead_socket_is_cleared_away(tmp_path: Path) -> None:
    """What a killed process left behind does not keep the next one from starting."""
    path = tmp_path / "s"
    bind(path).close()
    with binding(Address(path=str(path)), 0o600), bind(path):
        pass


def test_a_living_socket_is_left_alone(tmp_path: Path) -> None:
    """Where somebody answers we do not start, and they go on."""
    path = tmp_path / "s"
    with bind(path) as other:
        other.listen()
        with pytest.raises(ConfigError, match="already"), binding(Address(path=str(path)), 0o600):
            pass
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_is_not_a_socket(tmp_path: Path) -> None:
    """A slip in a path deletes nothing."""
    path = tmp_path / "notes.txt"
    path.write_text("keep me")
    with pytest.raises(ConfigError, match="no socket"), binding(Address(path=str(path)), 0o600):
        pass
    assert path.read_text() == "keep me"


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    """The hint says what to create."""
    with pytest.raises(ConfigError, match="no such directory"), binding(Address(path=str(tmp_path / "a/b")), 0o600):
        pass


def test_tcp_needs_nothing() -> None:
    """Only Unix sockets leave things behind."""
    with binding(Address(host="localhost", port=1), 0o600):
        pass


def test_workers_stay_apart() -> None:
    """Each worker adds its number: addresses that lie too close meet, and it is said before anything starts."""
    apart = {"--listen": parse(":9003"), "--health": parse(":9102"), "--metrics": parse("unix:///run/m")}
    check_apart(apart, 99)
    with pytest.raises(ConfigError, match="--listen of worker 99 is --health of worker 0 too") as caught:
        check_apart(apart, 100)
    assert caught.value.where == "[::]:9102"
    check_apart({"--listen": parse("127.0.0.1:0"), "--health": parse("127.0.0.1:0")}, 1)
