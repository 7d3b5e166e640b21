"""Databases that tests use: SQLite in a folder, and a PostgreSQL server that is started for them."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _tool(name: str) -> str | None:
    return shutil.which(name) or next((str(each / name) for each in BINARIES if (each / name).exists()), None)


def missing() -> str:
    """Why there is no PostgreSQL server to test with; "" if there is one."""
    if _tool("initdb") is None or _tool("postgres") is None:
        return "PostgreSQL's initdb and postgres are not installed"
    if os.geteuid() == 0 and _unprivileged() is None:
        return "PostgreSQL does not run as root, and there is no other user"
    return ""


def _unprivileged() -> pwd.struct_passwd | None:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A server in a folder of its own, reached by its UNIX socket; gives that folder."""
    user = _unprivileged() if os.geteuid() == 0 else None
    as_user: dict[str, Any] = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    initdb, server = _tool("initdb"), _tool("postgres")
    assert initdb
    assert server
    with tempfile.TemporaryDirectory(prefix="safeguards-pg-", ignore_cleanup_errors=True) as folder:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        data = f"{folder}/data"
        command = [initdb, "--no-sync", "--auth=trust", "--username=safeguards", "--encoding=UTF8", "-D", data]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **as_user)
        arguments = ["-c", "listen_addresses=", "-k", folder, "-c", "max_connections=200"]
        with subprocess.Popen(
            [server, "-D", data, *arguments],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_user,
        ) as process:
            try:
                _wait(folder, process)
                yield folder
            finally:
                # Fast: connections that pools hold are ended.
                process.send_signal(signal.SIGINT)


def _wait(folder: str, process: subprocess.Popen[bytes]) -> None:
    while True:
        with contextlib.suppress(psycopg.OperationalError), _admin(folder):
            return
        assert process.poll() is None, "PostgreSQL did not start"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)


def _admin(folder: str) -> psycopg.Connection:
    return psycopg.connect(host=folder, user="safeguards", dbname="postgres", autocommit=True, connect_timeout=5)


def fresh(folder: str) -> str:
    """The URL of a place on the server where nothing is yet."""
    schema = f"s{uuid.uuid4().hex}"
    with _admin(folder) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return f"postgresql+psycopg://safeguards@/postgres?host={quote(folder)}&options={quote(f'-c search_path={schema}')}"
