"""Real APIs of clouds to seal into: moto's server speaks S3's, in this process; gcp-storage-emulator Google's and
Azurite Azure's, each a program of its own. Each has a place for each test: what they hold they hold until they end."""

from __future__ import annotations

import base64
import hmac
import itertools
import logging
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import boto3  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer

from tests.records import azurite

BUCKET = "records"
_PLACES = itertools.count()


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


@contextmanager
def gcs() -> Iterator[str]:
    """The same of Google Cloud Storage. Its own process, because pyarrow asks for a file's size with the interpreter's
    lock in its hands."""
    with _listening([sys.executable, "-m", "tests.records.gcs_program", BUCKET], r"(\d+)") as port:
        where = f"scheme=http&endpoint_override=127.0.0.1:{port}&retry_limit_seconds=10"
        yield f"gs://anonymous@{BUCKET}/{next(_PLACES)}?{where}"


@contextmanager
def azure() -> Iterator[str]:
    """The same of Azure, with a shared access signature; skips where Azurite cannot be had."""
    with _listening(azurite.command(), r"listens on http://127\.0\.0\.1:(\d+)") as port:
        signed = _signed()
        made = f"http://127.0.0.1:{port}/{azurite.ACCOUNT}/{BUCKET}?restype=container&{signed}"
        with urllib.request.urlopen(urllib.request.Request(made, data=b"", method="PUT"), timeout=30) as answer:
            assert 201 == answer.status
        place = f"{BUCKET}/{next(_PLACES)}"
        yield f"abfs://{azurite.ACCOUNT}@127.0.0.1:{port}/{place}?enable_tls=false&{signed}"


CLOUDS: Mapping[str, Callable[[], AbstractContextManager[str]]] = {"s3": s3, "gs": gcs, "abfs": azure}
"""By the scheme of their URLs."""


@contextmanager
def _listening(command: Sequence[str], said: str) -> Iterator[int]:
    """A program that says its port, until the end of the block."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = next(filter(None, (re.search(said, line) for line in process.stdout)), None)
        assert found is not None, f"{command} ended without a word"
        yield int(found[1])
    finally:
        process.kill()
        process.communicate()


def _signed() -> str:
    """A shared access signature of the whole account (version 2022-11-02), as a URL's query has it."""
    fields = {
        "sv": "2022-11-02",
        "ss": "b",
        "srt": "sco",
        "sp": "rwdlacx",
        "st": "2020-01-01T00:00:00Z",
        "se": "2100-01-01T00:00:00Z",
        "spr": "https,http",
    }
    order = [azurite.ACCOUNT, *(fields[name] for name in ("sp", "ss", "srt", "st", "se")), "", fields["spr"]]
    text = "\n".join([*order, fields["sv"], "", ""])
    signature = hmac.digest(base64.b64decode(azurite.KEY), text.encode(), "sha256")
    return urllib.parse.urlencode({**fields, "sig": base64.b64encode(signature).decode()})
