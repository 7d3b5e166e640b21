"""Outcomes that outlast the evaluation that they are of."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards_extproc.core.decision import Action
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.evaluate.journal import Journal, program
from safeguards_extproc.evaluate.play import Case, Outcome

WHAT = {"policy": "p", "path": "/", "program": "x"}
SECRET = "the gardener's secret"
CASE, OTHER = Case((("user", SECRET),)), Case((("user", SECRET),), "an answer")


def outcome(version: str = "1@a", errors: tuple[str, ...] = ()) -> Outcome:
    scores = {"screen.attack": 0.30000001192092896}
    return Outcome(Action.BLOCK, Action.BLOCK, ("rule",), scores, errors, {"screen": version}, {"screen": (1, 2)})


def journal(place: Path | None, **other: str) -> Journal:
    return Journal(place, {**WHAT, **other})


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    """Bit for bit; who said more said something else, and no text is in the file."""
    place = tmp_path / "kept.jsonl"
    first = journal(place)
    first.add(CASE, outcome())
    first.close()
    second = journal(place)
    assert (outcome(), None) == (second.get(CASE), second.get(OTHER))
    assert SECRET not in place.read_text()


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    """The next one does not stand behind its rest."""
    place = tmp_path / "kept.jsonl"
    first = journal(place)
    first.add(CASE, outcome())
    first.add(OTHER, outcome())
    first.close()
    place.write_bytes(place.read_bytes()[:-20])
    second = journal(place)
    assert (outcome(), None) == (second.get(CASE), second.get(OTHER))
    second.add(OTHER, outcome())
    second.close()
    assert outcome() == journal(place).get(OTHER)


@pytest.mark.parametrize("changed", ["policy", "path", "program"])
def test_another_evaluation_is_not_mixed_in(tmp_path: Path, changed: str) -> None:
    """Its outcomes say nothing of this one, and stay as they are."""
    place = tmp_path / "kept.jsonl"
    first = journal(place)
    first.add(CASE, outcome())
    first.close()
    before = place.read_bytes()
    with pytest.raises(ConfigError, match="another evaluation"):
        journal(place, **{changed: "other"})
    assert before == place.read_bytes()


def test_other_models_are_told(tmp_path: Path) -> None:
    """A model that was fitted again since is another one; the file keeps what it has."""
    place = tmp_path / "kept.jsonl"
    first = journal(place)
    first.add(CASE, outcome("1@a"))
    first.check()
    first.close()
    second = journal(place)
    second.add(OTHER, outcome("1@b"))
    with pytest.raises(ConfigError, match="screen is another model"):
        second.check()
    second.close()
    assert journal(place).get(OTHER) is None


def test_errors_are_played_again(tmp_path: Path) -> None:
    """A model that was away may be back: only the evaluation that had it knows of it."""
    place = tmp_path / "kept.jsonl"
    first = journal(place)
    first.add(CASE, outcome(errors=("screen: timeout",)))
    assert first.get(CASE) is not None
    first.close()
    assert journal(place).get(CASE) is None


def test_without_a_file_it_is_kept_for_now() -> None:
    """The same words twice are played once."""
    kept = journal(None)
    kept.add(CASE, outcome())
    assert outcome() == kept.get(CASE)
    kept.close()


def test_what_is_no_journal_is_said(tmp_path: Path) -> None:
    """With its line, or why the file cannot be used."""
    place = tmp_path / "kept.jsonl"
    journal(place).close()
    with place.open("a") as file:
        file.write("soup\n")
    with pytest.raises(ConfigError, match=r"kept\.jsonl:2: not a line"):
        journal(place)
    with pytest.raises(ConfigError, match="cannot be used"):
        journal(tmp_path)


def test_half_a_surrogate_pair_is_a_text_too() -> None:
    """JSON can say it, UTF-8 cannot."""
    kept = journal(None)
    kept.add(Case((("user", "\ud83d"),)), outcome())
    assert kept.get(Case((("user", "\ud83d"),))) is not None


def test_the_program_is_told_by_its_source() -> None:
    """The same source, the same digest."""
    assert (64, program()) == (len(program()), program())
