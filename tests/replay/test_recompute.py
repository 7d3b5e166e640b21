"""SQL decides records as the policy's own function does: random policies, random records, exchange by exchange."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from safeguards_extproc.core.record import ItemFacts, Record
from safeguards_extproc.policy import asks
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.load import parse as load
from safeguards_extproc.records import table
from safeguards_extproc.replay import recompute
from safeguards_extproc.replay.columns import Columns
from safeguards_extproc.replay.facts import lacking
from safeguards_extproc.replay.recompute import Decider, Way, group_names, python_only, query, verdicts
from safeguards_extproc.replay.records import Policies, groups, pairs
from safeguards_extproc.replay.verdict import Verdict, of
from tests.replay.random_records import Making

DROPPING = """
version: 1
name: lists
detectors:
  s: {kind: classification, model: s, labels: [a, b, c], on_failure: degrade}
  t: {kind: classification, model: t, labels: [a, b, c], on_failure: flag, in: [content]}
rules:
  - {name: maybe, when: scores.t.c > 0.5, on: response, then: drop, mode: shadow}
  - {name: first, when: scores.s.a > 0.5, on: response, in: [content], then: drop, category: one}
  - {name: worst, when: scores.s.c > 0.9 && scores.t.b > 0.5, on: response, then: block}
  - {name: second, when: scores.s.b > 0.5 || features.n > 5, on: response, then: drop, category: two}
  - {name: missing, when: scores.t.a > 0.5, on: response, then: drop, on_missing: fire, category: three}
"""


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


def compare(policy: CompiledPolicy, records: Sequence[Record], folder: Path) -> Counter[str]:
    """How many SQL decided, how many of these list items that rules may drop, and of how many some are; AssertionError
    where it says something else than the policy's function."""
    found, count = decided(policy, records, folder), Counter[str]()
    for record in records:
        way, before, after = found[record.id]
        assert (lacking(record, policy) is not None) == (way is Way.NOT)
        said = replace(of(record), latency_ms=None)
        assert said.said == before.said
        assert (said.tenant, said.route, said.judged) == (before.tenant, before.route, before.judged)
        if way is Way.SQL:
            ((_, again, _),) = pairs([record], Policies(policy), {}, lambda reason: None)
            assert (again.said, again.judged) == (after.said, after.judged), record.id
            count["all"] += 1
            count["lists"] += bool(policy.book.dropping.rules and record.response.item_facts.known)
            count["drops"] += again.response.decided == "drop"
    return count


@pytest.mark.long
def test_sql_decides_as_the_policy_does(tmp_path: Path) -> None:
    """Ten policies of three rules, two hundred records each; most are decided by SQL."""
    making, count = Making(3), Counter[str]()
    for _ in range(10):
        count += compare(making.policy(), [making.record() for _ in range(200)], tmp_path)
    assert count["all"] > 1000


def test_sql_judges_each_item_of_a_list(tmp_path: Path) -> None:
    """And what is in no item, by itself: by scores, by what is missing, by models that failed for it."""
    making = Making(2, lists=0.95)
    count = compare(load(DROPPING, "lists.yaml"), [making.record() for _ in range(400)], tmp_path)
    assert count["lists"] > 150
    assert count["drops"] > 10


@pytest.mark.parametrize(("right", "wrong"), [("IS NOT NULL)[1]", "IS NOT NULL)[-1]"), ("range(", "range(1, ")])
def test_the_comparison_of_items_bites(right: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the first item that leads, not the last, and none is passed over."""
    first_item = Columns.first_item
    monkeypatch.setattr(Columns, "first_item", lambda columns, code: first_item(columns, code).replace(right, wrong))
    making = Making(2, lists=0.95)
    with pytest.raises(AssertionError):
        compare(load(DROPPING, "lists.yaml"), [making.record() for _ in range(400)], tmp_path)


def test_files_of_early_versions_tell_of_no_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rules drop items, answers that list none are decided all the same, and the others are not."""
    making = Making(4)
    policy = next(each for each in iter(making.policy, None) if each.book.dropping.rules)
    records = [making.record() for _ in range(40)]
    for record in records:
        record.response.item_facts = ItemFacts()
    early = table.table(records).drop_columns(sorted(table.LATER))
    monkeypatch.setattr(table, "table", lambda records: early)
    assert 10 < compare(policy, records, tmp_path)["all"]


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


def main() -> None:
    """`python -m tests.replay.test_recompute --records 100000`: a campaign, in which answers list items."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    making, count = Making(options.seed, lists=0.95), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(0, options.records, 1_000):
            count += compare(making.policy(), [making.record() for _ in range(1_000)], Path(folder))
    sys.stdout.write(f"{options.records} records: {dict(count)} decided by SQL as by the policy's function\n")


if __name__ == "__main__":
    main()
