"""Training text of our own: files of phrases that expand at random, each group with what it teaches.

    python -m training.grammar FILE.yaml…

prints what each file holds, with samples. In a line `{name}` is one of the slot's values, `(a|b|)` one of the
alternatives, which may nest; a backslash before one of these signs means the sign itself. A text of ours is wholly
judged: a label that a group does not name is 0, unless the group is `unsure` of it, which masks it.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LABELS = ("attack", "injection", "harmful", "hate", "toxic", "sexist", "sexual", "violence", "self_harm")
ROLES = ("user", "tool", "assistant")
FOLDER = Path(__file__).with_name("phrases")
_TOKEN = re.compile(r"\\(.)|\{([\w-]+)\}|([(|)])|([^\\{}(|)]+)|(.)", re.DOTALL)


class PhraseError(ValueError):
    """A file of phrases that cannot be read; says where and why."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Stands for one of the values of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Stands for one of several sequences."""

    ways: tuple[Parts, ...]


Part = str | Slot | Choice
Parts = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that teach the same. `labels` lacks what is masked; `twin` names the group whose harmless side it is."""

    name: str
    labels: Mapping[str, int]
    role: str
    weight: float
    twin: str
    lines: tuple[str, ...] = field(repr=False)
    slots: Mapping[str, tuple[Parts, ...]] = field(repr=False)
    parsed: tuple[Parts, ...] = field(repr=False)

    def draw(self, rng: random.Random, line: int | None = None) -> str:
        """A text of a line, any one unless its index is given."""
        parts = rng.choice(self.parsed) if line is None else self.parsed[line]
        return re.sub(r"[ \t]{2,}", " ", "".join(self._expand(parts, rng))).strip()

    def _expand(self, parts: Parts, rng: random.Random) -> Iterator[str]:
        for part in parts:
            match part:
                case str():
                    yield part
                case Slot(name):
                    yield from self._expand(rng.choice(self.slots[name]), rng)
                case Choice(ways):
                    yield from self._expand(rng.choice(ways), rng)


def parse(line: str, where: str) -> Parts:
    """The parts of a line. PhraseError names `where`."""
    stack: list[list[list[Part]]] = [[[]]]
    for escaped, slot, sign, plain, other in _TOKEN.findall(line):
        if slot:
            stack[-1][-1].append(Slot(slot))
        elif sign == "(":
            stack.append([[]])
        elif sign == "|" and len(stack) > 1:
            stack[-1].append([])
        elif sign == ")" and len(stack) > 1:
            ways = stack.pop()
            stack[-1][-1].append(Choice(tuple(tuple(way) for way in ways)))
        else:
            stack[-1][-1].append(escaped or plain or other or sign)
    if len(stack) > 1:
        raise PhraseError(f"{where}: a bracket is not closed")
    return tuple(stack[0][0])


def read(path: Path) -> list[Group]:
    """The groups of a file. PhraseError says what is wrong with it."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.keys() - {"slots", "groups"}:
        raise PhraseError(f"{path.name}: a file has `slots` and `groups`, nothing else")
    slots = {
        str(name): tuple(parse(str(value), f"{path.name}: slot {name}") for value in values)
        for name, values in (document.get("slots") or {}).items()
    }
    _complete(slots, path.name)
    groups = [_group(each, slots, path.name) for each in document.get("groups") or []]
    for group in groups:
        if missing := {name for parts in group.parsed for name in _names(parts)} - slots.keys():
            raise PhraseError(f"{path.name}: group {group.name}: no slot {', '.join(sorted(missing))}")
    return groups


def _complete(slots: Mapping[str, tuple[Parts, ...]], file: str) -> None:
    """Every slot within a slot is there, and none is within itself."""
    within = {name: {inner for way in ways for inner in _names(way)} for name, ways in slots.items()}
    for name in within:
        seen, found = set[str](), [name]
        while found:
            for inner in within[found.pop()] - seen:
                if inner == name or inner not in slots:
                    what = "holds itself" if inner == name else f"holds {inner}, which is not there"
                    raise PhraseError(f"{file}: slot {name} {what}")
                seen.add(inner)
                found.append(inner)


def read_all(folder: Path = FOLDER) -> list[Group]:
    """Every group of a folder, in the order of file names."""
    groups = [group for path in sorted(folder.glob("*.yaml")) for group in read(path)]
    names = [group.name for group in groups]
    if twice := {name for name in names if names.count(name) > 1}:
        raise PhraseError(f"groups with the same name: {', '.join(sorted(twice))}")
    if orphans := {group.twin for group in groups if group.twin} - set(names):
        raise PhraseError(f"twins of groups that are not there: {', '.join(sorted(orphans))}")
    return groups


def _group(given: Mapping[str, Any], slots: Mapping[str, tuple[Parts, ...]], file: str) -> Group:
    name = str(given.get("name", "?"))
    where = f"{file}: group {name}"
    if unknown := given.keys() - {"name", "teaches", "unsure", "role", "weight", "twin", "lines"}:
        raise PhraseError(f"{where}: unknown {', '.join(sorted(map(str, unknown)))}")
    teaches, unsure = given.get("teaches") or {}, given.get("unsure") or []
    if unknown := {*teaches, *unsure} - set(LABELS):
        raise PhraseError(f"{where}: unknown labels {', '.join(sorted(map(str, unknown)))}")
    role = given.get("role", "user")
    if role not in ROLES:
        raise PhraseError(f"{where}: role is one of {', '.join(ROLES)}")
    lines = tuple(str(line) for line in given.get("lines") or [])
    if not lines:
        raise PhraseError(f"{where}: no lines")
    labels = {label: int(teaches.get(label, 0)) for label in LABELS if label not in unsure or label in teaches}
    if role == "user" and not teaches.get("injection"):
        labels.pop("injection", None)  # user text is full of instructions: nobody judges it by this label
    parsed = tuple(parse(line, where) for line in lines)
    return Group(name, labels, role, float(given.get("weight", 1)), str(given.get("twin") or ""), lines, slots, parsed)


def _names(parts: Parts) -> Iterator[str]:
    for part in parts:
        match part:
            case Slot(name):
                yield name
            case Choice(ways):
                for way in ways:
                    yield from _names(way)
            case _:
                pass


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Check files of phrases, and show samples of each group.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--samples", type=int, default=20)
    options = parser.parse_args()
    for path in options.files:
        sys.stdout.writelines(f"{line}\n" for line in show(path, options.samples))


def show(path: Path, samples: int) -> Iterator[str]:
    """What a file holds, with samples of each group."""
    rng, groups = random.Random(1), read(path)  # noqa: S311
    yield f"{path.name}: {len(groups)} groups, {sum(len(group.lines) for group in groups)} lines"
    for group in groups:
        taught = ", ".join(label for label, value in group.labels.items() if value) or "nothing bad"
        yield f"\n{group.name} ({len(group.lines)} lines, {group.role}): {taught}"
        yield from (f"  {group.draw(rng)}" for _ in range(samples))


if __name__ == "__main__":
    main()
