"""Rendered manifests, run on one machine: see CONTRIBUTING.md."""

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # its fork handlers may hang a child that starts a program
