"""The report as JSON: a schema that a program can rely on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeguards_extproc.evaluate.report import encode
from tests.evaluate.test_run import reported

VALUE = {"value", "low", "high"}
COUNT = {"count", "share", "low", "high"}
TALLY = {"texts", "blocked", "flagged", "decided", "allowed", "errors"}


async def said() -> Any:
    return json.loads(encode(await reported()))


async def test_the_schema() -> None:
    """Members that are there today; one that goes is a new schema."""
    whole = await said()
    assert 1 == whole["schema"]
    assert {
        "version",
        "policy",
        "policy_digest",
        "models",
        "files",
        "seconds",
        "measured",
        "robustness",
    } <= whole.keys()
    assert {"name", "lines", "digest"} == whole["files"][0].keys()
    measured = whole["measured"]
    assert {"texts", "policy", "labels", "groups", "rules", "errors", "asked"} == measured.keys()
    assert TALLY == measured["policy"].keys()
    assert COUNT == measured["policy"]["blocked"].keys()
    label = measured["labels"][0]
    assert {"label", "positives", "negatives", "scores", "policy", "by_source", "f1", "reached"} == label.keys()
    assert {"source", "category", "functionality"} >= label["reached"].keys() >= {"source"}
    (row, *_) = label["reached"]["source"]["a"]
    assert {"value", "texts", "at_1_percent", "at_policy", "flagged"} == row.keys()
    assert (COUNT, COUNT) == (row["at_1_percent"].keys(), row["at_policy"]["attack"].keys())
    score = label["scores"][0]
    figures = {"auprc", "roc_auc", "recall_at_1_percent", "recall_at_0_1_percent", "calibration_error", "best_f1"}
    rest = {"score", "match", "positives", "negatives", "best_f1_at", "threshold", "at_policy"}
    assert figures | rest == score.keys()
    assert VALUE == score["auprc"].keys()
    assert {"rule", "threshold", "recall", "precision", "f1", "false_positives"} == score["at_policy"][0].keys()


@pytest.mark.long
async def test_the_schema_of_robustness() -> None:
    """A row for each variant, with a member for each label that has figures."""
    found = json.loads(encode(await reported(each=2)))["robustness"]
    assert {"texts", "plain", "variants", "ways"} == found.keys()
    assert {"group", "name", "texts", "errors", "labels"} == found["plain"].keys()
    assert {"padding", "turns", "language", "evasion"} == {said["group"] for said in found["variants"]}
    assert {"label", "score", "threshold", "recall", "kept", "false_positives"} <= found["plain"]["labels"][0].keys()


async def test_no_text_of_a_person_is_in_it() -> None:
    """Names of groups, labels and files are; what was said is not."""
    assert "bomb" not in encode(await reported())
