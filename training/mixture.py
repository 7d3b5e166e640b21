"""What one pass of training reads: corpora and text of our own, cut, joined and hidden in documents, drawn with a seed.

Habits of the sources would otherwise be learned in place of the task. Attacks are long and the rest is short: long
texts are cut at random and short ones joined to harmless ones, where the labels of the whole follow from its parts'.
Injected instructions stand alone in the data: here they are hidden in documents, as in life. A few sources are large
and narrow: no more of them is drawn than `AT_MOST`. Every text, whatever it teaches, is typed in the same few styles.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from training.data import DOCUMENTS, LABELS, ORDINARY, TWEETS, Example, share
from training.grammar import Group
from training.styles import styled

Drawn = tuple[str, Mapping[str, int]]

LONGEST = 1200
"""Characters: the largest window of a request."""

HELD = 0.08
"""The share of lines of ours, and of corpora, that is never fitted to: calibration is found on it."""

INJECTED = 1500
NOTHING = 60
AT_MOST = {
    TWEETS: 4500,
    "edos": 3500,
    "gsm8k": 500,
    "harmfulqa": 1100,
    "garak-phrasing": 400,
    "gpteacher-code": 1800,
    "gpteacher-tools": 500,
    "gpteacher-roleplay": 2200,
    "identity-templates": 1500,
    "dialogue": 900,
    "hatemoji-build": 2600,
}
REPEAT = {"ailuminate": 2, "inthewild-jailbreak": 2, "garak-dan": 2, "surge-toxicity": 2, "purplellama-interpreter": 2}
CLEAN = {name: 0 for name in LABELS if name not in {"injection", "unsafe"}}


@dataclass(frozen=True, slots=True)
class Mixture:
    """What there is to draw from. `ours` is how many texts of our own a pass has; those of groups that teach something
    bad, of which there are fewer, are drawn `bad` times as often, their harmless twins `twins` times."""

    examples: Sequence[Example]
    groups: Sequence[Group] = field(repr=False)
    ours: int = 40_000
    bad: float = 1.6
    twins: float = 1.0

    def epoch(self, seed: int) -> list[Drawn]:
        """Texts with their labels, shuffled. The same seed gives the same list."""
        rng = random.Random(seed)  # noqa: S311
        by_source: dict[str, list[Example]] = defaultdict(list)
        for example in self.examples:
            by_source[example.source].append(example)
        honest = [example.text for source in sorted(ORDINARY - DOCUMENTS) for example in by_source[source]]
        honest += [text for text, labels in self.own(rng, len(honest) or 100) if not any(labels.values())]
        drawn: list[Drawn] = []
        for source in sorted(by_source):
            drawn += [(example.text, example.taught) for example in _draw(by_source[source], source, rng)]
        drawn += self.own(rng, self.ours)
        drawn = [_varied(text, labels, honest, rng) for text, labels in drawn]
        drawn += _injected(by_source, honest, rng)
        drawn += [("", CLEAN | {"injection": 0})] * NOTHING
        rng.shuffle(drawn)
        return drawn

    def own(self, rng: random.Random, count: int) -> list[Drawn]:
        """Texts of our own; a line of a large group is drawn less often than one of a small group, but not by much."""
        fitted = [(group, lines) for group in self.groups if (lines := fit_lines(group))]
        weights = [group.weight * len(lines) ** 0.75 * self._favour(group) for group, lines in fitted]
        chosen = rng.choices(fitted, weights, k=count) if fitted else []
        return [(group.draw(rng, rng.choice(lines)), group.labels) for group, lines in chosen]

    def _favour(self, group: Group) -> float:
        return self.twins if group.twin else self.bad if any(group.labels.values()) else 1.0


def fit_lines(group: Group) -> list[int]:
    """The lines of a group that are fitted to."""
    return [number for number, line in enumerate(group.lines) if not held_line(group, line)]


def held_line(group: Group, line: str) -> bool:
    """Whether a line is kept for calibration; a group of few lines keeps none back."""
    return len(group.lines) >= 6 and share(f"{group.name}:{line}") < HELD


def held_out(groups: Iterable[Group], each: int, seed: int) -> list[Drawn]:
    """Texts of the lines that are never fitted to, `each` of each line."""
    rng = random.Random(seed)  # noqa: S311
    return [
        (styled(group.draw(rng, number), rng), group.labels)
        for group in groups
        for number, line in enumerate(group.lines)
        if held_line(group, line)
        for _ in range(each)
    ]


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
    if source == TWEETS:  # four in five are profanity: each kind is drawn alike
        kinds: dict[tuple[int, int], list[Example]] = defaultdict(list)
        for example in examples:
            kinds[example.labels.get("hate", 0), example.labels.get("toxic", 0)].append(example)
        each = AT_MOST[source] // len(kinds)
        return [one for kind in sorted(kinds) for one in rng.sample(kinds[kind], min(len(kinds[kind]), each))]
    return rng.sample(examples, min(len(examples), AT_MOST.get(source, len(examples)))) * REPEAT.get(source, 1)


def _varied(text: str, labels: Mapping[str, int], honest: Sequence[str], rng: random.Random) -> Drawn:
    text = styled(_cut(text, rng), rng)
    if not honest or rng.random() > 0.12:
        return text, labels
    other = _cut(rng.choice(honest), rng)[: max(60, LONGEST - len(text))]
    first, second = (text, other) if rng.random() < 0.5 else (other, text)
    return f"{first}{rng.choice((' ', chr(10), chr(10) * 2))}{second}"[:LONGEST], together(labels, CLEAN)


def _injected(by_source: Mapping[str, Sequence[Example]], honest: Sequence[str], rng: random.Random) -> list[Drawn]:
    """Documents of the corpora with and without an instruction that does not belong there, as many of each."""
    hosts = [example.text for source in sorted(DOCUMENTS) for example in by_source.get(source, ())]
    hosts += [example.text for example in by_source.get("dialogue", ())]
    payloads = [example.text for example in by_source.get("bipia-attack", ())]
    if not hosts or not payloads:
        return []
    found: list[Drawn] = []
    for _ in range(INJECTED):
        payload = rng.choice(payloads) if rng.random() < 0.75 or not honest else rng.choice(honest)[:300]
        found.append((hide(_cut(rng.choice(hosts), rng), payload, rng), {"injection": 1}))
        found.append((_cut(rng.choice(hosts), rng), {"injection": 0}))
    return found


def _cut(text: str, rng: random.Random) -> str:
    """The text, or a stretch of it: most are short, so that a pass does not take hours."""
    longest = rng.choice((160, 300, 300, 500, LONGEST))
    if len(text) <= longest:
        return text
    start = rng.choice((0, rng.randint(0, len(text) - longest), len(text) - longest))
    return text[start : start + longest]
