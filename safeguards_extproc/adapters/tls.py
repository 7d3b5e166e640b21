"""TLS for the main port, from files that may change while we serve.

Every handshake looks at the files' times and sizes; new contents that hold together are used from then on, and
connections that exist keep what they have. Contents that do not hold together (half written, key of another
certificate) are counted and logged, and the old ones stay.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from safeguards_extproc.errors import ConfigError

log = structlog.get_logger()

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate with its chain, its key, and the authorities whose clients may connect.

    `client_authorities` "" asks clients for no certificate; otherwise every client must show one (mTLS).
    """

    certificate: str
    key: str
    client_authorities: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path in (self.certificate, self.key, self.client_authorities) if path)


class Certificates:
    """The newest contents that hold together. `failed` is called once for each bad change.

    Thread-safe: gRPC asks from its own threads.
    """

    def __init__(self, files: TlsFiles, failed: Callable[[], None] = lambda: None) -> None:
        """Raises ConfigError if the files cannot be used as they are now."""
        self._files, self._failed = files, failed
        self._lock = threading.Lock()
        self._stamp = _stamp(files)
        try:
            self._first = _load(files)
        except (OSError, ValueError) as error:
            where = error.filename if isinstance(error, OSError) and error.filename else files.certificate
            raise ConfigError(_reason(error), where=str(where), hint="PEM files that belong together") from None

    def credentials(self) -> grpc.ServerCredentials:
        """For `add_secure_port`."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self._fetch,  # type: ignore[arg-type]  # None is allowed: no change
            require_client_authentication=bool(self._files.client_authorities),
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """What a new handshake shall use; None means what the last one used."""
        with self._lock:
            stamp = _stamp(self._files)
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            try:
                loaded = _load(self._files)
            except (OSError, ValueError) as error:
                self._complain(error)
                return None
        log.info("certificate reloaded", path=self._files.certificate)
        return loaded

    def _complain(self, error: OSError | ValueError) -> None:
        self._failed()
        log.error("certificate not reloaded", path=self._files.certificate, reason=_reason(error))


def _stamp(files: TlsFiles) -> Stamp:
    """Changes whenever a file does, a swapped symbolic link (as Kubernetes mounts secrets) included."""
    stamps = []
    for path in files.paths:
        try:
            found = os.stat(path)
        except OSError:
            stamps.append((0, 0, 0))  # missing: reading it says so
        else:
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(stamps)


def _load(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    """Read, if OpenSSL says that key and certificate match. Raises OSError (SSLError is one) or ValueError."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key, password=_no_password)
    pair = (Path(files.key).read_bytes(), Path(files.certificate).read_bytes())
    if not files.client_authorities:
        return grpc.ssl_server_certificate_configuration([pair])
    authorities = Path(files.client_authorities).read_bytes()
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=authorities.decode("ascii"))
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=authorities)


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not usable: {error.reason or 'not PEM'}"
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else "cannot be read"
    return str(error) if str(error) == "the key is encrypted" else "not PEM"
