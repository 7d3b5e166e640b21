"""Who answers for models: whom the command line names, one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeguards_extproc import cli_scorer
from safeguards_extproc.adapters.embedded import EmbeddedScorer
from safeguards_extproc.adapters.triton import TritonScorer
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.policy.load import load

DEMO = Path("policies/demo.yaml")


def test_one_is_named_or_nobody() -> None:
    """Two would be two answers."""
    assert not cli_scorer.one(None, None, local=False)
    assert cli_scorer.one(["a:1"], None, local=False)
    with pytest.raises(ConfigError, match="who is to score"):
        cli_scorer.one(["a:1"], Path("m"), local=False)


async def test_the_one_that_was_named() -> None:
    """A Triton by its address, or the models here; a policy without models needs neither."""
    policy = load(DEMO)
    with cli_scorer.scorer(DEMO, policy, ["127.0.0.1:1"], None, Path("triton_models")) as found:
        assert isinstance(found, TritonScorer)
    with cli_scorer.scorer(DEMO, policy, None, Path("triton_models"), Path("triton_models")) as found:
        assert isinstance(found, EmbeddedScorer)
    plain = Path("policies/minimal.yaml")
    with cli_scorer.scorer(plain, load(plain), None, None, Path("triton_models")) as found:
        assert isinstance(found, TritonScorer)
