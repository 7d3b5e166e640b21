"""The policies of these tests: the demo's own, with more time for its model, and what the demo has no need of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safeguards_extproc.policy.source import read

ROOT = Path(__file__).parents[2]

BUDGET_MS = 8_000
"""Time for the model: the machine may be busy with everything else."""

CAREFUL = ("x-model-tier", "careful")
"""The header by which a rule sends a request elsewhere."""

Rules = dict[str, Any]


def demo() -> Rules:
    """policies/demo.yaml with a model that may take its time."""
    path = ROOT / "policies" / "demo.yaml"
    document: Rules = read(path.read_text(), str(path)).data
    document["detectors"]["screen"]["budget_ms"] = BUDGET_MS
    return document


def full() -> Rules:
    """Every action, gate hold and release window.

    The API at /garden/search is declared; plants that are poisonous are dropped. On answer.test a refusal is a
    successful answer that says no. On patient.test a slow stream's first event waits for the first text as long as it
    takes, so that the status can still say no.
    """
    document = demo()
    document["detectors"]["marks"] = {
        "kind": "patterns",
        "lists": {
            "careful": {"keywords": ["wisteria"]},
            "ticket": {"regex": ["TICKET-[0-9]+"]},
            "topic": {"keywords": ["marigold"]},
            "poison": {"keywords": ["nightshade"]},
        },
    }
    document["rules"] += [
        {
            "name": "careful-model",
            "when": "scores.marks.careful > 0",
            "on": "request",
            "then": "reroute",
            "headers": dict([CAREFUL]),
        },
        {"name": "poison", "when": "scores.marks.poison > 0", "on": "response", "then": "drop", "category": "poison"},
        {
            "name": "ticket",
            "when": "scores.marks.ticket > 0",
            "then": "redact",
            "entities": ["ticket"],
            "placeholder": "numbered",
            "restore": True,
        },
        {"name": "topic", "when": "scores.marks.topic > 0", "then": "annotate", "annotations": {"topic": "marigold"}},
    ]
    document["apis"] = [
        {
            "name": "garden_search",
            "match": {"paths": ["/garden/search"]},
            "request": {"texts": ["$.query"]},
            "response": {
                "texts": ["$.summary"],
                "items": {"path": "$.plants", "id": "@.id", "texts": ["@.name", "@.about"], "count": ["$.total"]},
            },
        }
    ]
    document["routes"][:0] = [
        {"name": "answer", "match": {"hosts": ["answer.test"]}, "refuse_as": "answer"},
        {"name": "patient", "match": {"hosts": ["patient.test"]}, "window": {"flush_ms": 20_000}},
    ]
    return document


def gates() -> Rules:
    """Rules that change nothing of a body, so that every gate and release can be had: by host."""
    document = demo()
    wanted = {"jailbreak", "secrets", "codename"}
    document["rules"] = [rule for rule in document["rules"] if rule["name"] in wanted]
    document["examples"] = []
    document["routes"] = [
        {"name": "overlap", "match": {"hosts": ["overlap.test"]}, "gate": "overlap"},
        {"name": "unseen", "match": {"hosts": ["unseen.test"]}, "gate": "observe"},
        {"name": "follow", "match": {"hosts": ["follow.test"]}, "release": "follow"},
        {"name": "watch", "match": {"hosts": ["watch.test"]}, "release": "observe"},
        {"name": "default"},
    ]
    return document


def words(*forbidden: str, screen: str = "") -> Rules:
    """A small policy: these words end an answer. With `screen` the model is asked too, and that is its on_failure."""
    document: Rules = {
        "version": 1,
        "name": "words",
        "detectors": {"lists": {"kind": "patterns", "lists": {"forbidden": {"keywords": list(forbidden)}}}},
        "rules": [{"name": "forbidden", "when": "scores.lists.forbidden > 0", "on": "response", "then": "block"}],
    }
    if screen:
        asked = demo()["detectors"]["screen"]
        document["detectors"]["screen"] = asked | {"on_failure": screen}
        document["rules"].append(
            {"name": "attack", "when": "scores.screen.attack >= 0.9", "on": "request", "then": "block"}
        )
    return document


def write(path: Path, document: Rules) -> Path:
    """Put a policy (as JSON, which YAML takes) where a filter reads it, at once: a reader sees the old or the new."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document, indent=1))
    part.rename(path)
    return path
