"""What the window itself holds a streamed event up for: the exchange alone, on a clock that nothing delays.

An event waits for more text, and its last word for the window after that. What a run measures beyond it, and beyond
what a processor that decides nothing shows at the same percentile, is what the filter's work and its queues add.
"""

from __future__ import annotations

import math

from bench.chunk import Driver, opened
from bench.client import STAMP
from bench.scenarios import streamed
from bench.upstream import TAIL, event
from safeguards_extproc.adapters.extproc import Answer
from safeguards_extproc.core.decision import Policy
from safeguards_extproc.core.effects import SendBody
from safeguards_extproc.core.events import Body, Headers
from safeguards_extproc.core.text import Direction


def travelled_ms(policy: Policy, rate: float, events: int = 400) -> list[float]:
    """How long each of so many events was held, `rate` of them a second; in rising order."""
    held: list[float] = []
    begun = 1.01

    def heard(answer: Answer, at: float) -> None:
        if isinstance(answer, SendBody) and answer.direction is Direction.RESPONSE:
            held.extend((at - begun - int(number) / rate) * 1000 for number in STAMP.findall(answer.data))

    driver = Driver(policy, heard)
    for said in opened("/v1/chat/completions", streamed(events, rate)):
        driver.feed(said)
    driver.feed(Headers(Direction.RESPONSE, {":status": "200", "content-type": "text/event-stream"}, False, begun))
    for number in range(events):
        at = begun + number / rate
        driver.until(at)
        driver.feed(Body(Direction.RESPONSE, event(number, number), False, at))
    driver.until(begun + events / rate)
    driver.feed(Body(Direction.RESPONSE, TAIL, True, begun + events / rate))
    return sorted(held)


def percentile(values: list[float], percent: int) -> float:
    """The least that so many percent do not exceed, of values in rising order."""
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)]
