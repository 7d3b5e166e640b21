"""How soon campaigns show that hide in a day of honest traffic, and how often honest traffic looks like one.

    python -m bench.campaigns --honest 100000 --days 3 --texts FILE.jsonl.gz

draws everything by seeds and runs it through the detectors as they run in the filter, on the counters in process.
`--texts` takes honest texts from labelled files (docs/evaluation.md) instead of the project's phrases.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.campaign_traffic import ATTACKS, DAY, Ask, Honest, Texts, reworded
from safeguards_extproc.adapters.memory_campaigns import MemoryCounters
from safeguards_extproc.core.account import Admission, Identity, Settlement, Usage
from safeguards_extproc.enforcement.sightings import Sighting
from safeguards_extproc.enforcement.sketch import Sketcher, likeness
from safeguards_extproc.enforcement.watch import Watch
from safeguards_extproc.policy.account_document import CampaignSpec

SPECS = tuple(
    CampaignSpec.model_validate(each)
    for each in (
        {"name": "search", "detect": "near_duplicates", "threshold": 20.0, "window": "1h"},
        {"name": "template", "detect": "template", "threshold": 20.0, "window": "24h"},
        {"name": "velocity", "detect": "velocity", "threshold": 8.0, "window": "1h"},
        {"name": "rotation", "detect": "rotation", "threshold": 12.0, "window": "6h"},
        {"name": "refusals", "detect": "refusals", "threshold": 0.3, "window": "24h"},
        {"name": "probing", "detect": "probing", "threshold": 4.0, "window": "24h"},
    )
)
"""The campaigns of docs/accounts.md."""

TOGETHER = 20
"""Exchanges that settle while a call of the counters is under way."""

BEGIN = 1_800_000_000.0
QUERIES = 1000
SKETCHER = Sketcher(b"a key of the bench")


@dataclass(slots=True)
class Case:
    """Sightings that are of one campaign."""

    campaign: str
    members: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Seen:
    """What came of a day. `alarms` says at which query of an attack which campaign showed; `false` are the cases that
    no attacker is in, `swept` the honest identities that are in a case with attackers; `seconds` is the time that
    detection took, sketches apart."""

    honest: int
    alarms: dict[str, dict[str, int]]
    false: list[Case]
    swept: int
    seconds: float


def settled(number: int, ask: Ask) -> Settlement:
    """An exchange as the filter settles it; it goes by pseudonyms that are not hidden here."""
    names = {"organisation": ask.organisation, "key": ask.key} | ({"end_user": ask.user} if ask.user else {})
    return Settlement(
        Admission(f"record-{number}", Identity(names)),
        Usage(ask.tokens, 100),
        "block" if ask.refused else "allow",
        category=ask.category,
        model="example-model",
        sketch=SKETCHER.sketch(ask.text),
    )


def play(asks: Sequence[Ask], specs: Sequence[CampaignSpec] = SPECS) -> Seen:
    """Run a day through the detectors, in the order of time."""
    ordered = sorted(asks, key=lambda ask: ask.at)
    settlements = [settled(number, ask) for number, ask in enumerate(ordered)]
    of = {settlement.admission.id: ask for settlement, ask in zip(settlements, ordered, strict=True)}
    queries: dict[str, int] = {}
    alarms: dict[str, dict[str, int]] = {}
    cases: list[Case] = []
    swept: set[str] = set()

    async def tell(sightings: Sequence[Sighting]) -> None:
        for each in sightings:
            attack = next((name for one in each.members if (name := of[one.record].attack)), "")
            members = {member.pseudonym for member in each.members}
            if attack:
                alarms.setdefault(attack, {}).setdefault(each.campaign, queries[attack])
                swept.update(one.pseudonym for one in each.members if not of[one.record].attack)
                continue
            one = next((one for one in cases if one.campaign == each.campaign and one.members & members), None)
            if one is None:
                one = Case(each.campaign)
                cases.append(one)
            one.members |= members

    now = [BEGIN]
    watch = Watch(specs, MemoryCounters(), tell, clock=lambda: now[0])

    async def run() -> None:
        for first in range(0, len(ordered), TOGETHER):
            together = ordered[first : first + TOGETHER]
            now[0] = together[-1].at
            for ask in together:
                if ask.attack:
                    queries[ask.attack] = queries.get(ask.attack, 0) + 1
            await watch.observed(settlements[first : first + TOGETHER])

    began = time.perf_counter()
    asyncio.run(run())
    return Seen(sum(not ask.attack for ask in asks), alarms, cases, len(swept), time.perf_counter() - began)


def day(seed: int, honest: int, given: Sequence[str] = (), attacks: Sequence[str] = tuple(ATTACKS)) -> list[Ask]:
    """A day of so much honest traffic, with these attacks of `QUERIES` each in it."""
    rng = random.Random(seed)  # noqa: S311
    texts = Texts(rng, given)
    asks = list(Honest(rng, honest, BEGIN, texts))
    for name in attacks:
        asks += ATTACKS[name](rng, BEGIN + rng.uniform(0.3, 0.6) * DAY * (name != "template"), QUERIES, texts)
    return asks


def given(files: Sequence[Path]) -> list[str]:
    """Texts of users in labelled files and conversations."""
    found: list[str] = []
    for path in files:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                said = row.get("messages") or [{"role": row.get("role", "user"), "content": row.get("text", "")}]
                found += [each["content"] for each in said if each["role"] == "user"]
    return found


def likenesses(seed: int) -> dict[str, float]:
    """How often texts share a band: strangers, and a text with a share of its words changed."""
    rng = random.Random(seed)  # noqa: S311
    texts = Texts(rng)
    pool = [f"{texts.mild()} {texts.mild()}" for _ in range(600)]
    sketches = [SKETCHER.sketch(text) for text in pool]
    pairs = [rng.sample(range(len(pool)), 2) for _ in range(20_000)]
    figures = {"strangers": statistics.fmean(likeness(sketches[a], sketches[b]) > 0 for a, b in pairs)}
    for share in (0.1, 0.3):
        again = [SKETCHER.sketch(reworded(rng, text, share)) for text in pool]
        like = statistics.fmean(likeness(a, b) > 0 for a, b in zip(sketches, again, strict=True))
        figures[f"{share:.0%} of the words changed"] = like
    return figures


def speed() -> float:
    """Microseconds for a sketch of 1 KB: the least of many."""
    text, least = (30 * "a line of words that are not all alike, ")[:1024], 1.0
    for _ in range(2000):
        began = time.perf_counter()
        SKETCHER.sketch(text)
        least = min(least, time.perf_counter() - began)
    return least * 1e6


def measure(honest: int, days: int, files: Sequence[Path] = (), console: Console | None = None) -> dict[str, Any]:
    """Play so many days, and print what was seen."""
    console = console or Console(width=120)
    texts = given(files)
    seen = [play(day(seed, honest, texts)) for seed in range(days)]
    table = Table("attack", f"days of {days}", "median query", "worst", "all that showed, at which query")
    table.title = f"{QUERIES} queries of each attack within {honest:,} honest exchanges a day"
    figures: dict[str, Any] = {"attacks": {}}
    for name in ATTACKS:
        alarms = [one.alarms[name] for one in seen if name in one.alarms]
        first = [min(each.values()) for each in alarms]
        by = {campaign: [each[campaign] for each in alarms if campaign in each] for each in alarms for campaign in each}
        medians = sorted((statistics.median(queries), campaign) for campaign, queries in by.items())
        figures["attacks"][name] = {"found": len(first), "first": first, "by": {one: query for query, one in medians}}
        told = ", ".join(f"{campaign} {query:.0f}" for query, campaign in medians)
        middle, worst = (f"{statistics.median(first):.0f}", f"{max(first)}") if first else ("", "")
        table.add_row(name, f"{len(first)}", middle, worst, told)
    console.print(table)
    false = [case.campaign for one in seen for case in one.false]
    exchanges, seconds, swept = (
        sum(each) for each in zip(*((one.honest, one.seconds, one.swept) for one in seen), strict=True)
    )
    figures |= {"honest": exchanges, "false_alarms": len(false), "swept": swept}
    figures |= {"likeness": likenesses(1), "sketch_us": speed()}
    console.print(f"{len(false)} false alarms in {exchanges:,} honest exchanges {', '.join(false)}")
    console.print(f"{swept} honest identities in a case with attackers")
    every = exchanges + days * QUERIES * len(ATTACKS)
    console.print(f"{seconds / every * 1e6:.0f} µs an exchange to detect, {figures['sketch_us']:.0f} µs a KB to sketch")
    for what, share in figures["likeness"].items():
        console.print(f"share a band: {what} {share:.4f}")
    return figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.campaigns", description=__doc__)
    parser.add_argument("--honest", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--texts", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    measure(options.honest, options.days, options.texts)


if __name__ == "__main__":
    main()
