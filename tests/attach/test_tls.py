"""TLS towards the filter: its name is checked, and a real Envoy takes a renewed certificate without a restart."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from safeguards_extproc.attach import tls
from safeguards_extproc.attach.options import Attachment, Tls
from safeguards_extproc.attach.plain import plain
from safeguards_extproc.local import envoy, processes
from tests.attach.pasted import save, static
from tests.envoy.background import until
from tests.helm.certificates import write


@pytest.mark.parametrize("kind", [Tls.SERVER, Tls.MUTUAL])
def test_the_name_is_checked(kind: Tls) -> None:
    """Any certificate of the authority would do otherwise; only mutual TLS shows one of Envoy's own."""
    wanted = Attachment(addresses=("filter.mesh.svc:9002",), tls=kind)
    for socket in (tls.from_files(wanted), tls.from_istio(wanted)):
        found = plain(socket)["typed_config"]
        common = found["common_tls_context"]
        [name] = common["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
        assert ("filter.mesh.svc", "filter.mesh.svc") == (found["sni"], name["matcher"]["exact"])
        assert (kind is Tls.MUTUAL) == ("tls_certificate_sds_secret_configs" in common)
    assert (2 if kind is Tls.MUTUAL else 1) == len(tls.secrets(wanted))


def test_istio_s_secrets_have_istio_s_names() -> None:
    """A Secret beside the gateway, and the authority in it."""
    found = json.dumps(plain(tls.from_istio(Attachment(tls=Tls.MUTUAL, tls_secret="edge"))))
    assert '"kubernetes://edge"' in found
    assert '"kubernetes://edge-cacert"' in found


@pytest.mark.real
def test_a_renewed_certificate_is_taken_without_a_restart(tmp_path: Path) -> None:
    """cert-manager renews the Secret, the mounted folder changes by a rename, and Envoy has the new certificate."""
    mounted = tmp_path / "pem"
    for name in ("old", "new"):
        write(tmp_path / name, "localhost")
    mounted.mkdir()
    for file in ("ca.crt", "tls.crt", "tls.key"):
        shutil.copy(tmp_path / "old" / file, mounted / file)
    document, files = static(
        Attachment(addresses=("localhost:9",), tls=Tls.MUTUAL, tls_folder=str(mounted)),
    )
    save(files)
    document["static_resources"]["listeners"][0]["address"] = envoy.address("127.0.0.1:0")
    document["admin"]["address"] = envoy.address("127.0.0.1:0")
    config, admin_file = tmp_path / "envoy.json", tmp_path / "admin"
    config.write_text(json.dumps(document))
    argv = [envoy.binary(), "-c", str(config), "--admin-address-path", str(admin_file), "--disable-hot-restart"]
    part = processes.start("envoy", [*argv, "--concurrency", "1", "-l", "warning"], tmp_path / "envoy.log")
    try:
        admin = envoy.ready(part, admin_file)

        def serials() -> set[str]:
            rows = json.loads(envoy.get(admin, "/certs")[1] or "{}").get("certificates", [])
            return {each["serial_number"] for row in rows for each in row.get("cert_chain", [])}

        assert {serial(tmp_path / "old")} == until(serials, "Envoy has its certificate")
        for file in ("ca.crt", "tls.key", "tls.crt"):
            renewed = tmp_path / f"renewed-{file}"
            shutil.copy(tmp_path / "new" / file, renewed)
            renewed.rename(mounted / file)
        until(lambda: serials() == {serial(tmp_path / "new")}, "Envoy has the renewed certificate")
    finally:
        processes.stop(part)


def serial(folder: Path) -> str:
    """The serial number of a folder's certificate, as Envoy writes it."""
    argv = ["openssl", "x509", "-in", str(folder / "tls.crt"), "-noout", "-serial"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout.strip().removeprefix("serial=").lower()
