"""A stream's admission: one settlement follows it, however the stream ended, and even where it ended before the answer.

So an admission under way is never cancelled: what it may have taken has to be given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from safeguards_extproc.adapters.shared import Shared
from safeguards_extproc.core import account
from safeguards_extproc.core.admission import settlement
from safeguards_extproc.core.events import Admitted
from safeguards_extproc.core.record import Record


class Admitting:
    """`deliver` hears the answer; `fault` hears of errors that accounts must not raise."""

    __slots__ = ("_admission", "_answer", "_deliver", "_fault", "_record", "_shared", "_sketch")

    def __init__(
        self,
        shared: Shared,
        admission: account.Admission,
        deliver: Callable[[Admitted], None],
        fault: Callable[[Exception, str], None],
    ) -> None:
        """Asks at once."""
        self._shared, self._admission, self._deliver, self._fault = shared, admission, deliver, fault
        self._answer: account.Admitted | None = None
        self._record: Record | None = None
        self._sketch = 0
        task = asyncio.get_running_loop().create_task(self._ask())
        shared.admitting.add(task)
        task.add_done_callback(shared.admitting.discard)

    def keep(self, record: Record, sketch: int = 0) -> None:
        """The exchange is over; what it asked has this `sketch`."""
        self._record, self._sketch = record, sketch
        self._settle()

    async def _ask(self) -> None:
        shared = self._shared
        try:
            answer = await shared.accounts.admit(self._admission)
        except Exception as error:  # noqa: BLE001 (a fault in accounts is an exchange that was not counted, never a hung one)
            self._fault(error, "accounts")
            answer = account.Admitted()
        self._answer = answer
        shared.telemetry.admitted(answer)
        if self._record is None:
            self._deliver(Admitted(answer))
        else:
            self._settle()

    def _settle(self) -> None:
        if self._record is None or self._answer is None:
            return
        try:
            self._shared.accounts.settle(settlement(self._record, self._admission, self._answer, self._sketch))
        except Exception as error:  # noqa: BLE001 (nobody but telemetry can do anything about it)
            self._fault(error, "accounts")
