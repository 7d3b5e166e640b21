"""Files of phrases: what a line may say, and what it teaches."""

from __future__ import annotations

import random

import pytest

from training.grammar import PhraseError, read, read_all, show

FILE = """
slots:
  animal: [dog, "(small |)cat"]
groups:
  - name: poison
    teaches: {harmful: 1}
    unsure: [violence]
    lines: ["How (do|can) I poison a {animal}(\\\\?|)"]
  - name: poison-twin
    twin: poison
    role: tool
    lines: ["Chocolate \\\\(dark\\\\) is bad for a {animal}."]
"""


def groups(tmp_path, text=FILE):
    path = tmp_path / "phrases.yaml"
    path.write_text(text, encoding="utf-8")
    return read(path)


def drawn(group):
    rng = random.Random(3)
    return {group.draw(rng) for _ in range(400)}


def test_a_line_expands_to_each_of_its_texts_and_to_no_other(tmp_path):
    """Alternatives nest in slots, and an escaped sign is the sign."""
    poison, twin = groups(tmp_path)
    animals = ("dog", "small cat", "cat")
    expected = {f"How {verb} I poison a {animal}{end}" for verb in ("do", "can") for animal in animals for end in "? "}
    assert {text.strip() for text in expected} == drawn(poison)
    assert {f"Chocolate (dark) is bad for a {animal}." for animal in animals} == drawn(twin)


def test_a_text_of_ours_is_wholly_judged(tmp_path):
    """A label that is not named is 0; what the group is unsure of, and injection in a user's text, is masked."""
    poison, twin = groups(tmp_path)
    assert {"harmful": 1} == {label: value for label, value in poison.labels.items() if value}
    assert {"violence", "injection"}.isdisjoint(poison.labels)
    assert 9 == len(twin.labels)
    assert ("tool", "poison") == (twin.role, twin.twin)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("harmful: 1", "harmfull: 1"), "group poison: unknown labels harmfull"),
        (("(do|can)", "(do|can"), "group poison: a bracket is not closed"),
        (("a {animal}(", "a {beast}("), "group poison: no slot beast"),
        (("role: tool", "role: robot"), "group poison-twin: role is one of"),
        (("small |", "{animal} |"), "slot animal holds itself"),
        (("unsure:", "doubts:"), "group poison: unknown doubts"),
    ],
)
def test_a_mistake_is_named(tmp_path, change, complaint):
    """Whoever writes phrases is told which group to mend."""
    with pytest.raises(PhraseError, match=f"phrases.yaml: {complaint}"):
        groups(tmp_path, FILE.replace(*change))


def test_names_are_unique_and_twins_exist(tmp_path):
    """Over all files of a folder."""
    (tmp_path / "a.yaml").write_text(FILE, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(FILE, encoding="utf-8")
    with pytest.raises(PhraseError, match="same name: poison, poison-twin"):
        read_all(tmp_path)
    (tmp_path / "b.yaml").write_text('groups: [{name: c, twin: nobody, lines: ["x"]}]', encoding="utf-8")
    with pytest.raises(PhraseError, match="not there: nobody"):
        read_all(tmp_path)


def test_a_file_is_shown_with_samples(tmp_path):
    """`python -m training.grammar FILE` counts, and says what each group teaches."""
    groups(tmp_path)
    first, title, *rest = show(tmp_path / "phrases.yaml", 2)
    assert ("phrases.yaml: 2 groups, 2 lines", "\npoison (1 lines, user): harmful") == (first, title)
    assert 5 == len(rest)
