"""The command line of accounts, as an operator meets it: each step, each way back, and every mistake in plain words."""

import json
import re
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safeguards_extproc import cli_account, wire
from safeguards_extproc.cli import app
from safeguards_extproc.core.account import Step
from safeguards_extproc.core.events import BodyMode, Opened
from safeguards_extproc.enforcement.ledger import Ledger
from safeguards_extproc.enforcement.pseudonyms import read_keys
from safeguards_extproc.enforcement.who import who
from safeguards_extproc.policy.load import load


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """A ledger that every command works on."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("SAFEGUARDS_LEDGER", url)
    opened = Ledger(url, (), time.time)
    yield opened
    opened.close()


def said(*arguments):
    return CliRunner().invoke(app, ["account", *map(str, arguments)])


def told(*arguments):
    """What a command says as JSON."""
    result = said(*arguments, "--json")
    assert result.exit_code == 0, result.exception
    return json.loads(result.stdout)


STEPS = {
    "warn": (),
    "throttle": ("--share", "0.5"),
    "restrict": ("--model", "large", "--tools"),
    "suspend": ("--for", "24h"),
    "ban": (),
}


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_taken_shown_and_taken_back(step, ledger):
    """And then nobody can tell but the history."""
    before = told("show", "user1")
    (entered,) = told(step, "user1", "--reason", "spam", "--actor", "maria", "--evidence", "r1", *STEPS[step])
    during = told("show", "user1")
    told("undo", entered["id"], "--reason", "the rule was wrong", "--actor", "maria")
    after, history = told("show", "user1"), told("history", "user1")

    assert (entered["kind"], entered["actor"], entered["evidence"]) == (step, "maria", ["r1"])
    assert (during["step"], during["reason"]) == (list(Step)[1 + list(STEPS).index(step)], "spam")
    assert [event["kind"] for event in history] == [step, "undo"]
    assert history[0]["undone_by"] == history[1]["id"]
    assert {**after, "events": 0, "revision": 0} == {**before, "events": 0, "revision": 0}


def test_what_a_throttle_and_a_restriction_take_is_shown(ledger):
    """All of it, of both."""
    told("throttle", "user1", "--reason", "spam", "--share", "0.5")
    told("restrict", "user1", "--reason", "spam", "--model", "large", "--tools")
    shown = told("show", "user1")

    assert (shown["step"], shown["share"], shown["models"]) == ("restricted", 0.5, ["large"])
    assert shown["tools"]


def test_tables_for_people(ledger):
    """The same things, without JSON."""
    said("suspend", "user1", "--reason", "spam", "--rule", "no-spam", "--for", "24h")
    shown, listed, history = said("show", "user1"), said("list"), said("history", "user1")

    assert "user1: suspended" in shown.stdout
    assert re.search(r"until +\d{4}-\d\d-\d\dT", shown.stdout)
    assert "1 identities" in listed.stdout
    assert "no-spam" in history.stdout


@pytest.mark.long
def test_reinstating_ends_steps_and_keeps_the_history(ledger):
    """Unlike undo, which says that it was wrong."""
    told("suspend", "user1", "--reason", "spam")
    told("note", "user1", "--reason", "spoke with them")
    told("reinstate", "user1", "--reason", "they understood")

    assert ledger.standing("user1").step is Step.GOOD
    assert [event["kind"] for event in told("history", "user1")] == ["suspend", "note", "reinstate"]
    assert told("list") == []


def test_an_appeal_is_decided_by_another(ledger):
    """Whoever acted may not; who did not may overturn it, and all is as before."""
    (step,) = told("ban", "user1", "--reason", "spam", "--actor", "maria")
    (appeal,) = told("appeal", step["id"], "--reason", "it was not me", "--actor", "support")
    waiting = told("appeals")
    own = said("overturn", appeal["id"], "--reason", "no", "--actor", "maria")
    told("overturn", appeal["id"], "--reason", "right", "--actor", "jonas")

    assert [each["id"] for each in waiting] == [appeal["id"]]
    assert "had no part in it" in str(own.exception)
    assert ledger.standing("user1").step is Step.GOOD
    assert told("appeals") == []


def test_an_appeal_that_is_upheld_changes_nothing(ledger):
    """But it is decided."""
    (step,) = told("ban", "user1", "--reason", "spam", "--actor", "maria")
    (appeal,) = told("appeal", step["id"], "--reason", "it was not me", "--actor", "support")
    told("uphold", appeal["id"], "--reason", "it was", "--actor", "jonas")

    assert ledger.standing("user1").step is Step.BANNED
    assert told("appeals") == []


def test_a_step_has_its_statement_of_reasons(ledger):
    """As text, and with the fields of the law."""
    (step,) = told("suspend", "user1", "--reason", "spam", "--rule", "no-spam", "--for", "24h")
    text, fields = said("statement", step["id"]), told("statement", step["id"])

    assert "spam" in text.stdout
    assert fields["event"] == step["id"]
    assert "there is no event 99" in str(said("statement", "99").exception)


POLICY = """
version: 1
name: named
identity:
  organisation: [{header: x-org, trusted: true}]
  end_user: [{json: $.user}]
"""


def test_pseudonyms_are_those_of_the_filter(tmp_path):
    """An end user is known in its caller, so that the caller must be named too."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "keys.yaml").write_text("- {id: k2, key: " + "B" * 43 + "=}\n- {id: k1, key: " + "A" * 43 + "=}\n")
    where = ("--policy", tmp_path / "policy.yaml", "--identity-keys", tmp_path / "keys.yaml")
    ours = told("pseudonym", "end_user", "mallory", "--within", "organisation=acme", *where)
    theirs = told("pseudonym", "end_user", "mallory", "--within", "organisation=other", *where)
    nobody = said("pseudonym", "end_user", "mallory", "--within", "planet=mars", *where)

    assert ours["current"].startswith("k2.")
    assert [each[:3] for each in ours["former"]] == ["k1."]
    assert ours["current"] != theirs["current"]
    assert "names no caller" in str(nobody.exception)


@pytest.mark.long
def test_a_long_name_of_a_body_is_found_as_the_filter_names_it(tmp_path):
    """By its digest, by itself if a header said it; where the policy looks in both, one has to say."""
    (tmp_path / "keys.yaml").write_text("- {id: k2, key: " + "B" * 43 + "=}\n")
    file, long = tmp_path / "policy.yaml", "mallory-" * 100
    opened = Opened(BodyMode.DUPLEX, BodyMode.DUPLEX, False, {}, {})
    names = {}
    for body, header in ((True, False), (False, True), (True, True)):
        places = ["{json: $.user}"] * body + ["{header: x-user, trusted: true}"] * header
        file.write_text(f"version: 1\nname: n\nidentity:\n  end_user: [{', '.join(places)}]\n")
        asker = who(load(file).document.identity, tmp_path, read_keys(tmp_path / "keys.yaml"))
        where = ("--policy", file, "--identity-keys", tmp_path / "keys.yaml")
        if body:
            picked = wire.pick(json.dumps({"user": long}).encode(), asker.wants, "openai_chat")
            names["--body"] = asker.identify({}, opened, picked).names["end_user"]
        if header:
            names["--no-body"] = asker.identify({"x-user": long}, opened, {}).names["end_user"]
        for option in names if body and header else ():
            assert names[option] == told("pseudonym", "end_user", long, option, *where)["current"]
        if body and header:
            assert "say --body or --no-body" in str(said("pseudonym", "end_user", long, *where).exception.hint)
            assert told("pseudonym", "end_user", "ann", *where)
        else:
            option = "--body" if body else "--no-body"
            assert names[option] == told("pseudonym", "end_user", long, *where)["current"]
    assert 2 == len(set(names.values()))


def test_every_command_is_in_the_docs():
    """By its name, as code."""
    text = Path("docs/accounts.md").read_text()
    names = {command.name or command.callback.__name__ for command in cli_account.app.registered_commands}

    assert not {name for name in names if f"`account {name}" not in text}


@pytest.mark.long
def test_many_at_once_are_previewed_and_done_as_previewed(ledger, tmp_path):
    """Above the cap with a second person; as a whole it is taken back."""
    names = tmp_path / "names.txt"
    names.write_text("user1\nuser2\n\nuser3\n")
    many = ("bulk", "suspend", "--subjects", names, "--reason", "a farm", "--actor", "maria", "--cap", 2)
    seen = told(*many)
    alone = said(*many, "--apply", seen["digest"])
    done = told(*many, "--apply", seen["digest"], "--approver", "jonas")
    late = said(*many, "--apply", seen["digest"], "--approver", "jonas")
    listed = told("list", "--step", "suspended")
    told("bulk", "undo", "--of", done[0]["data"]["bulk"], "--reason", "not a farm", "--actor", "maria")

    assert (seen["identities"], seen["needs_approver"]) == (3, True)
    assert "a second person must approve" in str(alone.exception)
    assert [each["subject"] for each in listed] == ["user1", "user2", "user3"]
    assert "not what was previewed" in str(late.exception)
    assert told("list") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("suspend", "user1", "--reason", "x", "--for", "soon"), "'soon' must be a time such as 90s"),
        (("suspend", "user1", "--reason", ""), "a suspend needs a reason"),
        (("restrict", "user1", "--reason", "x"), "a restriction takes models"),
        (("undo", "7", "--reason", "x"), "there is no event 7"),
        (("appeal", "7", "--reason", "x"), "there is no event 7"),
        (("list", "--step", "exiled"), "unknown step 'exiled'"),
        (("bulk", "suspend", "--reason", "x"), "nobody means everybody"),
        (("bulk", "exile", "--reason", "x"), "unknown action 'exile'"),
        (("bulk", "undo", "--reason", "x"), "bulk undo --of ID"),
        (("bulk", "ban", "--kind", "key", "--reason", "x", "--until", "friday"), "no time with its zone"),
        (("show", "user1", "--ledger", "sqlite:////no/such/folder/ledger.db"), "cannot be opened"),
    ],
)
def test_mistakes_are_said_plainly(arguments, message, ledger):
    """And nothing is entered."""
    assert message in str(said(*arguments).exception)
    assert ledger.history("user1") == []


def test_without_a_ledger_it_is_said_where_one_is_named(monkeypatch):
    """By option or variable."""
    monkeypatch.delenv("SAFEGUARDS_LEDGER", raising=False)

    assert "give --ledger sqlite:////path/ledger.db" in str(said("show", "user1").exception)


def test_a_redis_that_is_away_is_said_and_what_was_entered_stays(ledger, tmp_path):
    """A keeper tells the filters later."""
    result = said("suspend", "user1", "--reason", "spam", "--redis", f"unix://{tmp_path}/none.sock")

    assert result.exit_code == 0
    assert "Redis was not told (unavailable)" in result.stderr
    assert ledger.standing("user1").step is Step.SUSPENDED
