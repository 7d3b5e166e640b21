"""Before anything imports gRPC: its fork handlers may hang or abort a child that starts another program (Envoy)."""

from __future__ import annotations

import os

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
