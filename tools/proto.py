"""Generate what is generated: `python -m tools.proto` after a change to proto/ or core/record.py.

proto/safeguards/v1/*.proto become safeguards_extproc/pb/*_pb2.py with types, and core/record.py becomes the JSON Schema
of records. Both are committed, so that an installation needs no compiler; a test holds them to their sources.
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path

import msgspec
from grpc_tools import protoc  # type: ignore[import-untyped]

from safeguards_extproc.core.record import SCHEMA, Record

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "proto" / "safeguards" / "v1"
PACKAGE = "safeguards_extproc/pb"
RECORD_SCHEMA = "safeguards_extproc/records/record.schema.json"


def compile_protos(out: Path) -> None:
    """Compile every proto to `out`/safeguards_extproc/pb. Raises RuntimeError if the compiler refuses one."""
    (out / PACKAGE).mkdir(parents=True, exist_ok=True)
    arguments = [
        "protoc",
        f"--proto_path={PACKAGE}={SOURCES}",
        f"--proto_path={resources.files('grpc_tools') / '_proto'}",
        f"--python_out={out}",
        f"--pyi_out={out}",
        *(f"{PACKAGE}/{source.name}" for source in sorted(SOURCES.glob("*.proto"))),
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError("protoc failed")


def record_schema() -> str:
    """The JSON Schema of one line of records."""
    schema = msgspec.json.schema(Record)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"Decision record, version {SCHEMA}"
    return json.dumps(schema, indent=2) + "\n"


def main() -> int:
    """Write everything into the repository."""
    compile_protos(ROOT)
    (ROOT / RECORD_SCHEMA).write_text(record_schema(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
