"""Checkov looks at everything the chart can make; what it finds is on a list that says why it stays."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helm.matrix import EVERYTHING, IMAGE, MATRIX, merged
from tests.helm.program import ROOT, Helm, Manifest

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

REQUIREMENT = "checkov==3.3.30"
CACHE = ROOT / ".cache" / "checkov"

OURS = ("Deployment", "StatefulSet", "CronJob", "Pod")
REVIEWED = {
    "CKV_K8S_11": (OURS, "A limit of CPU would stop streams in the middle of an answer; requests and memory are set."),
    "CKV_K8S_40": (("StatefulSet",), "Triton's and Redis's images have users of their own, below 10000."),
    "CKV_K8S_35": (
        ("Deployment", "StatefulSet"),
        "URLs with passwords and keys of buckets: Redis, SQLAlchemy and pyarrow take them from the environment.",
    ),
    "CKV_K8S_8": (("Pod",), "The pod of `helm test` ends by itself."),
    "CKV_K8S_9": (("Pod",), "The pod of `helm test` serves nobody."),
}
"""Check, on which kinds it may be found, and why it stays."""


@pytest.fixture(scope="module")
def checkov() -> Path:
    """$CHECKOV, the one on PATH, or one of a venv of its own in .cache/checkov: it shares no dependency with ours."""
    for name in (os.environ.get("CHECKOV"), "checkov"):
        if name and (found := shutil.which(name)):
            return Path(found)
    CACHE.mkdir(parents=True, exist_ok=True)
    program = CACHE / "bin" / "checkov"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            subprocess.run([sys.executable, "-m", "venv", str(CACHE)], check=True, timeout=120)
            pip = [str(CACHE / "bin" / "python"), "-m", "pip", "install", "--quiet", REQUIREMENT]
            done = subprocess.run(pip, capture_output=True, text=True, timeout=480)
            if done.returncode:
                pytest.skip(f"no checkov on PATH or in $CHECKOV, and pip could not fetch {REQUIREMENT}: {done.stderr}")
    return program


@pytest.fixture(scope="module")
def manifests(newest: Helm) -> list[Manifest]:
    """Everything at once, with digests, and what everything at once leaves out."""
    images = {
        "image": IMAGE,
        "extrasImage": IMAGE,
        "triton": {"image": IMAGE},
        "redis": {"bundled": {"image": IMAGE | {"tag": "1"}, "exporter": {"image": IMAGE | {"tag": "1"}}}},
    }
    rows = (EVERYTHING, MATRIX["keepers"])
    return [each for values in rows for each in newest.render(merged(values, images))]


def findings(checkov: Path, manifests: list[Manifest], folder: Path) -> set[tuple[str, str]]:
    """Checks that failed, with the kind on which they did. Nothing is asked of a network."""
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(manifests))
    command = [str(checkov), "-f", str(file), "--framework", "kubernetes", "--quiet", "--output", "json"]
    done = subprocess.run(
        [*command, "--skip-download"],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "HOME": str(folder)},
    )
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 300
    assert report["summary"]["parsing_errors"] == 0
    failed = report["results"]["failed_checks"]
    return {(each["check_id"], each["resource"].partition(".")[0]) for each in failed}


def test_what_is_found_was_reviewed(checkov: Path, manifests: list[Manifest], tmp_path: Path) -> None:
    """Nothing else, and nothing on the list that is found no more."""
    reviewed = {(check, kind) for check, (kinds, _) in REVIEWED.items() for kind in kinds}
    assert reviewed == findings(checkov, manifests, tmp_path)


def test_the_lint_bites(checkov: Path, manifests: list[Manifest], tmp_path: Path) -> None:
    """A container that may gain rights, and one that may write its root, are found."""
    for each in manifests:
        if each["kind"] == "Deployment":
            context = each["spec"]["template"]["spec"]["containers"][0]["securityContext"]
            context |= {"allowPrivilegeEscalation": True, "readOnlyRootFilesystem": False}
    found = findings(checkov, manifests, tmp_path)
    assert {("CKV_K8S_20", "Deployment"), ("CKV_K8S_22", "Deployment")} <= found
