"""Google Cloud Storage's API with one bucket, on a port that it says: python -m tests.records.gcs_program BUCKET."""

from __future__ import annotations

import sys

from gcp_storage_emulator.server import create_server


def main(bucket: str) -> None:
    """Serve until the input ends."""
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=bucket)
    server.start()
    sys.stdout.write(f"{server._api._httpd.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(sys.argv[1])
