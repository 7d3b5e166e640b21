"""SQL decides records as the policy's own function does: random policies, random records, exchange by exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from safeguards_extproc.core.record import Record
from safeguards_extproc.policy import asks
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.records import table
from safeguards_extproc.replay import recompute
from safeguards_extproc.replay.facts import lacking
from safeguards_extproc.replay.recompute import Decider, Way, group_names, python_only, query, verdicts
from safeguards_extproc.replay.records import Policies, groups, pairs
from safeguards_extproc.replay.verdict import Verdict, of
from tests.replay.random_records import Making


def decided(policy: CompiledPolicy, records: Sequence[Record], folder: Path) -> dict[str, tuple[Way, Verdict, Verdict]]:
    """By id: the way, what the record says, and what SQL makes of it."""
    file = folder / "records.parquet"
    pq.write_table(table.table(records), file)
    (group,) = groups([str(file)])
    deciders = [Decider.of(policy, group.types)]
    with duckdb.connect() as db:
        source = group.source(db)
        rows = db.sql(query(source, deciders)).to_arrow_table().to_pylist()
        slow = db.sql(python_only(source, deciders)).to_arrow_table().num_rows
    assert set(group_names(deciders)) <= rows[0].keys() | {"deserved"}
    assert slow == sum(row["way"] == Way.PYTHON for row in rows)
    return {row["id"]: (Way(row["way"]), verdicts(row, ())[0], verdicts(row, deciders)[0]) for row in rows}


def compare(policy: CompiledPolicy, records: Sequence[Record], folder: Path) -> int:
    """How many SQL decided; AssertionError where it says something else than the policy's function."""
    found, count = decided(policy, records, folder), 0
    for record in records:
        way, before, after = found[record.id]
        assert (lacking(record, policy) is not None) == (way is Way.NOT)
        said = replace(of(record), latency_ms=None)
        assert said.said == before.said
        assert (said.tenant, said.route, said.judged) == (before.tenant, before.route, before.judged)
        if way is Way.SQL:
            ((_, again, _),) = pairs([record], Policies(policy), {}, lambda reason: None)
            assert (again.said, again.judged) == (after.said, after.judged), record.id
            count += 1
    return count


@pytest.mark.long
def test_sql_decides_as_the_policy_does(tmp_path: Path) -> None:
    """Ten policies of three rules, two hundred records each; most are decided by SQL."""
    making, count = Making(3), 0
    for _ in range(10):
        count += compare(making.policy(), [making.record() for _ in range(200)], tmp_path)
    assert count > 1000


def test_the_comparison_bites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place in the list that is one off is found out at once."""
    right = asks.first
    monkeypatch.setattr(recompute, "first", lambda *args, **kwargs: f"greatest(0, {right(*args, **kwargs)})")
    making = Making(3)
    with pytest.raises(AssertionError):
        compare(making.policy(), [making.record() for _ in range(100)], tmp_path)


def test_values_without_a_column_are_left_to_the_function(tmp_path: Path) -> None:
    """A feature of another type than its column, and an unusual name of a feature, are in no column of their own."""
    making = Making(5, drops=False)
    records = [making.record() for _ in range(4)]
    for record in records:
        record.masked, record.limits = [], []
        record.request.account.uninspectable = record.response.account.uninspectable = ""
        record.request.features, record.response.features = {"n": 1}, {}
    records[0].request.features["n"] = "one"
    records[1].request.features["not a name"] = 1
    found = decided(making.policy(), records, tmp_path)
    assert [Way.PYTHON, Way.PYTHON, Way.SQL, Way.SQL] == [found[record.id][0] for record in records]
