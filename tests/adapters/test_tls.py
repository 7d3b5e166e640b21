"""TLS over real sockets: rotation while serving, bad files, and clients without a certificate."""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from safeguards_extproc.adapters.listener import Address
from safeguards_extproc.adapters.rpc_server import RpcServer
from safeguards_extproc.adapters.tls import Certificates, TlsFiles
from safeguards_extproc.errors import ConfigError

PEM = serialization.Encoding.PEM


def pair(
    common_name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None, hours: float = 1
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate for localhost and its key, signed by itself or by `issuer`, good for some hours."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=hours))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def pem(made: tuple[x509.Certificate, ec.EllipticCurvePrivateKey], password: bytes = b"") -> tuple[bytes, bytes]:
    certificate, key = made
    shield = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return certificate.public_bytes(PEM), key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, shield)


def write(folder: Path, certificate: bytes, key: bytes, authorities: bytes = b"") -> TlsFiles:
    """Put the files in their place at once, as Kubernetes does."""
    for name, content in (("tls.crt", certificate), ("tls.key", key), ("ca.crt", authorities)):
        fresh = folder / f".{name}"
        fresh.write_bytes(content)
        os.replace(fresh, folder / name)
    ca = str(folder / "ca.crt") if authorities else ""
    return TlsFiles(str(folder / "tls.crt"), str(folder / "tls.key"), ca)


@asynccontextmanager
async def serving(certificates: Certificates) -> AsyncIterator[int]:
    server = RpcServer({})
    yield await server.listen(Address(host="127.0.0.1"), certificates=certificates)
    await server.close(0)


async def shown(port: int) -> str:
    """The common name on the certificate that a new connection is shown."""

    def connect() -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw) as tls:
            found = x509.load_der_x509_certificate(tls.getpeercert(True) or b"")
            return str(found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    return await asyncio.to_thread(connect)


async def test_new_files_are_used_by_the_next_connection(tmp_path: Path) -> None:
    """A certificate is rotated without a restart."""
    certificates = Certificates(write(tmp_path, *pem(pair("one"))))
    async with serving(certificates) as port:
        assert await shown(port) == "one"
        write(tmp_path, *pem(pair("two")))
        assert [await shown(port), await shown(port)] == ["two", "two"]


@pytest.mark.parametrize("bad", ["half written", "other key", "missing", "encrypted"])
async def test_bad_new_files_keep_the_old(tmp_path: Path, bad: str) -> None:
    """The change is counted once, whoever connects; and mended files are used."""
    failures: list[str] = []
    files = write(tmp_path, *pem(pair("one")))
    certificates = Certificates(files, lambda: failures.append(bad))
    certificate, key = pem(pair("two"))
    async with serving(certificates) as port:
        match bad:
            case "half written":
                write(tmp_path, certificate[:100], key)
            case "other key":
                write(tmp_path, certificate, pem(pair("other"))[1])
            case "missing":
                os.unlink(files.key)
            case _:
                write(tmp_path, *pem(pair("two"), b"password"))
        assert (["one", "one"], [bad]) == ([await shown(port), await shown(port)], failures)
        write(tmp_path, certificate, key)
        assert await shown(port) == "two"


@pytest.mark.parametrize("change", ["no key", "not PEM", "no authorities", "authorities not PEM"])
def test_files_that_cannot_be_used_do_not_start(tmp_path: Path, change: str) -> None:
    """At the start the operator is told which file and why."""
    certificate, key = pem(pair("one"))
    authorities = certificate
    match change:
        case "no key":
            key = b""
        case "not PEM":
            certificate = b"certificate"
        case "authorities not PEM":
            authorities = b"\xff"
    files = write(tmp_path, certificate, key, authorities)
    if change == "no authorities":
        os.unlink(files.client_authorities)
    with pytest.raises(ConfigError):
        Certificates(files)


async def test_the_end_of_the_certificate_is_told(tmp_path: Path) -> None:
    """Of a chain the certificate that ends first, at the start and after each rotation."""
    told: list[float] = []
    leaf, key = pair("leaf")
    certificates = Certificates(write(tmp_path, *pem((leaf, key))), loaded=told.append)
    short = pair("short", hours=0.5)
    async with serving(certificates) as port:
        assert "leaf" == await shown(port)
        chain = leaf.public_bytes(PEM) + short[0].public_bytes(PEM)
        write(tmp_path, chain, pem((leaf, key))[1])
        assert "leaf" == await shown(port)
    assert [leaf.not_valid_after_utc.timestamp(), short[0].not_valid_after_utc.timestamp()] == told


def test_a_renewal_is_told_without_a_connection(tmp_path: Path) -> None:
    """The clock looks too: once nothing has changed from one look to the next, so half written pairs are not taken."""
    told: list[float] = []
    failed: list[bool] = []
    old, new = pair("old"), pair("new", hours=0.5)
    certificates = Certificates(write(tmp_path, *pem(old)), lambda: failed.append(True), told.append)
    certificates.tick()
    (chain, key) = pem(new)
    write(tmp_path, chain, pem(old)[1])
    certificates.tick()
    write(tmp_path, chain, key)
    certificates.tick()
    assert [old[0].not_valid_after_utc.timestamp()] == told
    certificates.tick()
    certificates.tick()
    assert [each.not_valid_after_utc.timestamp() for each, _ in (old, new)] == told
    assert [] == failed


async def test_mutual_tls_lets_in_whom_the_authority_knows(tmp_path: Path) -> None:
    """A client of our authority gets an answer, one without a certificate and one of another authority do not."""
    authority = pair("authority")
    root = authority[0].public_bytes(PEM)
    files = write(tmp_path, *pem(pair("server", authority)), root)
    async with serving(Certificates(files)) as port:

        async def answer(client: tuple[bytes, bytes] | None) -> grpc.StatusCode:
            certificate, key = client or (None, None)
            credentials = grpc.ssl_channel_credentials(root, key, certificate)
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
                call = channel.unary_unary("/nobody/Home", None, None)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(b"", timeout=5)
                return caught.value.code()

        assert grpc.StatusCode.UNIMPLEMENTED is await answer(pem(pair("client", authority)))
        assert grpc.StatusCode.UNAVAILABLE is await answer(None)
        assert grpc.StatusCode.UNAVAILABLE is await answer(pem(pair("stranger")))


async def test_authorities_are_rotated_too(tmp_path: Path) -> None:
    """Once the file names another authority, its clients get in and those of the old one no more."""
    server, old, new = pair("server"), pair("old"), pair("new")
    root = server[0].public_bytes(PEM)
    files = write(tmp_path, *pem(server), old[0].public_bytes(PEM))
    async with serving(Certificates(files)) as port:

        async def gets_in(authority: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> bool:
            certificate, key = pem(pair("client", authority))
            credentials = grpc.ssl_channel_credentials(root, key, certificate)
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary("/nobody/Home", None, None)(b"", timeout=5)
                return caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

        assert [await gets_in(old), await gets_in(new)] == [True, False]
        write(tmp_path, *pem(server), new[0].public_bytes(PEM))
        assert [await gets_in(old), await gets_in(new)] == [False, True]
