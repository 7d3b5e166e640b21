"""A wire to a server that can be held and cut: Triton that is slow, Triton that is away."""

from __future__ import annotations

import asyncio
import contextlib

from tests.envoy.background import Background


class Relay:
    """Passes TCP connections on to `target` ("host:port"). `address` is where it listens, as long as it lives."""

    def __init__(self, background: Background, target: str) -> None:
        self._background, self._target = background, target
        self._flows = asyncio.Event()
        self._flows.set()
        self._pipes: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.join()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def hold(self) -> None:
        """From now on nothing comes back from the target, until `flow`."""
        self._background.loop.call_soon_threadsafe(self._flows.clear)

    def flow(self) -> None:
        """Let go what was held."""
        self._background.loop.call_soon_threadsafe(self._flows.set)

    def join(self) -> None:
        """Take connections (again, at the same address)."""
        self._background.run(self._listen())

    def cut(self) -> None:
        """End every connection and take none."""
        self._background.run(self._cut())

    def lead_to(self, target: str) -> None:
        """End every connection; who connects again is at another server."""
        self.cut()
        self._target = target
        self.join()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for pipe in list(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        try:
            there = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        for pipe in (self._pipe(reader, there[1], held=False), self._pipe(there[0], writer, held=True)):
            task = asyncio.get_running_loop().create_task(pipe)
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, held: bool) -> None:
        with contextlib.suppress(OSError):
            try:
                while data := await reader.read(1 << 16):
                    if held:
                        await self._flows.wait()
                    writer.write(data)
                    await writer.drain()
            finally:
                writer.close()
