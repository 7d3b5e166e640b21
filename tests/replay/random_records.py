"""Random records and random policies, by a seed: what a filter could have written, and much that none ever would."""

from __future__ import annotations

import json
import random
from typing import Any

from safeguards_extproc.core.decision import Action
from safeguards_extproc.core.record import Account, FiredRule, ItemFacts, Items, ItemScores, LimitState, Phase, Record
from safeguards_extproc.policy.cel import CelError, parse
from safeguards_extproc.policy.compile import CompiledPolicy
from safeguards_extproc.policy.load import parse as load
from safeguards_extproc.policy.problems import PolicyError
from tests.policy.random_rules import LEVELS, NAMES, FactsMaker, Rules

KINDS = {"request": ("user", "system", "tool"), "response": ("content", "reasoning", "tool_call")}
ROUTES = ("chat", "raw", "watched")
LIMITS = ("hourly", "daily")
REASONS = ("", "", "", "", "opaque", "malformed", "unread", "a-new-reason")
IN = {"request": ("user", "tool"), "response": ("content", "reasoning"), "any": ("tool_call", "reasoning")}
ON = {"stop": "response", "throttle": "request", "suspend": "request", "drop": "response"}


class Making:
    """Policies and records of one seed. `drops`: rules may drop items; `lists`: the share of answers that list some."""

    def __init__(self, seed: int, *, drops: bool = True, lists: float = 0.1) -> None:
        self._random = random.Random(seed)
        self._rules, self._facts, self._drops = Rules(seed), FactsMaker(seed), drops
        self._number, self._lists = 0, lists

    def policy(self, rules: int = 3) -> CompiledPolicy:
        """One that compiles."""
        while True:
            try:
                return load(json.dumps(self._document(rules)), "random.yaml")
            except PolicyError:
                continue

    def record(self) -> Record:
        self._number += 1
        pick = self._random
        request, response = self._phase("request"), self._phase("response")
        if pick.random() >= self._lists:
            response.items, response.item_facts = Items(), ItemFacts()
        return Record(
            id=f"x{self._number}",
            producer="worker",
            epoch="e1",
            sequence=self._number,
            time=f"2026-01-02T03:04:{self._number % 60:02d}+00:00",
            route=pick.choice((*ROUTES, "gone")),
            gate=pick.choice(("hold", "hold", "observe")),
            release=pick.choice(("window", "window", "follow", "observe")),
            streamed=pick.random() < 0.5,
            outcome=pick.choice(("allow", "pass", "block", "timeout", "stop")),
            rule=pick.choice(("", "r1", "r2")),
            category=pick.choice(("", "harm")),
            request=request,
            response=response,
            identity={kind: f"{kind}-{pick.randrange(4)}" for kind in ("tenant", "key") if pick.random() < 0.5},
            account=pick.choice(("", "good", "restricted", "suspended", "banned")),
            limits=[
                LimitState(name, pick.random() < 0.8, 5, pick.random() < 0.7) for name in LIMITS if pick.random() < 0.4
            ],
            masked=["request.scores"] if pick.random() < 0.02 else [],
        )

    def _phase(self, direction: str) -> Phase:
        pick, scores = self._random, {}
        for kind in KINDS[direction]:
            if pick.random() < 0.5:
                scores[kind] = self._facts.scores()
        action = pick.choice([each.value for each in Action])
        fired = [
            FiredRule(
                pick.choice(("r1", "r2", "limit:hourly", "limit:daily", "account:restricted")),
                pick.choice(("block", "annotate", action)),
                pick.choice(("enforce", "shadow")),
                pick.choice(("true", "missing", "failure")),
            )
            for _ in range(pick.choice((0, 0, 1, 2)))
        ]
        features = {
            name: value for name, value in self._facts.features().items() if name != "format" or pick.random() < 0.1
        }
        return Phase(
            decided=action,
            action=action,
            applied=pick.choice((action, action, "pass", "allow", "timeout")),
            cause=pick.choice(("", "", "observe", "shadow", "phase")),
            fired=fired,
            scores=scores,
            failed={name: "timeout" for name in ("s", "t") if pick.random() < 0.1},
            skipped={name: pick.choice(("cancelled", "busy")) for name in ("s", "t") if pick.random() < 0.1},
            features=features,
            items=Items(listed=3),
            item_facts=self._items(direction, scores),
            account=Account(
                windows=pick.randrange(4),
                frames=pick.randrange(3),
                uninspectable=pick.choice(REASONS),
                coverage=pick.choice(("full", "none", "empty")),
            ),
            headers_ms=1.0,
            ended_ms=2.0,
            decided_ms=pick.choice((-1.0, 3.0, 40.0)),
            first_release_ms=pick.choice((-1.0, 5.0)),
        )

    def _items(self, direction: str, scores: dict[str, dict[str, float]]) -> ItemFacts:
        """Of three items and the text that is in none: whatever may be known, of which the phase has the maxima."""
        pick = self._random
        of = {}
        for kind in (kind for kind in KINDS[direction] if pick.random() < 0.7):
            items = sorted(pick.sample((-1, 0, 1, 2), pick.randrange(1, 5)))
            names = {f"{name}.{label}" for name in "st" for label in "abc" if pick.random() < 0.5}
            numbers = {name: [pick.choice((-1.0, *LEVELS)) for _ in items] for name in sorted(names)}
            of[kind] = ItemScores(items, numbers)
            known = {name: max(each) for name, each in numbers.items() if max(each) >= 0}
            scores[kind] = {name: max(scores.get(kind, {}).get(name, 0.0), score) for name, score in known.items()}
        failed = {name: pick.sample((-1, 0, 1, 2), 2) for name in "st" if pick.random() < 0.2}
        return ItemFacts(pick.choice(("all", "all", "all", "outside", "none", "")), of, failed)

    def _document(self, rules: int) -> dict[str, Any]:
        pick = self._random
        detectors = {
            name: {
                "kind": "classification",
                "model": name,
                "labels": ["a", "b", "c"],
                "on_failure": pick.choice(("block", "allow", "flag", "degrade")),
                "on": pick.choice((["request", "response"], ["request", "response"], ["request"])),
                **({"in": ["content", "user", "reasoning"]} if pick.random() < 0.2 else {}),
            }
            for name in ("s", "t")
        }
        return {
            "version": 1,
            "name": "random",
            "mode": pick.choice(("enforce", "enforce", "enforce", "shadow")),
            "thresholds": dict(NAMES.thresholds),
            "detectors": detectors,
            "rules": [self._rule(number) for number in range(1, rules + 1)],
            "uninspectable": {
                "opaque": pick.choice(("block", "flag", "allow")),
                "unread": pick.choice(("block", "flag")),
            },
            "identity": {"key": [{"header": "x-key", "secret": True}]},
            "limits": [
                {"name": name, "per": ["key"], "rate": "5/1m", "mode": pick.choice(("enforce", "shadow"))}
                for name in LIMITS
                if pick.random() < 0.5
            ],
            "routes": [
                {"name": "raw", "inspect": pick.random() < 0.5, "match": {"paths": ["/raw"]}},
                {"name": "watched", "gate": "observe", "match": {"paths": ["/watched"]}},
                {"name": "chat"},
            ],
        }

    def _rule(self, number: int) -> dict[str, Any]:
        pick = self._random
        actions = [
            "allow",
            "annotate",
            "block",
            "block",
            "stop",
            "throttle",
            "suspend",
            *(["drop"] if self._drops else []),
        ]
        then = pick.choice(actions)
        on = ON.get(then) or pick.choice(("any", "request", "response"))
        return {
            "name": f"r{number}",
            "when": self._when(),
            "on": on,
            "in": list(pick.choice(((), IN[on][:1], IN[on]))),
            "then": then,
            "mode": pick.choice(("enforce", "enforce", "shadow")),
            "on_missing": pick.choice(("ignore", "fire")),
            "category": pick.choice(("", "harm")),
            **({"annotations": {"seen": "yes"}} if then == "annotate" else {}),
        }

    def _when(self) -> str:
        """A condition that can be read; a plain one half of the time, as people write them."""
        while self._random.random() < 0.5:
            text = self._rules.condition()
            try:
                parse(text, NAMES)
            except CelError:
                continue
            return text
        detector, label = self._random.choice("st"), self._random.choice("abc")
        return f"scores.{detector}.{label} >= {self._random.choice(LEVELS)}"
