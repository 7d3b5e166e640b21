"""A policy file that is broken while requests come in: nobody notices but the operator."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from functools import partial

import pytest
from grpc_health.v1 import health_pb2

from tests.envoy import rules
from tests.envoy.background import until
from tests.envoy.rig import BLIND, Filter, Rig
from tests.envoy.traffic import Traffic
from tests.faults.conftest import Blind

pytestmark = pytest.mark.real

THREADS = 3

NOT_YAML = "not YAML: expected the node content, but found '<stream end>' (check indentation and quotes)"


@dataclass(frozen=True, slots=True)
class Mistake:
    """`now` stands where `was` stood; the rest of the file is gone if it is `cut`. `told` is what the log says."""

    was: str
    now: str
    told: str
    cut: bool = False


MISTAKES = (
    Mistake('"rules": [', '"rules": [[{', f"16: {NOT_YAML}", cut=True),
    Mistake('"when"', '"whenn"', "19: rules[0].whenn: unknown key (did you mean 'when'?)"),
    Mistake(
        "scores.lists.forbidden",
        "scores.lists.forgotten",
        "has no label 'forgotten' scores.lists.forgotten > 0 ^ (known: forbidden)",
    ),
    Mistake("forbidden > 0", "forbidden >", "^ (write for example scores.screen.attack >= 0.9)"),
    Mistake('"on": "response"', "", f"20: {NOT_YAML}", cut=True),
)


def told(one: Filter, problem: str) -> bool:
    """Whether the log says that a policy does not load, and that this is why."""
    rows = [row for row in one.log() if row["event"] == "policy not loaded, the old one stays"]
    return any(row["problem"].startswith("policy.yaml:") and row["problem"].endswith(problem) for row in rows)


def test_a_policy_is_broken_under_load(rig: Rig, blind: Blind) -> None:
    """Each mistake is counted, and told by file and line; every answer meanwhile is whole, by the old policy. Mended,
    the new one is in force for who comes next."""
    one = blind.start(rules.words("nothing"))
    good, part = blind.policy.read_text(), blind.policy.with_suffix(".part")
    with Traffic(rig, BLIND, threads=THREADS) as traffic:
        traffic.more()
        for mistake in MISTAKES:
            before, found, after = good.partition(mistake.was)
            assert found
            part.write_text(before + mistake.now + ("" if mistake.cut else after))
            part.rename(blind.policy)
            one.part.process.send_signal(signal.SIGHUP)
            until(partial(told, one, mistake.told), mistake.told)
            traffic.more(6)
        blind.policy.unlink()
        until(partial(told, one, "cannot be read: No such file or directory (is the path right?)"), "even that is told")
        until(lambda: one.metric("safeguards_degraded", what="policy"), "the degradation is shown")
        assert health_pb2.HealthCheckResponse.SERVING == one.check("")
        assert len(MISTAKES) + 1 <= one.metric("safeguards_policy_loads_total", result="failed")
        wrong = len(traffic.all)
        blind.change(one, rules.words("garden"))
        until(lambda: not one.metric("safeguards_degraded", what="policy"), "it is mended")
        mended = len(traffic.all) + THREADS
        traffic.more()
    records = {record.id: record for record in one.all_records()}
    [old], [new] = ({records[each.id].policy for each in some} for some in (traffic.all[:wrong], traffic.all[mended:]))
    assert old != new
    assert {"whole"} == {each.how for each in traffic.all[:wrong]}
    assert {"block"} == {records[each.id].outcome for each in traffic.all[mended:]}
