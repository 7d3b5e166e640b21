"""Scanning of one direction: text in, windows out to the models, verdicts back in the order of the windows.

Verdicts are applied in window order even if scores arrive out of order, so an exchange is the same however fast its
models were, and can be replayed exactly. However much text comes at once, only so much is looked at in a turn, and only
so much waits for models: other streams have theirs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from safeguards_extproc.core.cascade import Rounds
from safeguards_extproc.core.decision import (
    ALLOWED,
    TERMINAL,
    Action,
    Facts,
    Findings,
    Model,
    Policy,
    Result,
    Value,
    Verdict,
    Windowing,
)
from safeguards_extproc.core.effects import Cancel, Classify, Effect, Spare
from safeguards_extproc.core.listing import Listing
from safeguards_extproc.core.marks import Marks
from safeguards_extproc.core.paragraphs import paragraphs
from safeguards_extproc.core.placeholders import NOTHING as NO_ORIGINALS
from safeguards_extproc.core.placeholders import Originals
from safeguards_extproc.core.question import Question
from safeguards_extproc.core.record import Account, ChannelAccount, Checks
from safeguards_extproc.core.sentences import sentences
from safeguards_extproc.core.text import Channel, Direction, Kind, Listed, Segment
from safeguards_extproc.core.turns import APART, Turns
from safeguards_extproc.core.weight import weight
from safeguards_extproc.core.windows import Window, Windows

NOTHING = Findings()

PER_TURN = 8
"""Windows that the detectors in process look at for one event: one of prose takes 0.015 ms, 5 ms if it is all codes."""

AT_ONCE = 64
"""Questions to models that may be out when another window is looked at."""

REASONS = {"too-large": "too-large", "encoding": "unsupported-encoding", "malformed": "malformed"}
"""What a client is told (`Refusal.reason`) where a text could not be read."""


@dataclass(slots=True)
class _Pending:
    """A window on its way: `results` is None until the detectors in process have looked and its models answered.
    `rounds` where some model has a condition, or reads `sentences`."""

    window: Window
    findings: Findings = NOTHING
    results: Sequence[Result] | None = None
    views: Sequence[str] = ()
    sentences: Sequence[str] = ()
    rounds: Rounds | None = None


@dataclass(slots=True)
class Unread:
    """A place in the stream that cannot be read. It takes its turn among the windows, so that chunking changes nothing.

    `final`: whatever policy says, nothing after this place can be read either. `allowed` once policy lets it pass.
    """

    reason: str
    final: bool
    allowed: bool = False


class Scan:
    """What is known of the text of one direction, and what policy says of it so far.

    `verdict` is final once it is terminal. `pouring` while a whole document is on its way in (`core/pour.py`).
    """

    def __init__(
        self,
        policy: Policy,
        direction: Direction,
        windowing: Windowing,
        tickets: Iterator[int],
        out: list[Effect],
        features: dict[str, Value] | None = None,
        originals: Originals = NO_ORIGINALS,
        question: Question | None = None,
    ) -> None:
        self.facts = Facts(direction, features or {})
        self.account = Account()
        self.verdict: Verdict = ALLOWED
        self.decided = self.pouring = False
        self.listing: Listing | None = None
        self.marks = Marks(originals)
        self.versions: dict[str, str] = {}
        self._policy, self._direction, self._tickets, self._out = policy, direction, tickets, out
        self._originals, self._question = originals, question
        # A first window that is small lets an answer begin early; a request is there as a whole.
        first = max(windowing.first, windowing.largest) if direction is Direction.REQUEST else 0
        self._known = policy.known if direction is Direction.REQUEST else None
        self._windows = Windows(windowing, self._tail, first, self._known)
        self._paragraphs = windowing.paragraphs and direction is Direction.REQUEST
        self._turns = Turns(windowing.largest) if windowing.turns and direction is Direction.REQUEST else None
        self._order: deque[_Pending | Unread] = deque()
        self._unseen: deque[_Pending] = deque()
        self._looked = 0
        self._out_now: dict[int, _Pending] = {}
        self._scanned: dict[Channel, int] = {}
        self._last: dict[Kind, Mapping[str, float]] = {}  # what detectors said of the last window of a kind
        self._learned = False  # whether there is more to know than at the last verdict
        self._models = [m for m in policy.models if (m.request if direction is Direction.REQUEST else m.response)]
        self._conditions = any(model.escalation or model.sentences for model in self._models)

    @property
    def waiting(self) -> bool:
        """Whether some window has no verdict yet."""
        return bool(self._order)

    @property
    def ready(self) -> bool:
        """Whether `settle` would get any further."""
        if not self._order:
            return False
        first = self._order[0]
        return isinstance(first, Unread) or first.results is not None

    @property
    def terminal(self) -> bool:
        """Whether the verdict ends the exchange."""
        return self.verdict.action in TERMINAL

    @property
    def behind(self) -> bool:
        """Whether there is something to do without any event: `turn` does it."""
        return self.pouring or (bool(self._unseen) and self._may_ask)

    @property
    def _may_ask(self) -> bool:
        return len(self._out_now) < AT_ONCE and not (self._question and self._question.open)

    @property
    def size(self) -> int:
        """Windows so far, and one for each text that may have another."""
        return self.account.windows + len(self._windows)

    @property
    def texts(self) -> int:
        """Channels so far."""
        return len(self._windows)

    @property
    def whole(self) -> int:
        """Characters of texts that are held whole and have not ended."""
        return self._windows.whole

    def turn(self) -> None:
        """Another event: look at the next windows."""
        self._looked = 0
        self._look()

    def push(self, segment: Segment) -> int:
        """Take a segment in; returns the offset at which it begins in its channel."""
        channel = segment.channel
        start = self._windows.length(channel)
        if segment.text:
            account = self.account.channels.get(channel[0].value)
            if account is None:
                account = self.account.channels[channel[0].value] = ChannelAccount()
            account.chars += len(segment.text)
            windows = self._windows.push(channel, segment.text)
            if windows:
                self._submit(windows)
        return start

    def list_items(self, listed: Listed) -> None:
        """What was pushed is an answer that lists items: each is to be judged by itself as well."""
        self.listing = Listing(listed, self.facts)

    def close(self, channel: Channel) -> None:
        self._submit(self._windows.close(channel))

    def close_all(self) -> None:
        self._submit(self._windows.close_all())

    def channels(self) -> list[Channel]:
        """Every channel that has had text, in the order of its first."""
        return self._windows.channels()

    def ripen(self, channel: Channel, chars: int) -> int:
        """Cut windows off a text that is held whole and of which all has come: of so many characters, and how many
        that were."""
        windows = self._windows.ripen(channel, chars)
        self._submit(windows)
        return sum(window.end - window.start for window in windows)

    def flush(self) -> None:
        """Have the text that waits for more scanned as it is, unless its channel's last window is still out."""
        if not self._order:
            self._submit(self._windows.flush())

    def scored(self, ticket: int, results: Sequence[Result]) -> None:
        """The models' answers to a window; late ones change nothing."""
        pending = self._out_now.pop(ticket, None)
        if pending is None:
            return
        if pending.rounds is None:
            pending.results = results
        else:
            pending.rounds.take(results)
            self._next_round(pending, pending.rounds)

    def settle(self, *, enforcing: bool = True) -> Iterator[Window]:
        """Apply the next verdicts, one window at a time, and yield each window that is cleared. Ends at a terminal
        verdict: what that window holds, and all that follows, is not cleared. Without `enforcing` nothing ends."""
        while self._order:
            pending = self._order[0]
            if isinstance(pending, Unread):
                self._order.popleft()
                self.uninspectable(pending.reason)
                if pending.final and not self.terminal:
                    reason = REASONS.get(pending.reason, "policy")
                    self.verdict = Verdict(Action.BLOCK, Action.BLOCK, self.verdict.fired, reason=reason)
                if self.terminal and enforcing:
                    return
                pending.allowed = True
                continue
            if pending.results is None:
                return
            self._order.popleft()
            self._absorb(pending)
            if not self.terminal and (self._learned or not self.decided):
                self.decide()
            if self.terminal and enforcing:
                return
            self._windows.clear(pending.window)
            yield pending.window

    def absorb_all(self) -> bool:
        """Take in what has been answered, without a verdict yet; whether that is everything."""
        while self._order and isinstance(pending := self._order[0], _Pending) and pending.results is not None:
            self._order.popleft()
            self._absorb(pending)
        return not self._order

    def decide(self) -> Verdict:
        """Ask policy again, with all that is known by now."""
        self.decided, self._learned = True, False
        self.verdict = self._policy.decide(self.facts)
        return self.verdict

    def admit(self) -> Verdict:
        """The verdict on a request of which nothing is to be read."""
        self.decided = True
        self.verdict = self._policy.admit(self.facts)
        return self.verdict

    def conclude(self) -> None:
        """Nothing more will be known: the last verdict, of each item of a list by itself too."""
        if self.listing is not None:
            self.facts.items = self.listing.facts
        if self.listing is not None or not self.decided:
            self.decide()

    def uninspectable(self, reason: str) -> Verdict:
        """The text cannot be read, and why; the first reason counts. Policy says what that means."""
        if not self.facts.uninspectable:
            self.facts.uninspectable = self.account.uninspectable = reason
        return self.verdict if self.terminal else self.decide()

    def unread(self, reason: str, *, final: bool = False) -> Unread:
        """Something in the stream cannot be read: policy is asked once everything before it has its verdict."""
        place = Unread(reason, final)
        self._order.append(place)
        return place

    def give_up(self) -> None:
        """No verdict is needed any more."""
        if self._out_now:
            self._out.append(Cancel(list(self._out_now)))
        for pending in self._order:
            if isinstance(pending, _Pending) and pending.window.text:
                spared = pending.rounds.spared if pending.rounds else ()
                for model in self._due(pending.window):
                    checks = self._checks(model.detector)
                    if model in spared:
                        checks.not_due += 1
                    else:
                        checks.skipped += 1
        self._out_now.clear()
        self._order.clear()
        self._unseen.clear()

    def cleared(self, channel: Channel) -> int:
        """Characters of the channel that may go."""
        return self._windows.cleared(channel)

    def coverage(self) -> str:
        """ "full" where every character of every text was scanned by every check that was due, "empty" where there was
        no text, "none" where nothing was scanned or nothing could be read, else "partial"."""
        account = self.account
        chars = sum(channel.chars for channel in account.channels.values())
        scanned = sum(channel.scanned for channel in account.channels.values())
        if account.uninspectable and not scanned:
            return "none"
        if not chars:
            return "empty"
        if not scanned:
            return "none"
        return "full" if scanned == chars and not account.uninspectable else "partial"

    def _due(self, window: Window) -> Sequence[Model]:
        if not self._models:
            return ()
        kind = window.channel[0]
        return [model for model in self._models if not model.kinds or kind in model.kinds]

    def _submit(self, windows: Sequence[Window]) -> None:
        for window in windows:
            self.account.windows += 1
            if window.text:
                pending = _Pending(window)
                self._unseen.append(pending)
            else:
                pending = _Pending(window, results=())
            self._order.append(pending)
        self._look()

    def _look(self) -> None:
        """Have the next windows looked at, and models asked about them."""
        while self._unseen and self._looked < PER_TURN and self._may_ask:
            pending = self._unseen.popleft()
            window, kind = pending.window, pending.window.channel[0]
            due = self._due(window)
            if window.known is not None:
                views: Sequence[str] = (window.text,)
                pending.findings = window.known
                self._looked += 1
            else:
                views = self._policy.views(window.text) if due else ()
                pending.findings = self._policy.find(kind, window.text, views)
                # What nobody looks at takes no time of a turn.
                self._looked += weight(window.text, len(pending.findings.spans)) if due or self._policy.local else 1
                if self._known is not None and window.mark and len(views) < 2:  # other views are text, for models
                    self._known.keep(window.mark, window.tail, pending.findings)
            if not due:
                pending.results = ()
                continue
            # Where what is hidden is plain.
            plain = views[min(1, len(views) - 1)]
            if self._conditions and any(model.sentences for model in due):
                pending.sentences = tuple(sentences(plain, begins=window.start == window.lead, ends=window.last))
            if self._paragraphs or self._turns:
                views = self._beside(window, views, plain)
            if not self._conditions:
                self._ask(pending, views, due)
                continue
            pending.views = views
            scores, features, several = pending.findings.scores, self.facts.features, bool(pending.sentences)
            pending.rounds = Rounds(self._policy, self._direction, due, scores, features, several)
            self._next_round(pending, pending.rounds)

    def _beside(self, window: Window, views: Sequence[str], plain: str) -> Sequence[str]:
        """`views` of a request's window, and what else models read with it."""
        more = paragraphs(plain, begins=window.start == window.lead, ends=window.last) if self._paragraphs else []
        if self._turns and self.facts.features.get("format") not in APART:
            joined = self._turns.join(window.channel, plain)
            more += [joined] if joined else []
        return (*views, *more)

    def _ask(self, pending: _Pending, views: Sequence[str], models: Sequence[Model]) -> None:
        ticket, kind = next(self._tickets), pending.window.channel[0]
        prompt = self._question.text if self._question and any(model.exchange for model in models) else ""
        self._out_now[ticket] = pending
        self._out.append(Classify(ticket, kind, views, models, self._direction, prompt))

    def _next_round(self, pending: _Pending, rounds: Rounds) -> None:
        """Ask the models that are due by what is known now."""
        before = len(rounds.spared)
        for models in rounds.due():
            for texts, asked in (
                (pending.views, [model for model in models if not model.sentences]),
                (pending.sentences, [model for model in models if model.sentences]),
            ):
                if asked:
                    self._ask(pending, texts, asked)
        if len(rounds.spared) > before:
            self._out.append(Spare(rounds.spared[before:]))
        pending.results = rounds.results

    def _checks(self, detector: str) -> Checks:
        checks = self.account.checks.get(detector)
        if checks is None:
            checks = self.account.checks[detector] = Checks()
        return checks

    def _absorb(self, pending: _Pending) -> None:
        window, findings = pending.window, pending.findings
        if not window.text:
            return
        channel, facts = window.channel, self.facts
        clean = bool(self._policy.local) or any(result.asked for result in pending.results or ())
        for detector in self._policy.local:
            self._checks(detector).run += 1
        if self._last.get(channel[0]) is not findings.scores:
            self._last[channel[0]] = findings.scores
            self._learned |= facts.absorb(channel[0], findings.scores)
        for result in pending.results or ():
            if result.failure:
                clean = False
                self._checks(result.detector).failed += 1
                facts.failed.setdefault(result.detector, result.failure)
                self._learned = True
            else:
                checks = self._checks(result.detector)
                if result.asked:
                    checks.run += 1
                else:
                    checks.not_due += 1
                self._learned |= facts.absorb(channel[0], result.scores)
            if result.version:
                self.versions[result.detector] = result.version
        if self.listing is not None:
            self._learned |= self.listing.absorb(channel, findings.scores, pending.results or ())
        self.marks.take(window, findings.spans)
        if clean:
            fresh = window.end - max(window.start, self._scanned.get(channel, 0))
            if fresh > 0:
                self.account.channels[channel[0].value].scanned += fresh
                self._scanned[channel] = window.end

    def _tail(self, text: str) -> int:
        """What must be seen again with what follows: policy's, and what may be the beginning of a placeholder."""
        tail = self._policy.tail(text)
        return self._originals.tail(text, tail) if self._originals else tail
