"""The wheel: pure Python, unless `SAFEGUARDS_EXTPROC_COMPILED=1` asks for one whose hot path is native code.

The compiler (mypyc) comes from PyPI into the build's own environment; a C compiler must be on the machine. An editable
install is never compiled, for then its sources would not be what runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ASKED = "SAFEGUARDS_EXTPROC_COMPILED"
PACKAGE = "safeguards_extproc"


def asked() -> bool:
    return os.environ.get(ASKED, "0") not in ("", "0")


class Compiled(BuildHookInterface[Any]):
    """Puts native modules beside their sources, which stay as what a traceback shows."""

    def dependencies(self) -> list[str]:
        return ["mypy[mypyc]>=1.18"] if asked() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not asked() or version == "editable":
            return
        folder = Path(tempfile.mkdtemp(prefix="compiled-"))
        self.made = folder
        shutil.copytree(
            Path(self.root, PACKAGE), folder / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
        program = Path(self.root, "tools", "compiled.py")
        subprocess.run([sys.executable, program, "package", folder], check=True)
        native = {str(path): str(path.relative_to(folder)) for path in folder.rglob("*.so")}
        build_data["force_include"].update(native)
        build_data["pure_python"], build_data["infer_tag"] = False, True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "made"):
            shutil.rmtree(self.made)
