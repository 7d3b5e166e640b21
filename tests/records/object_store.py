"""A real S3 API to seal into: moto's server, in this process, on a port of its own."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import boto3  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer

BUCKET = "records"
_PLACES = itertools.count()
"""moto keeps what it holds for the whole process, so each test has a place of its own."""


@contextmanager
def s3() -> Iterator[str]:
    """The URL of an empty place in a bucket, until the end of the block."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        _, port = server.get_host_and_port()
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        client.create_bucket(Bucket=BUCKET)
        yield f"s3://key:secret@{BUCKET}/{next(_PLACES)}?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"
    finally:
        server.stop()
