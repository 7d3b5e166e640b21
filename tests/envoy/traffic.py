"""Requests without a pause, beside whatever a test does meanwhile."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass

from safeguards_extproc.replay.requests import EXCHANGE_HEADER
from tests.envoy import scenes
from tests.envoy.background import PATIENCE_S, until
from tests.envoy.rig import Rig, post
from tests.envoy.sdk import client


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended: "whole", a status other than 200, "cut" or the error's name; its exchange's id, if told."""

    how: str
    id: str
    seconds: float


class Traffic:
    """Streams through a listener, from threads of its own."""

    def __init__(self, rig: Rig, listener: str, threads: int = 1) -> None:
        self.all: list[Ended] = []
        self._url, self._stop = rig.urls[listener], threading.Event()
        self._asked = client("openai_chat", self._url)
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    @property
    def ended(self) -> Counter[str]:
        return Counter(each.how for each in list(self.all))

    def more(self, count: int = 20) -> None:
        """Wait for so many more."""
        wanted = len(self.all) + count
        until(lambda: len(self.all) >= wanted, "traffic goes on")

    def _run(self) -> None:
        while not self._stop.is_set():
            self.all.append(self._one())

    def _one(self) -> Ended:
        body = json.dumps(self._asked.body(scenes.QUESTION, stream=True)).encode()
        headers = {"content-type": "application/json", EXCHANGE_HEADER: scenes.PLAIN.id("openai_chat", take="other")}
        began, id_ = time.monotonic(), ""
        try:
            status, answered, seen = post(self._url, self._asked.path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            how = type(error).__name__
        else:
            how, id_ = str(status), answered.get("x-safeguards-id", "")
            if status == 200:
                how = "whole" if seen.endswith(b"data: [DONE]\n\n") else "cut"
        return Ended(how, id_, time.monotonic() - began)
