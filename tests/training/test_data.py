"""What the data teaches: a label that nobody judged teaches nothing, and no presumption reaches a figure."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from training.data import LABELS, PRESUMED, Example, answers, dialogues, labels, prompts, share


def write(folder: Path, name: str, *rows: dict[str, Any]) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


def test_absent_labels_stay_absent() -> None:
    """What a source did not judge is not 0."""
    assert labels({"harmful": 1}, "ailuminate") == {"harmful": 1}
    assert labels({"attack": 1}, "inthewild-jailbreak") == {"attack": 1}


def test_names_of_the_sources_become_ours() -> None:
    """Offensive and hateful posts are toxic, clean ones are not; a payload is an injection; a host is none."""
    assert labels({"hate": 0, "offensive": 1}, "davidson-tweets") == {"hate": 0, "toxic": 1}
    assert labels({"hate": 1, "offensive": 0}, "davidson-tweets") == {"hate": 1, "toxic": 1}
    assert labels({"hate": 0, "offensive": 0}, "davidson-tweets") == {"hate": 0, "toxic": 0}
    assert labels({"injection_payload": 1}, "bipia-attack") == {"injection": 1}
    assert labels({"attack": 0, "harmful": 0}, "bipia-email") == {"attack": 0, "harmful": 0, "injection": 0}


def test_presumptions_teach_but_never_overrule_a_source() -> None:
    """A source's own label wins; presumptions are in `taught` alone, and never positive."""
    example = Example("text", {"toxic": 1}, "dialogue", "key")
    absent = ("attack", "harmful", "hate", "sexist", "sexual", "violence", "self_harm")
    assert example.taught == {**dict.fromkeys(absent, 0), "toxic": 1}
    assert example.labels == {"toxic": 1}
    assert {0} == {value for presumed in PRESUMED.values() for value in presumed.values()}
    assert set(LABELS) >= {name for presumed in PRESUMED.values() for name in presumed}


def test_reading_files(tmp_path: Path) -> None:
    """Prompts, answers and dialogues come with their labels and keys that say where they are from."""
    write(tmp_path, "dev", {"id": "a", "text": "t", "role": "user", "labels": {"sexist": 1}, "source": "edos"})
    pair = {"id": "b", "prompt": "p", "response": "r", "labels": {"unsafe": 1}, "source": "diasafety"}
    write(tmp_path, "exchanges_dev", pair)
    turns = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    write(tmp_path, "conversations", {"id": "c", "messages": turns, "response": "good", "response_rejected": "bad"})
    assert [Example("t", {"sexist": 1}, "edos", "dev:a")] == prompts(tmp_path, "dev")
    assert [Example("r", {"unsafe": 1}, "diasafety", "answer-dev:b")] == answers(tmp_path, "dev")
    (dialogue,) = dialogues(tmp_path)
    assert (dialogue.turns, dialogue.better, dialogue.worse) == (("one",), "good", "bad")


def test_holding_out_depends_on_the_key_alone() -> None:
    """The same texts are held out in every run, and about as many as asked for."""
    assert share("train:1") == share("train:1")
    assert 0.08 < sum(share(f"train:{number}") < 0.1 for number in range(5000)) / 5000 < 0.12


def test_no_text_in_reprs() -> None:
    """What people wrote does not reach a terminal by accident."""
    assert "secret" not in repr(Example("secret", {}, "edos", "dev:1"))
