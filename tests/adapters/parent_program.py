"""The parent of `worker_program`, in a process of its own: parent_program.py SETTLE_S STOP_S WORKER_ARGUMENTS..."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from safeguards_extproc.adapters.workers import Workers, WorkerSettings

settings = WorkerSettings(2, settle_s=float(sys.argv[1]), pause_s=0.05, stop_s=float(sys.argv[2]))
program = Path(__file__).with_name("worker_program.py")
command = [sys.executable, str(program), *sys.argv[3:]]
sys.exit(asyncio.run(Workers(command, settings).run()))
