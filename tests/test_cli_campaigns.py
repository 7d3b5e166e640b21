"""The command line of campaigns: cases as an operator meets them."""

import json
import time

import pytest
from typer.testing import CliRunner

from safeguards_extproc.cli import app
from safeguards_extproc.enforcement.cases import Cases
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.sightings import Member, Sighting


@pytest.fixture
def case(tmp_path, monkeypatch):
    """The id of a case with two people in it."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("SAFEGUARDS_LEDGER", url)
    ledger = Ledger(url, (), time.time)
    members = (Member("end_user", "user1", "r1"), Member("end_user", "user2", "r2"))
    seen = Sighting("farm", "template", ("farm:b1",), time.time(), members, ("r3",), 2, 40, 10, 3600.0, 0.0, True)
    (id,) = Cases(ledger).take([seen])
    ledger.close()
    return id


def said(*arguments):
    return CliRunner().invoke(app, ["campaigns", *arguments])


def test_cases_are_listed_and_shown(case):
    """A table each, or JSON with everything."""
    listed, shown = json.loads(said("list", "--json").stdout), json.loads(said("show", case, "--json").stdout)

    assert [(row["id"], row["campaign"], row["mode"], row["identities"]) for row in listed] == [
        (case, "farm", "enforce", 2)
    ]
    assert [member["subject"] for member in shown["members"]] == ["user1", "user2"]
    assert shown["records"] == ["r1", "r2", "r3"]
    assert "1 cases" in said("list").stdout
    assert "user2" in said("show", case).stdout


def test_who_is_in_a_case_has_its_flag(case):
    """As the account's own command says."""
    shown = json.loads(CliRunner().invoke(app, ["account", "show", "user1", "--json"]).stdout)

    assert shown["flags"] == ["farm"]


def test_mistakes_are_said_plainly(case):
    """With what to do."""
    assert "there is no case 'nine'" in str(said("show", "nine").exception)
    assert "--since" in str(said("list", "--since", "lately").exception)
