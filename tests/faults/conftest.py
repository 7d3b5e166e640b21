"""A filter of the test's own behind the rig's Envoy, whose policy can be changed while it runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.replay.answers import DIALECTS
from safeguards_extproc.replay.traffic import Answer
from tests.envoy import rules
from tests.envoy.background import until
from tests.envoy.recorder import Reply
from tests.envoy.rig import BLIND, Filter, Rig, end, serve

TEXT_ENDS = {"openai_chat": b'"finish_reason":"stop"', "anthropic_messages": b"event: content_block_stop"}
"""Where a stream says that its text has ended."""


def unfinished(dialect: str, text: str) -> Reply:
    """An answer that says this, and then neither ends nor goes on."""
    events = b"".join(DIALECTS[dialect].events(Answer(text=text, piece=7), "demo"))
    begun, found, _ = events.partition(TEXT_ENDS[dialect])
    assert found
    return Reply(begun, [("content-type", "text/event-stream")], hangs=True)


class Blind:
    """Starts the filter behind Envoy's listener "blind", which sends to it however it says it is."""

    def __init__(self, rig: Rig, folder: Path, ends: ExitStack) -> None:
        self._socket, self.policy, self._ends = rig.folder / f"{BLIND}.sock", folder / "policy.yaml", ends

    def start(self, document: rules.Rules, triton: str = "", **how: Any) -> Filter:
        """With this policy; `how` are arguments of `serve`."""
        rules.write(self.policy, document)
        one = serve(self.policy, self._socket, triton_at=triton, **how)
        self._ends.callback(end, one.part)
        return one

    def change(self, one: Filter, document: rules.Rules) -> None:
        """Another policy, in force when this returns."""
        before = one.metric("safeguards_policy_loaded_timestamp_seconds")
        rules.write(self.policy, document)
        one.part.process.send_signal(signal.SIGHUP)
        until(lambda: one.metric("safeguards_policy_loaded_timestamp_seconds") > before, "the policy is in force")


@pytest.fixture
def blind(rig: Rig, tmp_path: Path) -> Iterator[Blind]:
    with ExitStack() as ends:
        yield Blind(rig, tmp_path, ends)
