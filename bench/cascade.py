"""What a cascade adds to a whole request: one caller, one connection, texts of which the first model alone sees some.

Every processor has each text in turn, so many rounds. How many windows of the question and of the answer each model
was asked about is read in the records, so that the table says what was measured and not what was meant.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import rig
from bench.rig import Processor
from bench.upstream import TEXT

TEXTS = {
    "a question": "Which vegetables can I plant next to tomatoes in a small garden?",
    "one that sounds bad": "Explain how pickpockets work a crowd so that my tour group can protect itself.",
    "8 KB of prose": (TEXT + " ") * 39,
}
REQUESTS = 30
MODELS = ("screen", "guard", "documents", "exchange")
console = Console(width=150)


def requests(processors: list[Processor], folder: Path, rounds: int) -> dict[str, Any]:
    """Median milliseconds of a request by processor and text, and the windows that each model read in it."""
    took: dict[tuple[str, str], list[float]] = {}
    windows: dict[tuple[str, str], dict[str, float]] = {}
    for number in range(rounds):
        for processor in processors:
            place = folder / f"cascade-{number}-{processor.name}"
            with rig.running(processor, place) as running:
                for name, text in TEXTS.items():
                    took.setdefault((processor.name, name), []).append(median_ms(running.place, text))
            if processor.argv:
                windows.update({(processor.name, name): each for name, each in escalated(place).items()})
    table = Table("processor", *(f"{name}: p50" for name in TEXTS), *(f"added to {name}" for name in TEXTS))
    table.title = f"a request and its answer, one caller, medians of {rounds} rounds of {REQUESTS}"
    result: dict[str, Any] = {}
    for processor in processors:
        medians = {name: statistics.median(took[processor.name, name]) for name in TEXTS}
        added = {
            name: statistics.median(
                mine - bare
                for mine, bare in zip(took[processor.name, name], took[processors[0].name, name], strict=True)
            )
            for name in TEXTS
        }
        asked = {name: windows.get((processor.name, name), {}) for name in TEXTS}
        result[processor.name] = {"p50_ms": medians, "added_ms": added, "windows": asked}
        cells = [f"{each:.2f} ms" for each in medians.values()] + [f"{each:+.2f} ms" for each in added.values()]
        table.add_row(processor.name, *cells)
    console.print(table)
    for (who_filtered, name), read in windows.items():
        if read:
            told = ", ".join(f"{who} {count:.0f}" for who, count in read.items())
            console.print(f"windows read, {who_filtered}, {name}: {told}")
    return result


def median_ms(place: str, text: str) -> float:
    """Of `REQUESTS` requests on one connection, after two that warm it up. SystemExit if one is refused."""
    body = json.dumps({"model": "bench", "messages": [{"role": "user", "content": text}]})
    host, _, port = place.rpartition(":")
    connection, took = http.client.HTTPConnection(host, int(port), timeout=30), []
    for _ in range(REQUESTS + 2):
        began = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        took.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise SystemExit(f"bench: a harmless request was answered with {answer.status}")
    connection.close()
    return statistics.median(took[2:])


def escalated(folder: Path) -> dict[str, dict[str, float]]:
    """Windows that each model was asked about, of an exchange with each text ("guard of the answer"): the texts come in
    their order, as often each."""
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    each = REQUESTS + 2
    found: dict[str, dict[str, float]] = {}
    for at, name in enumerate(TEXTS):
        read: dict[str, float] = {}
        for record in records[at * each : (at + 1) * each]:
            for phase, what in (("request", "question"), ("response", "answer")):
                for detector, checks in record[phase]["account"]["checks"].items():
                    if checks.get("run") and detector in MODELS:
                        who = f"{detector} of the {what}"
                        read[who] = read.get(who, 0.0) + checks["run"] / each
        found[name] = read
    return found
