"""A policy says what may be captured, and nothing else is."""

from __future__ import annotations

import pytest

from safeguards_extproc.policy.load import parse
from safeguards_extproc.policy.problems import PolicyError

POLICY = """
version: 1
name: captured
rules:
  - {name: all, when: "true", then: annotate, annotations: {x-a: b}}
routes:
  - {name: chat}
"""

CAPTURE = """
capture:
  tenants: ["k1.aaaa"]
  routes: [chat]
  share: 0.25
  rules: [all]
  keep: 12h
  exchange_bytes: 1MiB
"""


def test_what_may_be_captured() -> None:
    """Of whom, where, how much and for how long."""
    spec = parse(POLICY + CAPTURE, "p.yaml").document.capture
    assert spec is not None
    assert (["k1.aaaa"], ["chat"], 0.25, ["all"]) == (spec.tenants, spec.routes, spec.share, spec.rules)
    assert (12 * 3600.0, 1 << 20) == (spec.keep, spec.exchange_bytes)


def test_by_default_nothing_is() -> None:
    """Whoever wants it says so."""
    assert parse(POLICY, "p.yaml").document.capture is None


def test_it_decides_nothing() -> None:
    """A policy that begins to capture is the same policy, so what it captures can be replayed to the byte."""
    assert parse(POLICY, "p.yaml").digest == parse(POLICY + CAPTURE, "p.yaml").digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('tenants: ["k1.aaaa"]', "tenants: []"), "capture.tenants: must not be empty"),
        (('  tenants: ["k1.aaaa"]\n', ""), "capture.tenants: is required"),
        (("rules: [all]", "rules: [al]"), "capture.rules[0]: there is no 'al' (did you mean 'all'?)"),
        (("routes: [chat]", "routes: [nowhere]"), "capture.routes[0]: there is no 'nowhere'"),
        (("  share: 0.25\n  rules: [all]\n", ""), "takes nothing: give share, rules or both"),
        (("share: 0.25", "share: 2"), "capture.share"),
        (("keep: 12h", "keep: 2000d"), "capture.keep"),
        (("share: 0.25", "shares: 0.25"), "did you mean 'share'?"),
    ],
)
def test_mistakes_are_said_with_their_line(change: tuple[str, str], said: str) -> None:
    """As everywhere in a policy."""
    with pytest.raises(PolicyError) as caught:
        parse(POLICY + CAPTURE.replace(*change), "p.yaml")
    assert said in str(caught.value)
