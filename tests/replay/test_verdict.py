"""What a record says of an exchange, in the words of replay."""

from __future__ import annotations

import itertools
from dataclasses import replace

from safeguards_extproc.core.decision import Action
from safeguards_extproc.core.record import FiredRule, LimitState, Phase, Record
from safeguards_extproc.replay.verdict import RANKS, Side, of, severity


def blocked(**other) -> Record:
    """A request that a rule blocked."""
    request = Phase(
        "block", "block", "block", fired=[FiredRule("attack", "block", "enforce", "true")], ended_ms=2.0, decided_ms=9.5
    )
    return Record(
        id="a",
        producer="w",
        epoch="e",
        sequence=7,
        route="chat",
        outcome="block",
        rule="attack",
        request=request,
        **other,
    )


def test_the_words_of_a_record():
    """Both directions, who asked, what came of it and how long the verdict took after the last byte."""
    verdict = of(blocked(identity={"tenant": "t1", "key": "k1"}, category="jailbreak"))
    assert ("w", "e", 7, "a") == (verdict.producer, verdict.epoch, verdict.sequence, verdict.id)
    assert ("t1", "key", "k1") == (verdict.tenant, verdict.kind, verdict.subject)
    assert (Side("block", "block", "block"), Side("allow", "allow", "pass")) == (verdict.request, verdict.response)
    assert ("block", "attack", "jailbreak", 7.5) == (
        verdict.outcome,
        verdict.rule,
        verdict.category,
        verdict.latency_ms,
    )
    assert verdict.refused
    assert verdict.judged


def test_latency_is_no_difference():
    """The same words, decided a second time: only the time that it took is another."""
    verdict = of(blocked())
    assert verdict.same(replace(verdict, latency_ms=400.0))
    assert not verdict.same(replace(verdict, rule="other"))


def test_nobody_measured():
    """A request that was never decided has no latency, one decided ahead of its end waited for nothing."""
    record = blocked()
    record.request.decided_ms = -1.0
    assert of(record).latency_ms is None
    record.request.decided_ms = 1.0
    assert of(record).latency_ms == 0.0


def test_what_is_no_strike():
    """Neither a check that failed nor a limit that refused is the fault of who asked."""
    failed = blocked()
    failed.request.fired = [FiredRule("attack", "block", "enforce", "missing")]
    assert not of(failed).judged
    assert not of(blocked(limits=[LimitState("daily", False, 0, True)])).judged
    assert of(blocked(limits=[LimitState("daily", False, 0, False)])).judged


def test_severity_orders_what_was_done():
    """Actions by their severity, with a timeout above and no inspection below all of them."""
    done = ["pass", *(action.value for action in Action), "timeout"]
    assert done == sorted(done, key=severity)
    assert all(severity(a) < severity(b) for a, b in itertools.pairwise(done))
    assert len(RANKS) == len(done) - 1
