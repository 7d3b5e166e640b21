"""APIs that a policy declares become wire formats: each path is read here, and what it cannot be is told with its line.

A path within the body begins with `$`, one within an item of its list with `@`; wire.json_paths says what may follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from safeguards_extproc.core.text import Direction, Format, Kind
from safeguards_extproc.policy.checks import KINDS, normal_paths
from safeguards_extproc.policy.document import ApiItems, ApiSpec, Document, TextPath, TextSpec
from safeguards_extproc.policy.problems import Problem
from safeguards_extproc.policy.routes import Matches, matches_all
from safeguards_extproc.policy.source import Path, Source
from safeguards_extproc.wire.declared import Declaration, Declared, Items
from safeguards_extproc.wire.json_paths import Steps, parse, singular
from safeguards_extproc.wire.places import Text

BODY, ITEM = "$", "@"

Place = tuple[str | int, ...]


class Apis:
    """The declared APIs of a policy."""

    def __init__(self, document: Document, formats: Mapping[str, Format]) -> None:
        claims = [(spec.match, formats[spec.name]) for spec in document.apis if spec.match is not None]
        self._formats = formats
        self._claims: Matches[Format | None] | None = Matches(claims, None) if claims else None

    def find(self, name: str, fields: Mapping[str, str]) -> Format | None:
        """The one that a route names, or with "auto" the first that claims the request."""
        if name != "auto":
            return self._formats.get(name)
        if self._claims is None:
            return None
        return self._claims.find(fields.get(":method", ""), fields.get(":authority", ""), fields.get(":path", ""))


def formats(document: Document, source: Source, known: Collection[str], problems: list[Problem]) -> dict[str, Format]:
    """A format for each declared API by its name. What cannot be declared so is added to `problems`."""
    found: dict[str, Format] = {}
    everything = ""
    routed = {route.format for route in document.routes}
    for index, spec in enumerate(document.apis):
        path: Path = ("apis", index)
        if spec.name in known or spec.name == "auto":
            problems.append(source.problem((*path, "name"), f"{spec.name!r} is a format of the filter's own"))
        elif spec.name in found:
            problems.append(source.problem((*path, "name"), f"{spec.name!r} stands twice"))
        if spec.match is None and spec.name not in routed:
            hint = "give it match:, or name it as the format of a route"
            problems.append(source.problem(path, "no request belongs to it", hint))
        if spec.match is not None:
            problems += normal_paths(spec.match, (*path, "match"), source)
            if everything:
                hint = f"{everything!r} before it matches everything"
                problems.append(source.problem((*path, "match"), "never matches", hint))
            elif matches_all(spec.match):
                everything = spec.name
        found[spec.name] = Declared(_Reading(source, path, problems).declaration(spec))
    return found


class _Reading:
    """Reads the paths of one API."""

    def __init__(self, source: Source, path: Path, problems: list[Problem]) -> None:
        self._source, self._path, self._problems = source, path, problems

    def declaration(self, spec: ApiSpec) -> Declaration:
        asked, answered = spec.request, spec.response
        answers: Path = ("response",)
        known = Declaration(
            spec.name,
            asks=self._texts(("request", "texts"), asked.texts, BODY, Direction.REQUEST, Kind.USER),
            ignored_of_asks=self._many(("request", "ignore"), asked.ignore, BODY),
            model=self._place(("request", "model"), asked.model, BODY),
            answers=self._texts((*answers, "texts"), answered.texts, BODY, Direction.RESPONSE, Kind.CONTENT),
            ignored_of_answers=self._many((*answers, "ignore"), answered.ignore, BODY),
            items=self._items((*answers, "items"), answered.items) if answered.items is not None else None,
        )
        if known.items is not None:
            for key, places in (("texts", [text.path for text in known.answers]), ("ignore", known.ignored_of_answers)):
                for index, place in enumerate(places):
                    self._beside(known.items.path, place, (*answers, key, index))
        return known

    def _beside(self, items: Steps, place: Steps, path: Path) -> None:
        """What is declared of the body must not be of the list."""
        if _within(place, items):
            key = path[-2]
            self._wrong(path, "lies in the list of items", f"write it as a path from @ in response.items.{key}")
        elif path[-2] == "texts" and _within(items, place):
            self._wrong(path, "holds the list of items", "name the texts beside it")

    def _items(self, path: Path, spec: ApiItems) -> Items | None:
        place = self._place((*path, "path"), spec.path, BODY)
        items = Items(
            place or (),
            self._place((*path, "id"), spec.id, ITEM),
            self._texts((*path, "texts"), spec.texts, ITEM, Direction.RESPONSE, Kind.CONTENT),
            self._many((*path, "ignore"), spec.ignore, ITEM),
            tuple(self._counts((*path, "count"), spec.count, place)),
        )
        return items if place is not None else None

    def _counts(self, path: Path, counts: Sequence[str], items: Place | None) -> Iterator[Place]:
        for index, text in enumerate(counts):
            place = self._place((*path, index), text, BODY)
            if place is not None and items is not None and _within(place, items):
                self._wrong((*path, index), "lies in the list itself", "a count stands beside the list")
            elif place is not None:
                yield place

    def _texts(
        self, path: Path, specs: Sequence[TextSpec], root: str, direction: Direction, usual: Kind
    ) -> tuple[Text, ...]:
        found: list[Text] = []
        for index, spec in enumerate(specs):
            here: Path = (*path, index)
            text, kind = (spec.path, spec.kind) if isinstance(spec, TextPath) else (spec, usual)
            if kind not in KINDS[direction]:
                self._wrong((*here, "in"), f"a {direction.value} holds no text of kind {kind.value!r}")
            steps = self._steps((*here, "path") if isinstance(spec, TextPath) else here, text, root)
            if steps is None:
                continue
            for other, known in enumerate(found):
                if _within(steps, known.path) or _within(known.path, steps):
                    self._wrong(here, f"is read twice: one of it and texts[{other}] lies within the other")
            found.append(Text(steps, kind))
        return tuple(found)

    def _many(self, path: Path, texts: Sequence[str], root: str) -> tuple[Steps, ...]:
        found = [self._steps((*path, index), text, root) for index, text in enumerate(texts)]
        return tuple(steps for steps in found if steps is not None)

    def _place(self, path: Path, text: str | None, root: str) -> Place | None:
        steps = self._steps(path, text, root) if text is not None else None
        place = singular(steps) if steps is not None else None
        if steps is not None and place is None:
            self._wrong(path, "must name one place", "without [*]")
        return place

    def _steps(self, path: Path, text: str, root: str) -> Steps | None:
        try:
            return parse(text, root)
        except ValueError as error:
            self._wrong(path, str(error))
            return None

    def _wrong(self, path: Path, message: str, hint: str = "") -> None:
        self._problems.append(self._source.problem((*self._path, *path), message, hint))


def _within(place: Steps, around: Steps) -> bool:
    """Whether some value that `place` names stands in, or is, one that `around` names."""
    steps = zip(place, around, strict=False)
    return len(place) >= len(around) and all(one == other or None in (one, other) for one, other in steps)
