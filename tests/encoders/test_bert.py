"""The encoder is the published one: the same states, padded or not, whoever is in the batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from encoders.bert import Config, Encoder, from_published, read_config
from encoders.checkpoint import installed
from encoders.reading import Reader, Reading
from tests.encoders.tiny import CONFIG, published

pytestmark = pytest.mark.long

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))["cases"]


@pytest.fixture(scope="module")
def minilm() -> Encoder:
    """The installed MiniLM."""
    return installed().encoder()


def tiny() -> Encoder:
    torch.manual_seed(3)
    return from_published(CONFIG, published(CONFIG)).eval()


def vectors(encoder: Encoder, texts: list[str]) -> Tensor:
    """The vector of a text, or of a pair."""
    reader = Reader(installed().tokenizer(), Reading(pair=len(texts) == 2))
    windows = reader.read([texts[-1].encode()], [text.encode() for text in texts[:-1]])
    ids = torch.tensor(windows.ids)
    types = (torch.arange(ids.shape[1]) >= windows.seconds[0]).long()[None]
    with torch.inference_mode():
        found: Tensor = encoder(ids, None, types)
    return found[0]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['tokens']} tokens")
def test_states_are_those_of_transformers(minilm: Encoder, case: dict) -> None:
    """Mean, maximum and first state of texts and a pair, tokenised here, to 1e-4."""
    expected = torch.tensor([case["mean"], case["largest"], case["first"]])
    torch.testing.assert_close(vectors(minilm, case["texts"]).view(3, 384)[:, :12], expected, atol=1e-4, rtol=0)


def test_segments_out_of_place_would_be_noticed(minilm: Encoder) -> None:
    """Planted fault: a pair read as one text misses the golden vectors by far."""
    case = GOLDEN[-1]
    with torch.inference_mode():
        windows = Reader(installed().tokenizer(), Reading(pair=True)).read(
            [case["texts"][1].encode()], [case["texts"][0].encode()]
        )
        wrong = minilm(torch.tensor(windows.ids))[0, :12]
    assert (wrong - torch.tensor(case["mean"])).abs().max() > 1e-2


def test_padding_and_company_change_nothing() -> None:
    """A text alone without a mask, and among longer ones with one, has the same vector."""
    encoder = tiny()
    ids = torch.randint(4, 90, (3, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.tensor([[True] * 12, [True] * 7 + [False] * 5, [True] + [False] * 11])
    with torch.inference_mode():
        together = encoder(ids, mask)
        for row, tokens in enumerate((12, 7, 1)):
            alone = encoder(ids[row : row + 1, :tokens])
            torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=0)


def test_weights_of_other_sizes_are_refused() -> None:
    """config.json says one thing, the weights another."""
    with pytest.raises(ValueError, match="those that config"):
        from_published(Config(vocabulary=128, hidden=32, layers=3, heads=4, inner=64), published(CONFIG))


@pytest.mark.parametrize("text", ["[]", "{", '{"model_type": "roberta"}', "{}", " " * 100_000])
def test_a_configuration_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    """Broken, of another architecture, or too large."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError):
        read_config(tmp_path / "config.json")
