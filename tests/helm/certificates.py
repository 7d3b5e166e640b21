"""Certificates for tests: an authority, and a pair that it signed, as cert-manager lays them into a Secret."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Signs pairs that whoever trusts its ca.crt believes."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._own = _sign("authority", self._key.public_key(), "authority", self._key, host=None, hours=24 * 365)

    def pair(self, host: str, hours: float = 1.0) -> dict[str, bytes]:
        """ca.crt, tls.crt and tls.key for `host`; a certificate that ends in so many hours, which may be past."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(host, key.public_key(), "authority", self._key, host=host, hours=hours)
        plain = serialization.NoEncryption()
        return {
            "ca.crt": self._own.public_bytes(serialization.Encoding.PEM),
            "tls.crt": certificate.public_bytes(serialization.Encoding.PEM),
            "tls.key": key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain),
        }


def write(folder: Path, host: str) -> None:
    """ca.crt, tls.crt and tls.key for `host`."""
    folder.mkdir()
    for name, data in Authority().pair(host).items():
        (folder / name).write_bytes(data)


def _sign(
    subject: str,
    key: ec.EllipticCurvePublicKey,
    issuer: str,
    by: ec.EllipticCurvePrivateKey,
    host: str | None,
    hours: float,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(hours=hours))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    return builder.sign(by, hashes.SHA256())
