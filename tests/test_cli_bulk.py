"""Many at once on the command line; what a preview promises and a cap forbids is in test_cli_account.py."""

import json
import time

from typer.testing import CliRunner

from safeguards_extproc.cli import app
from safeguards_extproc.enforcement.events import Event, Kind
from safeguards_extproc.enforcement.ledger import Ledger


def test_those_who_stand_so_are_meant(tmp_path):
    """By step, flag and rule; until a time that is the same in preview and action."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = Ledger(url, (), time.time)
    for number in range(4):
        ledger.append(Event(kind=Kind.WARN, subject=f"user{number}", rule="spam", reason="r", actor="m"))
    ledger.append(Event(kind=Kind.LABEL, subject="user2", reason="r", actor="m", data={"flag": "farm"}))

    def run(*arguments):
        result = CliRunner().invoke(app, ["account", "bulk", *arguments, "--ledger", url, "--json", "--reason", "r"])
        assert result.exit_code == 0, result.exception
        return json.loads(result.stdout)

    warned = run("suspend", "--step", "warned")
    farm = ("throttle", "--flag", "farm", "--broke", "spam", "--share", "0.5", "--until", "2099-01-01T00:00:00Z")
    seen = run(*farm)
    run(*farm, "--apply", seen["digest"])
    restricted = run("restrict", "--kind", "key", "--model", "large")
    standing = ledger.standing("user2")
    ledger.close()

    assert (warned["identities"], warned["standing_now"]) == (4, {"warned": 4})
    assert (seen["among_them"], standing.share, standing.until) == (["user2"], 0.5, 4_070_908_800.0)
    assert restricted["identities"] == 0
