"""Settings that contradict each other are refused, saying which."""

from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.settings import Settings


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"tls_key": "key.pem"}, "--tls-certificate"),
        ({"tls_client_ca": "ca.pem"}, "--tls-client-ca"),
        ({"workers": 0}, "--workers"),
        ({"drain_delay_s": -1.0}, "--drain-delay"),
        ({"region": "../eu"}, "--region"),
        ({"ledger": "sqlite://", "redis": ("redis://a",)}, "the ledger is the keeper's"),
        ({"ledger": "sqlite://", "workers": 2}, "let them share a Redis"),
    ],
)
def test_contradictions_are_named(given, where):
    """The error says which option to mend."""
    with pytest.raises(ConfigError, match=where):
        Settings(policy=Path("policy.yaml"), **given)


def test_a_policy_is_enough():
    """Everything else has a default."""
    assert Settings(policy=Path("policy.yaml")).workers == 1
