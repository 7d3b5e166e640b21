"""Writes MODEL_CARD.md of `guard` and `exchange` from their manifests: every figure is one of `training.judge`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MEANING = {
    "attack": "a jailbreak, or an instruction to the model to break, ignore, replace or reveal its rules",
    "injection": "a document or tool result that holds an instruction for the model; read it on nothing else",
    "harmful": "asks for help that does harm",
    "hate": "attacks people for a protected trait",
    "toxic": "insults, harasses or abuses somebody",
    "sexist": "derogatory to women",
    "sexual": "sexually explicit, or asks for it",
    "violence": "threatens, incites, glorifies or graphically shows violence against people",
    "self_harm": "suicide, self-injury, eating disorders: intent, plans, encouragement, methods",
    "unsafe": "an answer that should not be given to that question",
}
COMMANDS = {
    "guard": "python -m training.guard DATA_DIR --also PUBLIC.jsonl.gz",
    "exchange": "python -m training.exchange DATA_DIR",
}
INTRODUCTION = {
    "guard": "The second stage of a cascade: it reads a text and gives a probability for each label.",
    "exchange": "It reads a question and its answer, or as much of it as there is, and gives one probability.",
}
LIMITS = {
    "guard": """- Mostly English. Twenty other languages are in the training text, thinly; MiniLM knows
  few of their words, so expect much less there.
- Categories are ours. A benchmark that draws its lines elsewhere will disagree, most of all about mild requests.
- It reads at most 512 tokens at a time and takes the largest score over windows: what is spread thinly over a long text
  can stay below every threshold.
- Text in code, in cipher or in look-alike letters: give it the decoded and folded views, as the service does.
- Not for suspending an account or reporting a person by itself.""",
    "exchange": """- What was judged are short conversations of people (diasafety) and pairs of our own. Long, careful
  answers of a language model are rare in both.
- It sees one question, not the conversation before it.
- English only.""",
}


def card(name: str, manifest: Mapping[str, Any]) -> str:
    """The whole text."""
    about, weights = manifest["about"], manifest["weights"]
    labels = table(("label", "meaning"), ((f"`{label}`", MEANING[label]) for label in manifest["labels"]))
    figures = "\n\n".join(_figures(each, rows) for each, rows in about["metrics"].items() if each != "ordinary")
    sources = table(
        ("source", "lines", "licence"),
        ((source, str(told["lines"]), told["licence"]) for source, told in about["sources"].items()),
    )
    return f"""# {name}, revision {weights["sha256"][:12]}

{INTRODUCTION[name]}
MiniLM-L6 (`all-MiniLM-L6-v2`, Apache-2.0, as published) with low-rank adapters and a head of ours:
{weights["bytes"] / 1e6:.1f} MB. This file is written by `training/encoder_card.py` from `{name}/1/manifest.json`.

{labels}

## Quality

Of the development files and of the probe sets in `training/probes`, none of which was fitted to. "Recall" is at the
threshold that 1 in 100 negatives of that set reach. "Over 0.9" counts positives and negatives at that score.

{figures}
{_ordinary(about["metrics"].get("ordinary"))}
## Data

{sources}

No text of these is in this repository. Text of our own is: `training/phrases`. Labels that a source did not judge are
masked; what is presumed in their place stands in `PRESUMED` of `training/data.py`. The probe sets were written by the
same hands as some phrases, though without looking at them, and the phrases were extended after looking at development
figures of trial fits: take the figures for somewhat kind.

## Limits

{LIMITS[name]}

## Make it again

    {COMMANDS[name]}

{about["took_s"] / 60:.0f} minutes on {about["threads"]} threads, beside other work. The manifest names the digests of
the data, the code's revision, the recipe and the version of torch; `training/public.py` makes PUBLIC.jsonl.gz.
"""


def _figures(name: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    head = ("label", "positives / negatives", "ROC-AUC", "AUPRC", "recall at 1 % FPR", "calibration error", "over 0.9")
    return f"**{name}**\n\n" + table(
        head,
        (
            (
                f"`{label}`",
                f"{row['positives']} / {row['negatives']}",
                *(f"{row[each]:.3f}" if each in row else "" for each in _FIGURES),
                f"{row['positives_over']} / {row['negatives_over']}",
            )
            for label, row in rows.items()
        ),
    )


_FIGURES = ("roc_auc", "auprc", "recall_at_1_percent", "calibration_error")


def _ordinary(rows: Mapping[str, Mapping[str, float]] | None) -> str:
    if not rows:
        return ""
    texts = next(iter(rows.values()))["texts"]
    over = ", ".join(f"`{label}` {row['over']}" for label, row in rows.items())
    return f"\nOf {texts} ordinary development texts (requests, code, mathematics, documents) over 0.9: {over}.\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
