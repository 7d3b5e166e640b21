"""The way to Redis: one server or a cluster, over a UNIX socket, TCP or TLS.

The one rule: nobody waits for Redis longer than the deadline, and nobody waits at all while it is known to be away.
Every call ends as a value or as a StoreError, within `deadline_s`; a circuit breaker stands before each server.

What streams ask of one server in the same turn of the loop, or while FLYING round trips are under way, goes together:
a round trip costs this process as much as ten calls in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from safeguards_extproc.adapters.breaker import Breaker, BreakerSettings, State
from safeguards_extproc.errors import ConfigError, StoreError

log = structlog.get_logger()

SCHEMES = ("redis", "rediss", "unix")
MEND_S = 5.0
FLYING, TOGETHER, QUEUED = 2, 64, 4096
_ERRORS = (exceptions.RedisError, exceptions.RedisClusterException, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where Redis is. `url` is redis://host:port/db, rediss:// for TLS or unix:///path?db=0; of a cluster it names one
    node, and `more` others, any of which may be away. `username` and `password` may stand in `url` or here. `ca` is a
    file of certificates that a server's is checked against, the system's if empty. `connections` bounds how many a
    process opens, to each server."""

    url: str
    cluster: bool = False
    more: tuple[str, ...] = ()
    username: str = ""
    password: str = ""
    ca: str = ""
    deadline_s: float = 0.05
    connections: int = 32

    def __repr__(self) -> str:
        place = urlsplit(self.url)
        where = place.path if place.scheme == "unix" else place.hostname
        return f"RedisSettings({place.scheme}, {where!r}, cluster={self.cluster})"


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script: its text and the SHA-1 by which a server knows it."""

    text: str
    sha: str


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a script; all of its keys have one hash tag."""

    keys: Sequence[str]
    args: Sequence[str | int | bytes]


@dataclass(slots=True, eq=False)
class _Asked:
    """Calls of one caller, until they are answered or `until` (loop time) has come."""

    script: Script
    calls: Sequence[Call]
    until: float
    answer: asyncio.Future[list[Any]]


class RedisLink:
    """A process's way to one Redis, for one event loop. `client` is for what may wait longer: streams, subscriptions.

    `moved` is told each state that a server's breaker enters, with the server's name, "redis" where there is one.
    """

    def __init__(
        self,
        settings: RedisSettings,
        moved: Callable[[str, State], None] | None = None,
        breaker: BreakerSettings | None = None,
    ) -> None:
        self.settings = settings
        self.client = _client(settings)
        self._moved = moved
        self._breaker = breaker or BreakerSettings()
        self._breakers: dict[str, Breaker] = {}
        self._mending: asyncio.Task[None] | None = None
        self._asked: deque[_Asked] = deque()
        self._flying: set[asyncio.Task[None]] = set()
        self._closed = False

    async def run(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        """Each call's answer, or the StoreError that it ended with: in one round trip where there is one server, in one
        to each server of a cluster, all at once. Raises CancelledError alone."""
        if isinstance(self.client, RedisCluster):
            if len(calls) == 1:
                return [await self._cluster(self.client, script, calls[0])]
            return list(await asyncio.gather(*(self._cluster(self.client, script, call) for call in calls)))
        loop = asyncio.get_running_loop()
        if len(self._asked) >= QUEUED:
            return [StoreError("overload") for _ in calls]
        asked = _Asked(script, calls, loop.time() + self.settings.deadline_s, loop.create_future())
        late = loop.call_at(asked.until, self._late, asked)
        self._asked.append(asked)
        loop.call_soon(self._send)
        try:
            return await asked.answer
        finally:
            late.cancel()

    async def command(self, *args: str | int | bytes) -> Any:
        """The answer to one command whose second word is its key. Raises StoreError."""
        answer = await self._guarded(self._server(str(args[1])), self.client.execute_command(*args))
        if isinstance(answer, StoreError):
            raise answer
        return answer

    async def close(self) -> None:
        """Close every connection; every call from now on is "closed"."""
        self._closed = True
        if self._mending:
            self._mending.cancel()
        if self._flying:
            await asyncio.wait(self._flying)
        await self.client.aclose()

    def _server(self, key: str) -> str:
        if isinstance(self.client, RedisCluster):
            with contextlib.suppress(*_ERRORS, KeyError, IndexError):
                if node := self.client.get_node_from_key(key):
                    return str(node.name)
        return "redis"

    async def _cluster(self, client: RedisCluster, script: Script, call: Call) -> Any:
        answer = await self._guarded(self._server(call.keys[0]), self._one(script, call))
        return answer[0] if isinstance(answer, list) else answer

    async def _one(self, script: Script, call: Call) -> list[Any]:
        try:
            return [await self.client.execute_command("EVALSHA", script.sha, len(call.keys), *call.keys, *call.args)]
        except exceptions.NoScriptError:
            return [await self.client.execute_command("EVAL", script.text, len(call.keys), *call.keys, *call.args)]

    def _late(self, asked: _Asked) -> None:
        """Whoever is still waiting for a round trip to begin does so no longer."""
        if asked in self._asked:
            self._asked.remove(asked)
            asked.answer.set_result([StoreError("timeout") for _ in asked.calls])

    def _send(self) -> None:
        while self._asked and len(self._flying) < FLYING:
            together: list[_Asked] = []
            while self._asked and len(together) < TOGETHER:
                if not (asked := self._asked.popleft()).answer.done():
                    together.append(asked)
            if together:
                task = asyncio.get_running_loop().create_task(self._fly(together))
                self._flying.add(task)
                task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self._send()

    async def _fly(self, together: Sequence[_Asked]) -> None:
        pairs = [(asked.script, call) for asked in together for call in asked.calls]
        ask = self._one(*pairs[0]) if len(pairs) == 1 else self._pipeline(pairs)
        answer = await self._guarded("redis", ask, together[0].until)
        answers = iter(answer if isinstance(answer, list) else [answer] * len(pairs))
        for asked in together:
            mine = [next(answers) for _ in asked.calls]
            if not asked.answer.done():
                asked.answer.set_result(mine)

    async def _pipeline(self, pairs: Sequence[tuple[Script, Call]]) -> list[Any]:
        pipe: Any
        async with self.client.pipeline(transaction=False) as pipe:
            for script, call in pairs:
                pipe.execute_command("EVALSHA", script.sha, len(call.keys), *call.keys, *call.args)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        for place, (script, call) in enumerate(pairs):
            if isinstance(answers[place], exceptions.NoScriptError):
                try:
                    answers[place] = (await self._one(script, call))[0]
                except exceptions.ResponseError as error:
                    answers[place] = error
        return [_failure(each) if isinstance(each, Exception) else each for each in answers]

    async def _guarded(self, server: str, ask: Coroutine[Any, Any, Any], until: float = 0.0) -> Any:
        """The answer, or a StoreError as a value, before `until` or within the deadline."""
        loop = asyncio.get_running_loop()
        breaker = self._breakers.get(server)
        if breaker is None:
            breaker = self._breakers[server] = Breaker(self._breaker, lambda state: self._tell(server, state))
        ticket = None if self._closed else breaker.admit(loop.time())
        if ticket is None:
            ask.close()
            return StoreError("closed" if self._closed else "circuit-open")
        answered: bool | None = None
        try:
            async with asyncio.timeout_at(until or loop.time() + self.settings.deadline_s):
                answer = await ask
            worst = next((each for each in answer if _away(each)), None) if isinstance(answer, list) else None
            answered = worst is None
            return answer
        except _ERRORS as error:
            failure = _failure(error)
            answered = not _away(failure)
            if not answered:
                self._mend()
            return failure
        finally:
            breaker.settle(ticket, answered, loop.time())

    def _tell(self, server: str, state: State) -> None:
        log.log(30 if state is State.OPEN else 20, "redis", server=server, breaker=state)
        if self._moved:
            self._moved(server, state)

    def _mend(self) -> None:
        """Connect anew in the background, with more time than a call has: a handshake or the map of a cluster may take
        longer than the deadline, and would otherwise never be done."""
        if self._mending is None or self._mending.done():
            self._mending = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        with contextlib.suppress(*_ERRORS):
            async with asyncio.timeout(MEND_S):
                await (self.client.initialize() if isinstance(self.client, RedisCluster) else self.client.ping())


def _client(settings: RedisSettings) -> Redis | RedisCluster:
    """A client that asks once: what is asked again, and when, is decided here."""
    scheme, nodes = urlsplit(settings.url).scheme, []
    for url in (settings.url, *settings.more):
        place = urlsplit(url)
        known = place.scheme in SCHEMES and bool(place.path if place.scheme == "unix" else place.hostname)
        if not known or (settings.cluster and place.scheme == "unix") or place.scheme != scheme:
            raise ConfigError("no address of Redis", where="redis", hint=_HINT)
        nodes.append(place)
    options: dict[str, Any] = {
        "socket_timeout": None,
        "socket_connect_timeout": MEND_S,
        **({"username": settings.username} if settings.username else {}),
        **({"password": settings.password} if settings.password else {}),
        **({"ssl_ca_certs": settings.ca} if settings.ca and scheme == "rediss" else {}),
    }
    try:
        if settings.cluster:
            return RedisCluster.from_url(
                settings.url,
                startup_nodes=[ClusterNode(node.hostname or "", node.port or 6379) for node in nodes[1:]],
                retry=Retry(NoBackoff(), 1),
                max_connections=settings.connections,
                **options,
            )
        pool = BlockingConnectionPool.from_url(
            settings.url, retry=Retry(NoBackoff(), 0), max_connections=settings.connections, timeout=None, **options
        )
    except ValueError as error:
        raise ConfigError("no address of Redis", where="redis", hint=_HINT) from error
    return Redis(connection_pool=pool)


_HINT = "redis://host:port, rediss://… or unix:///path; nodes of one cluster all in the same way"

_STARTS = {
    "OOM": "full",
    "READONLY": "unavailable",
    "MISCONF": "unavailable",
    "BUSY": "unavailable",
    "NOREPLICAS": "unavailable",
    "LOADING": "unavailable",
    "MASTERDOWN": "unavailable",
    "CLUSTERDOWN": "unavailable",
    "TRYAGAIN": "unavailable",
    "NOAUTH": "unavailable",
    "NOPERM": "unavailable",
}
"""How Redis's errors begin, or in a script before Redis 7 what stands in them after a hyphen."""


def _failure(error: Exception) -> StoreError:
    if isinstance(error, StoreError):
        return error
    match error:
        case TimeoutError() | exceptions.TimeoutError():
            return StoreError("timeout")
        case exceptions.MaxConnectionsError():
            return StoreError("overload")
        case exceptions.OutOfMemoryError():
            return StoreError("full")
        case exceptions.ConnectionError() | exceptions.ReadOnlyError() | exceptions.ClusterError() | OSError():
            return StoreError("unavailable")
    said = str(error)
    for start, reason in _STARTS.items():
        if said.startswith(start) or f"-{start} " in said:
            return StoreError(reason)
    return StoreError("unavailable" if isinstance(error, exceptions.RedisClusterException) else "bad-response")


def _away(answer: object) -> bool:
    """Whether the answer says that the server cannot serve, rather than that it cannot serve this."""
    return isinstance(answer, StoreError) and answer.reason != "bad-response"
