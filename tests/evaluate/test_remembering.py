"""A scorer that is asked about the same text once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from safeguards_extproc.core.decision import Model, Result
from safeguards_extproc.evaluate.remembering import Remembering
from tests.evaluate.stand import Words

SCREEN, GUARD = Model("screen", "screen", 100), Model("guard", "screen", 100)


class Counting(Words):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, tuple[str, ...], str]] = []

    async def score(self, model: Model, texts: Sequence[str], prompt: str = "") -> Result:
        """As `Words`."""
        self.heard.append((model.detector, tuple(texts), prompt))
        return await super().score(model, texts, prompt)


async def test_what_is_said_of_several_views_is_what_the_scorer_says_itself() -> None:
    """The largest of each label, and whose answer it is."""
    for views in (["soup"], ["soup", "odd soup"], ["an odd bomb", "soup", "soup"]):
        assert await Words().score(SCREEN, views) == await Remembering(Words()).score(SCREEN, views)


async def test_a_text_is_asked_about_once() -> None:
    """Also by those who ask before the answer is there; another model and another question are asked anew."""
    words = Counting()
    remembering = Remembering(words)
    await asyncio.gather(*(remembering.score(SCREEN, ["soup", "bomb"]) for _ in range(3)))
    await remembering.score(SCREEN, ["bomb"])
    assert [("screen", ("soup",), ""), ("screen", ("bomb",), "")] == words.heard
    assert (2, 5) == (remembering.asked, remembering.remembered)
    await remembering.score(GUARD, ["bomb"])
    await remembering.score(SCREEN, ["bomb"], "why?")
    assert [("guard", ("bomb",), ""), ("screen", ("bomb",), "why?")] == words.heard[2:]


async def test_a_failure_is_not_remembered() -> None:
    """The next one asks again; a view without an answer leaves the window without one."""
    words = Counting()
    remembering = Remembering(words)
    assert "timeout" == (await remembering.score(SCREEN, ["soup", "broken"])).failure
    assert "timeout" == (await remembering.score(SCREEN, ["broken"])).failure
    assert 2 == sum("broken" in texts for _, texts, _ in words.heard)


async def test_so_much_is_remembered() -> None:
    """The oldest goes."""
    words = Counting()
    remembering = Remembering(words, most=2)
    for text in ("one", "two", "three", "three", "two", "one"):
        await remembering.score(SCREEN, [text])
    assert ["one", "two", "three", "one"] == [texts[0] for _, texts, _ in words.heard]
