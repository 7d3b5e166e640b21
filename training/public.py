"""Turn clones of public repositories into files that `training.data` reads: honest requests, and remarks about people.

    python -m training.public CLONES OUT

CLONES holds teknium1/GPTeacher (MIT) as `GPTeacher`, conversationai/unintended-ml-bias-analysis (Apache-2.0) as
`unintended-ml-bias-analysis` and HannahKirk/Hatemoji (CC BY 4.0) as `Hatemoji`; OUT becomes a `.jsonl.gz`. Neither
clone nor file belongs into this repository.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

TEACHER = {
    "gpteacher-roleplay": "Roleplay/roleplay-simple-deduped-roleplay-instruct.json",
    "gpteacher-code": "Codegen/codegen-instruct.json",
    "gpteacher-tools": "Toolformer/toolformer-similarity-0.6-dataset.json",
}
REMARKS = 400
"""Remarks of a kind and language: tens of thousands differ only in a name."""


def teacher(clone: Path) -> Iterator[dict[str, Any]]:
    """Requests and their answers, all of them honest."""
    for source, file in TEACHER.items():
        for item in json.loads((clone / file).read_text(encoding="utf-8")):
            request = "\n\n".join(part for part in (item["instruction"], item["input"]) if part)
            yield _line(request, "user", {"attack": 0, "harmful": 0}, source)
            if source != "gpteacher-tools":
                yield _line(item["response"], "assistant", {"attack": 0, "harmful": 0}, source)


def remarks(clone: Path, rng: random.Random) -> Iterator[dict[str, Any]]:
    """ "X is a kind Buddhist" and its opposite, in ten languages: naming a group is not what makes a remark toxic."""
    for path in sorted((clone / "sentence_templates").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["phrase"] and row["toxicity"]]
        for toxic in ("toxic", "nontoxic"):
            alike = sorted({row["phrase"] for row in rows if row["toxicity"] == toxic})
            for phrase in rng.sample(alike, min(REMARKS, len(alike))):
                yield _line(phrase, "user", {"toxic": int(toxic == "toxic")}, "identity-templates")


def posts(clone: Path) -> Iterator[dict[str, Any]]:
    """Posts that people wrote to mislead a classifier, each with a twin of the other kind that differs in a word."""
    with (clone / "HatemojiBuild" / "train.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield _line(row["text"], "user", {"hate": int(row["label_gold"])}, "hatemoji-build")


def _line(text: str, role: str, labels: dict[str, int], source: str) -> dict[str, Any]:
    key = f"{source}-{sha256(text.encode()).hexdigest()[:16]}"
    return {"id": key, "text": text, "role": role, "labels": labels, "source": source}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Turn clones of public repositories into training data.")
    parser.add_argument("clones", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    found = [
        *teacher(options.clones / "GPTeacher"),
        *remarks(options.clones / "unintended-ml-bias-analysis", random.Random(5)),  # noqa: S311
        *posts(options.clones / "Hatemoji"),
    ]
    with gzip.open(options.out, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in found)


if __name__ == "__main__":
    main()
