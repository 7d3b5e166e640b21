"""Pairs of our own: whether an answer is safe hangs on the question."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from training.exchange import LONGEST_PROMPT, LONGEST_REPLY, REPLIES, invented, pairs
from training.grammar import Group, read

QUESTIONS = """
groups:
  - {name: bad, teaches: {harmful: 1}, lines: ["how to do HARM"]}
  - {name: good, lines: ["how to do GOOD"]}
  - {name: post, teaches: {hate: 1}, lines: ["a POST"]}
"""


def questions(tmp_path: Path) -> list[Group]:
    path = tmp_path / "questions.yaml"
    path.write_text(QUESTIONS, encoding="utf-8")
    return read(path)


def test_consent_is_unsafe_behind_a_harmful_question_only(tmp_path: Path) -> None:
    """The same replies stand on both sides, so only the pair tells."""
    made = invented(questions(tmp_path), [("a real QUESTION", "a real answer")], 600, 1)
    assert made == invented(questions(tmp_path), [("a real QUESTION", "a real answer")], 600, 1)
    sides = {
        name: {text[1]: labels["unsafe"] for text, labels in made if name in text[0].upper()}
        for name in ("HARM", "GOOD")
    }
    complied = {group.name: group for group in read(REPLIES)}["complies"]
    assert complied
    both = sides["HARM"].keys() & sides["GOOD"].keys()
    assert {0, 1} == set(sides["HARM"].values()) == set(sides["GOOD"].values())
    assert all(sides["HARM"][reply] >= sides["GOOD"][reply] for reply in both)
    real = [labels["unsafe"] for text, labels in made if text[0] == "a real QUESTION"]
    assert {0} == set(real)


def test_pairs_fit_the_model(tmp_path: Path) -> None:
    """A long question keeps its end, and an answer may be cut as in a stream."""
    long = [("q" * 5000, "an answer. " * 500)]
    made = [text for text, _ in invented(questions(tmp_path), long, 300, 2) if text[0].startswith("q")]
    assert {LONGEST_PROMPT} == {len(text[0]) for text in made}
    assert LONGEST_REPLY == max(len(text[1]) for text in made) > min(len(text[1]) for text in made)


def test_the_judged_exchanges_are_read(tmp_path: Path) -> None:
    """With their keys, so that a part can be held out."""
    line = {"id": "a", "prompt": "p", "response": "r", "labels": {"unsafe": 1}, "source": "diasafety"}
    with gzip.open(tmp_path / "exchanges_train.jsonl.gz", "wt", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")
    assert [("a", (("p", "r"), {"unsafe": 1}))] == pairs(tmp_path, "train")
