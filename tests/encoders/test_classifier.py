"""A text's scores are its own, however long it is and whoever shares its batch."""

from __future__ import annotations

import numpy as np
import pytest

from encoders.checkpoint import load
from encoders.classifier import Classifier
from encoders.reading import Reading, Windows
from tests.encoders.tiny import make_base, make_model

pytestmark = pytest.mark.long

LABELS = ("attack", "hate", "toxic")
TEXTS = [b"", b"a", b"what is this", b"\xff\xfe", "日本 🙂".encode(), b"long " * 300, b"x" * 2000, b"a b c " * 9] * 3


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A tiny model of texts."""
    folder = tmp_path_factory.mktemp("model")
    make_model(folder, make_base(folder / "base"), LABELS)
    return Classifier(load(folder))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A tiny model of questions and answers."""
    folder = tmp_path_factory.mktemp("pairs")
    make_model(folder, make_base(folder / "base"), ["unsafe"], Reading(window=64, overlap=8, pair=True))
    return Classifier(load(folder))


def test_a_text_scores_alone_as_in_company(classifier: Classifier) -> None:
    """Batches of any lengths: every row is the row of its text."""
    together = classifier.score(TEXTS)
    assert together.shape == (len(TEXTS), 3)
    assert ((together > 0) & (together < 1)).all()
    alone = np.concatenate([classifier.score([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_long_text_scores_its_largest_window(classifier: Classifier) -> None:
    """Harmless padding around a window cannot take its score away: pieces score as much, or less."""
    words = [f"{letter}{other}" for letter in "abcdefgh" for other in "nopqrstu"]
    whole = " ".join(words * 2).encode()
    windows = classifier._reader.read([whole])
    assert len(windows.ids) > 3
    alone = [Windows([ids], [len(ids)], [0, 1]) for ids in windows.ids]
    scores = [classifier._run(window, [0], len(window.ids[0])) for window in alone]
    np.testing.assert_allclose(classifier.score([whole])[0], np.concatenate(scores).max(axis=0), atol=1e-5)


def test_a_prompt_changes_what_its_answer_scores(pairs: Classifier) -> None:
    """The two are read together, each answer with its own question."""
    prompts = [b"how are you", b"is it black or white", b"", b"long " * 200]
    together = pairs.score([b"yes"] * 4, prompts)
    assert len(np.unique(together.round(6))) == 4
    alone = np.concatenate([pairs.score([b"yes"], [prompt]) for prompt in prompts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
