"""What is generated is what its sources say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from safeguards_extproc.pb.verdict_pb2 import Verdict
from safeguards_extproc.records.encode import to_json
from tests.records.samples import record
from tools.proto import PACKAGE, RECORD_SCHEMA, ROOT, compile_protos, record_schema

COMPILER = re.compile(r"# Protobuf Python Version: .*|^    \d+,$|^    '.*',$", re.MULTILINE)
"""The compiler's own version in what it writes, which may differ by a patch between machines."""


def generated(root: Path) -> dict[str, str]:
    """Name to text of every generated file."""
    files = sorted((root / PACKAGE).glob("*_pb2.py*"))
    return {path.name: COMPILER.sub("", path.read_text(encoding="utf-8")) for path in files}


def test_the_committed_messages_are_what_the_protos_say(tmp_path: Path) -> None:
    """Compile again and compare; `python -m tools.proto` mends it."""
    compile_protos(tmp_path)
    fresh = generated(tmp_path)
    assert fresh == generated(ROOT)
    assert {"decision_pb2.py", "decision_pb2.pyi", "verdict_pb2.py", "verdict_pb2.pyi"} == fresh.keys()


def test_a_proto_that_does_not_compile_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half generated passes for done."""
    (tmp_path / "broken.proto").write_text('syntax = "proto3"; message {')
    monkeypatch.setattr("tools.proto.SOURCES", tmp_path)
    with pytest.raises(RuntimeError, match="protoc failed"):
        compile_protos(tmp_path / "out")


def test_the_committed_schema_is_what_the_record_says() -> None:
    """Readers elsewhere validate by it; `python -m tools.proto` mends it."""
    expected = record_schema()
    assert expected == (ROOT / RECORD_SCHEMA).read_text(encoding="utf-8")


def test_the_schema_names_every_field_of_a_line() -> None:
    """The top of the schema has the keys of a record as it is written."""
    schema = json.loads(record_schema())
    named = schema["$defs"]["Record"]["properties"].keys()
    assert json.loads(to_json(record())).keys() == named


def test_the_verdict_names_the_keys_of_our_metadata() -> None:
    """verdict.proto lists what Envoy's access logs and routes may read."""
    expected = ["id", "policy", "route", "outcome", "request", "response", "coverage", "annotations"]
    assert expected == [field.name for field in Verdict.DESCRIPTOR.fields]
