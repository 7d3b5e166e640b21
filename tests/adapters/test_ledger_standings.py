"""Standings and strikes without Redis: what a keeper in the worker works between."""

from safeguards_extproc.adapters.ledger_standings import TOGETHER, LedgerStandings, LedgerStrikes
from safeguards_extproc.core.account import Standing, Step
from safeguards_extproc.enforcement.events import Strike
from safeguards_extproc.enforcement.snapshot import Snapshot


async def test_what_is_published_is_in_the_snapshot():
    """At once; there is nothing to build."""
    snapshot = Snapshot()
    board = LedgerStandings(snapshot)
    before = board.age_s
    await board.publish([("a", Standing(Step.BANNED, revision=1))])

    assert (await board.built(), await board.begin(), await board.finish("")) == (True, "", True)
    assert snapshot.of(["a"]).step is Step.BANNED
    assert (before, board.age_s < 10) == (float("inf"), True)


async def test_strikes_wait_until_they_are_done():
    """What was read and not done is read again."""
    intake = LedgerStrikes()
    strikes = [Strike(subject="user1", record=f"r{number}") for number in range(TOGETHER + 1)]
    await intake.put(strikes)
    first, again = await intake.read(), await intake.read()
    left = await intake.done([entry for entry, _ in again])
    rest = await intake.read()
    await intake.close()

    assert first == again
    assert [strike for _, strike in [*again, *rest]] == strikes
    assert left == 1
