"""Law 7: whole snapshots, pinned by each exchange; a bad file changes nothing and is counted."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from safeguards_extproc.adapters import policy_store
from safeguards_extproc.adapters.policy_store import PolicyStore
from safeguards_extproc.core.decision import Action
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.logs import plain_only
from safeguards_extproc.policy.problems import PolicyError, Problem
from tests.playbook import RESPONSE, Conversation, chunks, response_headers
from tests.world import WordPolicy, plain_request, plain_stream


@dataclass
class Seen:
    loaded: list[str] = field(default_factory=list)
    failed: int = 0

    def policy_loaded(self, digest, at):
        self.loaded.append(digest)

    def policy_failed(self):
        self.failed += 1


def load(path):
    """A policy file of one word: the word that is forbidden."""
    word = path.read_text().strip()
    if not word:
        raise ConfigError("no word", where=f"{path.name}:1", hint="write one")
    return WordPolicy({word: Action.BLOCK}, digest=word)


async def test_a_changed_file_is_in_force(tmp_path):
    """The next exchange decides by it."""
    file, seen = tmp_path / "policy", Seen()
    file.write_text("ONE")
    store = PolicyStore(file, load, seen)
    file.write_text("TWO")

    assert await store.reload()
    assert (store.current.digest, seen.loaded) == ("TWO", ["ONE", "TWO"])


async def test_a_bad_file_keeps_the_old_policy(tmp_path):
    """It is counted, said to be stale, and mended by a good one."""
    file, seen = tmp_path / "policy", Seen()
    file.write_text("ONE")
    store = PolicyStore(file, load, seen)
    file.write_text("")

    assert not await store.reload()
    assert (store.current.digest, store.stale, seen.failed) == ("ONE", True, 1)

    file.write_text("TWO")
    assert await store.reload()
    assert (store.current.digest, store.stale) == ("TWO", False)


async def test_a_file_beside_the_policy_is_watched(tmp_path, monkeypatch):
    """Once it was read: keys change without the policy. What changes while it is loaded is not missed."""
    monkeypatch.setattr(policy_store, "LOOK_EVERY_S", 0.001)
    file, keys, read = tmp_path / "policy", tmp_path / "keys", []
    file.write_text("ONE")
    keys.write_text("1")
    changed = asyncio.Event()

    def load_both(path):
        read.append(keys.read_text())
        changed.set() if read[-1] == "22" else None
        return load(path)

    store = PolicyStore(file, load_both, Seen(), lambda: [keys] if read else [])
    watching = asyncio.create_task(store.watch())
    keys.write_text("22")
    await asyncio.wait_for(changed.wait(), 10)
    watching.cancel()
    assert ["1", "22"] == read


async def test_every_problem_is_told_by_its_line(tmp_path):
    """However many there are and however long the path: a log takes short values of one line, and shows them."""
    folder = tmp_path / "-".join(["long"] * 40)
    folder.mkdir()
    file = folder / "policy.yaml"
    file.write_text("good")

    def read(path):
        if path.read_text() != "good":
            raise PolicyError(
                [Problem(f"{path}:{line}", "rules", "wrong\n  " * line * 20, "mend it") for line in (1, 3)]
            )
        return WordPolicy({}, digest="good")

    store = PolicyStore(file, read, Seen())
    file.write_text("bad")
    with capture_logs() as told:
        assert not await store.reload()
    count, first, third = (plain_only(None, "", dict(row))["problem"] for row in told)
    assert "2 problems" == count
    assert f"policy.yaml:1: rules: {'wrong ' * 20}(mend it)" == first
    assert f"policy.yaml:3: rules: {'wrong ' * 60}"[: policy_store.LONGEST] == third


async def test_the_file_is_watched(tmp_path, monkeypatch):
    """A change is noticed without a signal, a missing file is a bad one."""
    monkeypatch.setattr(policy_store, "LOOK_EVERY_S", 0.001)
    file, seen, noticed = tmp_path / "policy", Seen(), asyncio.Event()
    file.write_text("ONE")
    store = PolicyStore(file, load, seen)
    seen.policy_loaded = lambda digest, at: (seen.loaded.append(digest), noticed.set())
    watching = asyncio.create_task(store.watch())
    file.write_text("LONGER")
    async with asyncio.timeout(5):
        await noticed.wait()
    watching.cancel()

    assert seen.loaded == ["ONE", "LONGER"]


def test_no_policy_no_start(tmp_path):
    """The first one must be good."""
    file = tmp_path / "policy"
    file.write_text("")
    with pytest.raises(ConfigError, match="policy:1: no word"):
        PolicyStore(file, load, Seen())


class Swapping:
    """Planted fault: a policy that follows the file in the middle of an exchange."""

    def __init__(self, holder):
        self._holder = holder

    def __getattr__(self, name):
        return getattr(self._holder[0], name)


def law_7(make):
    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2), st.sampled_from([1, 5, 0]))
    def law(swap, size):
        holder = [WordPolicy({"FORBIDDEN": Action.BLOCK}, digest="old")]
        talk = Conversation(make(holder))
        answer = plain_stream("some words to begin with", "FORBIDDEN")
        steps = [
            lambda: talk.request(plain_request("hello")),
            lambda: talk.feed(response_headers("text/event-stream")),
            lambda: talk.send(RESPONSE, chunks(answer, size)),
        ]
        for number, step in enumerate(steps):
            if number == swap:
                holder[0] = WordPolicy({}, digest="new")
            step()
        assert (talk.record.policy, talk.record.outcome) == ("old", "block")

    return law


def test_law_7_one_policy_per_exchange():
    """A reload in the middle of an exchange is for the next one."""
    law_7(lambda holder: holder[0])()


def test_law_7_catches_a_policy_that_follows_the_file():
    """Planted fault."""
    with pytest.raises(AssertionError):
        law_7(Swapping)()
