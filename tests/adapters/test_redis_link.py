"""The way to Redis: on time, behind a breaker, over every kind of connection, and found again by itself."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from safeguards_extproc.adapters.breaker import BreakerSettings, State
from safeguards_extproc.adapters.redis_link import Call, RedisLink, RedisSettings, Script
from safeguards_extproc.errors import ConfigError, StoreError
from tests import redis_server
from tests.redis_server import Server

TEXT = "return {ARGV[1], redis.call('INCR', KEYS[1])}"
COUNT = Script(TEXT, hashlib.sha1(TEXT.encode()).hexdigest())
IMPATIENT = BreakerSettings(consecutive=2, open_s=0.02, open_max_s=0.05)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis of the test's own."""
    with redis_server.running(tmp_path / "redis") as running:
        yield running


def linked(url: str, *, username: str = "", password: str = "", ca: str = "") -> RedisLink:
    settings = RedisSettings(url, username=username, password=password, ca=ca, deadline_s=5.0)
    return RedisLink(settings, breaker=IMPATIENT)


@pytest.mark.parametrize("url", ["http://redis", "redis:no", "redis://host:port", "", "unix:///socket"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """When the service starts, not when somebody asks; a cluster has no socket."""
    with pytest.raises(ConfigError, match="no address of Redis"):
        RedisLink(RedisSettings(url, cluster=True))


def test_a_password_is_not_shown() -> None:
    """Neither one in the address nor one beside it."""
    shown = repr(RedisSettings("rediss://me:secret@redis.example:6380/1", password="hidden"))
    assert "redis.example" in shown
    assert "secret" not in shown
    assert "hidden" not in shown


@pytest.mark.real
async def test_a_script_runs_wherever_it_is_not_known_yet(server: Server) -> None:
    """One call or several in one round trip, before the server knows the script and after it forgot."""
    link = linked(server.url)
    for number in range(2):
        assert [[b"a", 1 + 2 * number]] == await link.run(COUNT, [Call(["one"], ["a"])])
        if number:
            await link.client.script_flush()
        calls = [Call(["one"], ["b"]), Call(["two"], ["c"])]
        assert [[b"b", 2 + 2 * number], [b"c", 1 + number]] == await link.run(COUNT, calls)
        await link.client.script_flush()
    await link.close()


@pytest.mark.real
async def test_one_call_that_fails_leaves_the_others_their_answers(server: Server) -> None:
    """A key that holds something else is that call's failure, and no reason to stop asking."""
    link = linked(server.url)
    await link.command("RPUSH", "list", "x")
    for _ in range(5):
        wrong, right = await link.run(COUNT, [Call(["list"], ["a"]), Call(["one"], ["b"])])
        assert isinstance(wrong, StoreError)
        assert ("bad-response", b"b") == (wrong.reason, right[0])
    with pytest.raises(StoreError, match="bad-response"):
        await link.command("GET", "list")
    await link.close()


@pytest.mark.real
async def test_callers_that_go_together_do_not_mix(server: Server) -> None:
    """A hundred at once, some of whom fail and some of whom leave: each has the answer to its own question."""
    link = linked(server.url)
    await link.command("RPUSH", "list", "x")

    async def ask(number: int) -> object:
        key = "list" if number % 10 == 3 else f"key-{number % 7}"
        (answer,) = await link.run(COUNT, [Call([key], [number])])
        return answer.reason if isinstance(answer, StoreError) else int(answer[0])

    asking = [asyncio.create_task(ask(number)) for number in range(100)]
    await asyncio.sleep(0)
    for number in range(0, 100, 20):
        asking[number].cancel()
    said = await asyncio.gather(*asking, return_exceptions=True)
    for number, answer in enumerate(said):
        if number % 20 == 0:
            assert isinstance(answer, asyncio.CancelledError)
        else:
            assert ("bad-response" if number % 10 == 3 else number) == answer
    await link.close()


@pytest.mark.real
async def test_everybody_in_the_queue_is_answered_in_time(server: Server) -> None:
    """The server stands still: who is on the way and who still waits hear of it, and all are served when it goes on."""
    link = RedisLink(RedisSettings(server.url, deadline_s=0.1), breaker=BreakerSettings(consecutive=1000))
    await redis_server.soon(lambda: _counts(link))
    server.signal(redis_server.STOP)
    told = []
    for _ in range(8):
        told += [asyncio.create_task(link.run(COUNT, [Call(["key"], ["a"])]))]
        await asyncio.sleep(0.001)
    assert {"timeout"} == {answer.reason for (answer,) in await asyncio.gather(*told)}
    server.signal(redis_server.CONTINUE)
    await redis_server.soon(lambda: _counts(link))
    await link.close()


@pytest.mark.real
async def test_nobody_waits_for_a_server_that_is_away(server: Server) -> None:
    """The deadline ends the first calls, the breaker the next; when the server is back it closes by itself."""
    states: list[tuple[str, State]] = []
    settings = RedisSettings(server.url, deadline_s=0.05)
    link = RedisLink(settings, lambda name, state: states.append((name, state)), IMPATIENT)
    await redis_server.soon(lambda: _counts(link))
    states.clear()
    server.signal(redis_server.STOP)
    reasons = [(await link.run(COUNT, [Call(["key"], ["a"])]))[0].reason for _ in range(3)]
    assert ["timeout", "timeout", "circuit-open"] == reasons
    server.signal(redis_server.CONTINUE)
    await redis_server.soon(lambda: _counts(link))
    assert [("redis", State.OPEN), ("redis", State.HALF_OPEN)] == states[:2]
    assert ("redis", State.CLOSED) == states[-1]
    await link.close()
    (closed,) = await link.run(COUNT, [Call(["key"], ["a"])])
    assert "closed" == closed.reason


async def _counts(link: RedisLink) -> bool:
    return isinstance((await link.run(COUNT, [Call(["safeguards:key"], ["a"])]))[0], list)


@pytest.mark.real
async def test_passwords_are_told(tmp_path: Path) -> None:
    """A user of an access list, with the rights that the docs give it; without its password the store is away."""
    rights = ("~safeguards:*", "&safeguards:*", "+@all", "-@admin", "-@dangerous", "+info")
    assert " ".join(rights) in (Path(__file__).parents[2] / "docs" / "accounts.md").read_text()
    users = ("--user", "default", "off", "--user", "limits", "on", ">secret", *rights)
    port = redis_server.free_port()
    with redis_server.running(tmp_path / "redis", *users, port=port, ask=False) as server:
        link = linked(server.url, username="limits", password="secret")
        await redis_server.soon(lambda: _counts(link))
        await link.close()
        stranger = linked(server.url)
        (refused,) = await stranger.run(COUNT, [Call(["key"], ["a"])])
        assert "unavailable" == refused.reason
        await stranger.close()


@pytest.mark.real
async def test_tls_is_checked(tmp_path: Path) -> None:
    """Against the authority that is named; another's is refused."""
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names)
    files = ("-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "ca.pem"))
    making = await asyncio.create_subprocess_exec(*made, *files, stderr=asyncio.subprocess.DEVNULL)
    assert 0 == await making.wait()
    port = redis_server.free_port()
    tls = ("--tls-port", str(port), "--tls-cert-file", str(tmp_path / "ca.pem"), "--tls-auth-clients", "no")
    files = ("--tls-key-file", str(tmp_path / "key.pem"), "--tls-ca-cert-file", str(tmp_path / "ca.pem"))
    with redis_server.running(tmp_path / "redis", *tls, *files):
        url = f"rediss://localhost:{port}"
        link = linked(url, ca=str(tmp_path / "ca.pem"))
        await redis_server.soon(lambda: _counts(link))
        await link.close()
        stranger = linked(url)
        (refused,) = await stranger.run(COUNT, [Call(["key"], ["a"])])
        assert "unavailable" == refused.reason
        await stranger.close()
