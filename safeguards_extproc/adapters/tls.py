"""TLS for the main port, from files that may change while we serve.

Every handshake looks at the files' times and sizes, and so does a clock; new contents that hold together are used from
then on, and connections that exist keep what they have. Contents that do not hold together (half written, key of
another certificate) are counted and logged, and the old ones stay.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    """The newest contents that hold together. `failed` is called once for each bad change, `loaded` for each good one
    and at the start, with the Unix time at which the first certificate of the chain ends.

    `context` is for a listener: each handshake that it begins goes on with the newest contents.
    """

    def __init__(
        self,
        files: TlsFiles,
        failed: Callable[[], None] = lambda: None,
        loaded: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Raises ConfigError if the files cannot be used as they are now."""
        self._files, self._failed, self._loaded = files, failed, loaded
        self._stamp = self._seen = _stamp(files)
        try:
            self._newest = self.context = _load(files)
        except (OSError, ValueError) as error:
            where = error.filename if isinstance(error, OSError) and error.filename else files.certificate
            raise ConfigError(_reason(error), where=str(where), hint="PEM files that belong together") from None
        loaded(_ends(files.certificate))
        self.context.sni_callback = self._greeted

    def tick(self) -> None:
        """Called now and then, so that the end of a certificate is known without a new connection: Envoy's live for
        months. Files that have changed since the last call may still be written, and wait for the next one."""
        stamp = _stamp(self._files)
        if stamp == self._seen:
            self._take(stamp)
        self._seen = stamp

    def _greeted(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        """A client's first message: OpenSSL asks here for another context, whether or not the client named a server."""
        self._take(_stamp(self._files))
        if handshake.context is not self._newest:
            handshake.context = self._newest

    def _take(self, stamp: Stamp) -> None:
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._newest = _load(self._files)
        except (OSError, ValueError) as error:
            self._failed()
            log.error("certificate not reloaded", path=self._files.certificate, reason=_reason(error))
        else:
            self._loaded(_ends(self._files.certificate))
            log.info("certificate reloaded", path=self._files.certificate)


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


def _load(files: TlsFiles) -> ssl.SSLContext:
    """Raises OSError (SSLError is one) or ValueError if the files cannot be read or don't belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(files.certificate, files.key, password=_no_password)
    if files.client_authorities:
        context.load_verify_locations(files.client_authorities)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _ends(path: str) -> float:
    """The Unix time at which the first certificate of a chain ends, which OpenSSL has just read; 0 if it is gone."""
    from cryptography import x509  # only who serves TLS needs it

    try:
        chain = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, ValueError):
        return 0.0
    return min(each.not_valid_after_utc.timestamp() for each in chain)


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not usable: {error.reason or 'not PEM'}"
    if isinstance(error, OSError):
        return os.strerror(error.errno) if error.errno else "cannot be read"
    return str(error) if str(error) == "the key is encrypted" else "not PEM"
