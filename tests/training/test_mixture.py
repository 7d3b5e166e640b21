"""What one pass reads: labels follow the text when it is cut, joined or hidden."""

from __future__ import annotations

import random
from pathlib import Path

from training.data import LABELS, Example
from training.grammar import Group, read
from training.mixture import LONGEST, Mixture, fit_lines, held_line, held_out, hide, together

PHRASES = """
groups:
  - {name: rude, teaches: {toxic: 1}, unsure: [hate], lines: [rude 0, rude 1, rude 2, rude 3, rude 4, rude 5, rude 6]}
  - {name: kind, twin: rude, lines: ["kind one", "kind two"]}
"""


def groups(tmp_path: Path) -> list[Group]:
    """Phrases of our own, bad and good."""
    path = tmp_path / "phrases.yaml"
    path.write_text(PHRASES, encoding="utf-8")
    return read(path)


def mixture(groups: list[Group]) -> Mixture:
    """Every kind of source, small."""
    rows = [
        ("davidson-tweets", "clean tweet", {"hate": 0, "toxic": 0}),
        ("davidson-tweets", "rude tweet", {"hate": 0, "toxic": 1}),
        ("gsm8k", "how many apples are left?", {"attack": 0, "harmful": 0}),
        ("ailuminate", "how to do harm", {"harmful": 1}),
        ("inthewild-jailbreak", "an attack " * 400, {"attack": 1}),
        ("bipia-email", "Dear all. The meeting is at three. Bye.", {"attack": 0, "harmful": 0, "injection": 0}),
        ("bipia-attack", "PAYLOAD", {"injection": 1}),
    ]
    examples = [Example(text, labels, source, str(number)) for number, (source, text, labels) in enumerate(rows)]
    return Mixture(examples, groups, 300)


def test_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    """Training can be repeated, and every pass differs."""
    first, again, other = (mixture(groups(tmp_path)).epoch(seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_what_is_drawn_fits_the_model(tmp_path: Path) -> None:
    """Nothing is much longer than a window, and every label is known and 0 or 1."""
    drawn = mixture(groups(tmp_path)).epoch(1)
    assert max(len(text) for text, _ in drawn) <= LONGEST + 60
    taught = {(name, value) for _, labels in drawn for name, value in labels.items()}
    wanted = {(name, value) for name in LABELS for value in (0, 1)}
    assert taught <= wanted
    assert {(name, 1) for name in ("attack", "harmful", "toxic", "injection")} <= taught


def test_an_injection_is_in_its_document_and_nowhere_else(tmp_path: Path) -> None:
    """A document that is taught as clean holds no payload."""
    with_it = [labels["injection"] for text, labels in mixture(groups(tmp_path)).epoch(1) if "PAYLOAD" in text]
    assert len(with_it) > 100
    assert {1} == set(with_it)


def test_lines_that_are_held_out_are_never_fitted_to(tmp_path: Path) -> None:
    """Calibration is found on lines that no pass draws; a group of few lines keeps none back."""
    rude, kind = groups(tmp_path)
    kept_back = [line for line in rude.lines if held_line(rude, line)]
    assert len(rude.lines) - len(kept_back) == len(fit_lines(rude))
    assert [0, 1] == fit_lines(kind)
    drawn = {text for text, _ in Mixture([], [rude, kind]).own(random.Random(1), 500)}
    assert drawn == {*rude.lines, *kind.lines} - {*kept_back}
    assert len(held_out([rude, kind], 3, seed=1)) == 3 * len(kept_back)


def test_what_a_group_is_unsure_of_is_not_taught(tmp_path: Path) -> None:
    """Neither by itself nor joined to something harmless."""
    drawn = Mixture([], groups(tmp_path), 400).epoch(3)
    rude = [labels for text, labels in drawn if "rude" in text.casefold()]
    assert len(rude) > 100
    assert all("hate" not in labels and labels.get("toxic") == 1 for labels in rude)


def test_tweets_of_each_kind_are_drawn_alike() -> None:
    """Rude tweets without hatred are most of the source: without them every rude text would look hateful."""
    kinds = [{"hate": 1, "toxic": 1}, {"hate": 0, "toxic": 1}, {"hate": 0, "toxic": 0}]
    sizes = (2000, 9000, 3000)
    examples = [
        Example(f"tweet {kind} {n}", labels, "davidson-tweets", f"{kind}.{n}")
        for kind, (labels, size) in enumerate(zip(kinds, sizes, strict=True))
        for n in range(size)
    ]
    drawn = [labels for text, labels in Mixture(examples, [], 0).epoch(1) if text]
    counts = [sum(labels.items() >= kind.items() for labels in drawn) for kind in kinds]
    assert [1500, 1500, 1500] == counts


def test_hiding_keeps_the_payload_whole() -> None:
    """Wherever it lands, and however long the document is."""
    for seed in range(200):
        hidden = hide("A sentence. " * 200, "PAYLOAD", random.Random(seed))
        assert "PAYLOAD" in hidden
        assert len(hidden) <= LONGEST


def test_labels_of_two_texts_together() -> None:
    """One bad part makes the whole bad; good only if both are known to be."""
    first, second = {"attack": 1, "harmful": 0, "hate": 0, "toxic": 0}, {"attack": 0, "harmful": 0, "hate": 1}
    assert together(first, second) == {"attack": 1, "harmful": 0, "hate": 1}
    assert together(first, second) == together(second, first)
