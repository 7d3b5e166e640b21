"""The real server with an exchange that lets everything through, as a process to be killed: echo_program.py SOCKET"""

from __future__ import annotations

import asyncio
import sys

from safeguards_extproc.adapters.health import Component, Health
from safeguards_extproc.adapters.listener import parse
from safeguards_extproc.adapters.server import Server, ServerSettings
from safeguards_extproc.adapters.shared import Shared
from tests.adapters.standins import Echo, Memory, Scores


async def main() -> None:
    health = Health()
    health.set("echo", Component.READY)
    shared = Shared(Echo, Scores(), Memory())
    server = Server(shared, health, ServerSettings(parse(f"unix://{sys.argv[1]}"), drain_delay_s=0, drain_limit_s=1))
    await server.start()
    await server.run()


asyncio.run(main())
