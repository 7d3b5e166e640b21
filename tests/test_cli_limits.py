"""The command line of limits: what is allowed, and what is left of it for somebody now."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from safeguards_extproc.adapters.redis_limits import RedisLimits
from safeguards_extproc.adapters.redis_standings import RedisBoard
from safeguards_extproc.app_accounts import patient_link
from safeguards_extproc.cli import app
from safeguards_extproc.core.account import Identity, Standing, Step
from safeguards_extproc.policy.load import load
from safeguards_extproc.telemetry import Metrics
from tests import redis_server

POLICY = """
version: 1
name: limited
identity:
  key: [{header: authorization, secret: true}]
limits:
  - {name: requests, per: [key], rate: 600/1m}
  - {name: tokens, per: [key], count: tokens, budget: 1000/1h, reserve: 0, mode: shadow, on_failure: block}
  - {name: streams, per: [key, model], count: streams, at_once: 4}
"""


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def said(*arguments):
    return CliRunner().invoke(app, ["limits", *map(str, arguments)])


def test_the_limits_of_a_policy_are_shown(policy):
    """What they count, for whom, how much, and what holds without their store."""
    table, rows = said("show", "--policy", policy), json.loads(said("show", "--policy", policy, "--json").stdout)

    assert "3 limits" in table.stdout
    assert [(row["allows"], row["mode"], row["without_the_store"]) for row in rows] == [
        ("600 in 1m, 10 at once", "enforce", "local, 100%"),
        ("1000 in 1h", "shadow", "block"),
        ("4 at once", "enforce", "local, 100%"),
    ]


async def use(url, policy):
    """Somebody has used 900 tokens, and is throttled to half of every limit."""
    link = patient_link([url])
    board, store = RedisBoard(link), RedisLimits(link, Metrics())
    charges = load(policy).charges(Identity({"key": "k1"}), "", 900, 0, 0)
    await store.admit("exchange-1", charges, [1.0] * len(charges))
    token = await board.begin()
    await board.publish([("k1", Standing(Step.THROTTLED, share=0.5, revision=1))], token)
    await board.finish(token)
    await store.close()
    await link.close()


def test_where_limits_stand_is_explained_and_nothing_is_taken(policy, tmp_path):
    """Of those limits that count the identities that are named; what is left is never less for having looked."""
    with redis_server.running(tmp_path / "redis") as server:
        asyncio.run(use(server.url, policy))
        command = ("explain", "--policy", policy, "--redis", server.url, "key=k1")
        first, table, again = said(*command, "--json"), said(*command), said(*command, "--json")
        keys = list(server.client().scan_iter("*:x:look*"))

    rows = {row["name"]: row for row in json.loads(first.stdout)}
    assert set(rows) == {"requests", "tokens"}
    assert (rows["tokens"]["state"], rows["tokens"]["left"]) == ("over", 0)
    assert all(row["left"] >= rows[row["name"]]["left"] for row in json.loads(again.stdout))
    assert "standing: throttled, 50% of every limit is left to it" in table.stdout
    assert keys == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("key=k1",), "no Redis is named"),
        (("planet=mars", "--redis", "unix:///none.sock"), "names nobody"),
        (("key=k1", "--redis", "unix:///none.sock"), "Redis gave no answer: unavailable"),
        (("key=k1", "--redis", "http://a"), "no address of Redis"),
    ],
)
def test_mistakes_are_said_plainly(arguments, message, policy):
    """With what to do."""
    assert message in str(said("explain", "--policy", policy, *arguments).exception)
