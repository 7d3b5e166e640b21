"""The command `keeper`: what it wants."""

import pytest
from typer.testing import CliRunner

from safeguards_extproc.cli import app


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "a keeper needs both --ledger and --redis"),
        (("--redis", "unix:///none.sock"), "a keeper needs both"),
        (("--redis", "http://a", "--ledger", "sqlite://"), "no address of Redis"),
        (("--redis", "unix:///none.sock", "--ledger", "mysql://a"), "ledger"),
    ],
)
def test_it_is_said_what_is_missing(arguments, message):
    """Before anything runs."""
    result = CliRunner().invoke(app, ["keeper", "--policy", "policies/minimal.yaml", *arguments], env={})

    assert message in str(result.exception)
