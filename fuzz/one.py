"""One target under libFuzzer: `python -m fuzz.one TARGET CORPUS [libFuzzer's flags]`. Ends with the process."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["safeguards_extproc"]):
    from fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
