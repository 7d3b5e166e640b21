"""Each module here speaks to one outside world.

gRPC reads its experiments when it is first imported, so they are chosen here, before any module below imports it.
Without its event engine's sockets a short exchange takes a tenth less processor time (grpc 1.80 and 1.85 know
these two names). Its handlers for forks are for programs that fork and go on: a reader or a worker is another program.
"""

import os

os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener,-event_engine_client")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
