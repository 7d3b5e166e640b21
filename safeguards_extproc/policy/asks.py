"""What a policy asks for, as SQL over a table of facts: decide.py's `judge`, a condition for each thing that fires.

Which of these lead, and what the exchange then comes to, is left to whoever asks; `first` finds the one that leads.
Items of an answer's list are judged one by one, for the first that fires (`first_item`). Reasons that no policy knows
and several limits that were over at once are not judged here: rows of such exchanges are decided by decide.py itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from safeguards_extproc.core.account import Limit, Step
from safeguards_extproc.core.decision import SEVERITY, Action
from safeguards_extproc.core.text import Direction, Kind
from safeguards_extproc.policy.cel import Type
from safeguards_extproc.policy.decide import NOT_NEEDED, Book, Reach, Rule
from safeguards_extproc.policy.sql import NULL, condition, literal

FALSE, TRUE = "FALSE", "TRUE"


class Text(Protocol):
    """Facts of text as SQL: of a direction, of what is in no item of its list, or of an item. What the table has no
    column for is NULL, or FALSE of a BOOLEAN."""

    def heard(self, kind: Kind) -> str:
        """BOOLEAN: whether there was text of this kind; NULL or false where not."""
        ...

    def score(self, kind: Kind, name: str) -> str:
        """DOUBLE: the score "detector.label" of text of this kind."""
        ...

    def feature(self, name: str) -> tuple[str, Type] | None: ...

    def failed(self, detector: str) -> str:
        """VARCHAR: the first reason."""
        ...

    def skipped(self, detector: str) -> str:
        """VARCHAR: the first reason."""
        ...


class Row(Text, Protocol):
    """The columns of a direction's facts."""

    @property
    def uninspectable(self) -> str:
        """VARCHAR, "" where the text could be read."""
        ...

    @property
    def step(self) -> str:
        """VARCHAR: the account's step; "" where none was asked for."""
        ...

    @property
    def restricted(self) -> str:
        """BOOLEAN: whether the account's restriction took hold."""
        ...

    def over(self, limit: str) -> str:
        """BOOLEAN: whether the limit did not allow the exchange."""
        ...

    @property
    def listed(self) -> str:
        """BOOLEAN, never NULL: whether it is an answer that lists items, and text in none was judged by itself."""
        ...

    @property
    def outside(self) -> Text:
        """The text of such an answer that is in no item."""
        ...

    @property
    def item(self) -> Text:
        """An item, within `first_item`."""
        ...

    def first_item(self, code: str) -> str:
        """The first `code`, an expression over an item, that is not NULL, of the items that were judged; else NULL."""
        ...


class Asked(NamedTuple):
    """Something that can fire. `fires` is a BOOLEAN, never NULL. `enforced`: by the policy and by itself. `admission`:
    it is asked for whether or not the exchange is inspected. `true`: it fires because of what is so, not because of
    what is missing or failed. A rule that fires when it is unknown stands here a second time. `item`: it fires for an
    item, and `fires` is an expression over one; of these, the first of the first item for which one fires counts."""

    name: str
    action: Action
    enforced: bool
    category: str
    fires: str
    admission: bool = False
    true: bool = True
    item: bool = False


def asks(book: Book, limits: Sequence[Limit], admits: bool, direction: Direction, row: Row) -> list[Asked]:
    """Everything that can fire in a direction, in the order of `decide.judge`."""
    drops = book.dropping.rules if direction is Direction.RESPONSE else ()
    found: list[Asked] = []
    for rule in book.lanes[direction].rules:
        if rule not in drops:
            found += _rule(book, rule, direction, row)
        else:
            asked = _rule(book, rule, direction, row)
            found += [_blocking(each, f"NOT {row.listed}") for each in asked]
    for rule in drops:
        found += [_blocking(each, row.listed) for each in _rule(book, rule, direction, row.outside)]
    found += _unread(book, row)
    for name, reach in book.detectors.items():
        if action_ := {"block": Action.BLOCK, "flag": Action.ANNOTATE}.get(reach.on_failure):
            found.append(Asked(f"detector:{name}", action_, book.enforced, "", _broken(row, name), true=False))
    if admits and direction is Direction.REQUEST:
        found += _admission(book, limits, row)
    for rule in drops:
        found += [each._replace(item=True) for each in _rule(book, rule, direction, row.item)]
    return [asked for asked in found if asked.fires != FALSE]


def first_item(asked: Sequence[Asked], row: Row, *, enforced: bool) -> str:
    """INTEGER: the place in `asked` of what fires first of all that fires for items; NULL if nothing does."""
    chosen = [(at, each) for at, each in enumerate(asked) if each.item and (each.enforced or not enforced)]
    whens = "".join(f" WHEN {each.fires} THEN {at}" for at, each in chosen)
    return row.first_item(f"CASE{whens} END") if whens else NULL


def first(asked: Sequence[Asked], names: Sequence[str], *, enforced: bool) -> str:
    """INTEGER: the place in `asked` of the first of the most severe that fire, -1 if none does. `names` are their
    conditions, or columns that hold these."""
    chosen = [at for at, each in enumerate(asked) if each.enforced or not enforced]
    chosen.sort(key=lambda at: (-SEVERITY[asked[at].action], at))
    whens = "".join(f" WHEN {names[at]} THEN {at}" for at in chosen)
    return f"CASE{whens} ELSE -1 END" if whens else "-1"


def _rule(book: Book, rule: Rule, direction: Direction, row: Text) -> list[Asked]:
    """What a rule asks for that is true, and that is not."""
    degraded = {name for name, reach in book.detectors.items() if reach.on_failure == "degrade"}
    ask, fires = rule.ask, _fires(book, rule, direction, row, degraded)
    action, enforced = ask.action, book.enforced and ask.enforced
    return [
        Asked(ask.name, action, enforced, ask.category, each, true=true)
        for each, true in zip(fires, (True, False), strict=True)
        if each != FALSE
    ]


def _blocking(asked: Asked, where: str) -> Asked:
    """What a rule that drops asks for where there is no item to drop."""
    return asked._replace(action=Action.BLOCK, fires=f"({where} AND {asked.fires})")


def _fires(book: Book, rule: Rule, direction: Direction, row: Text, degraded: Collection[str]) -> tuple[str, str]:
    """As `decide.fired` has it: whether it is true by what is known; and whether it fires anyway, because what can be
    relied on leaves it unknown."""
    true = condition(rule.expr, direction, lambda name: _view(row, rule, name), row.feature)
    held = FALSE if true in (NULL, FALSE) else TRUE if true == TRUE else f"({true} IS TRUE)"
    if not rule.fires_on_missing or held == TRUE:
        return held, FALSE
    weak = {name for name in rule.scores if name.partition(".")[0] in degraded}

    def relied(name: str) -> str:
        score = _view(row, rule, name)
        if name not in weak or score == NULL:
            return score
        return f"(CASE WHEN {_broken(row, name.partition('.')[0])} THEN NULL ELSE {score} END)"

    sure = condition(rule.expr, direction, relied, row.feature) if weak else true
    if sure in (TRUE, FALSE):
        return held, FALSE
    lacking = _lacking(book, rule, direction, row, {name: relied(name) for name in sorted(rule.scores)})
    return held, lacking if sure == NULL else f"({sure} IS NULL AND {lacking})"


def _view(row: Text, rule: Rule, name: str) -> str:
    """The maximum over the rule's kinds of text."""
    columns = [row.score(kind, name) for kind in Kind if not rule.kinds or kind in rule.kinds]
    there = [column for column in columns if column != NULL]
    return NULL if not there else there[0] if len(there) == 1 else f"greatest({', '.join(there)})"


def _lacking(book: Book, rule: Rule, direction: Direction, row: Text, relied: dict[str, str]) -> str:
    """Whether what an unknown rule lacks makes it fire: `decide.fires_unknown`."""
    if not relied:
        return TRUE
    tests = [
        "(" + " AND ".join("FALSE" if score == NULL else f"{score} IS NOT NULL" for score in relied.values()) + ")"
    ]
    for name, score in relied.items():
        detector = name.partition(".")[0]
        reach = book.detectors[detector]
        due = _due(rule, reach, direction, row)
        if due == FALSE:
            continue
        parts = [due]
        if score != NULL:
            parts.append(f"{score} IS NULL")
        if reach.on_failure != "degrade" and (broken := _broken(row, detector)) != FALSE:
            parts.append(f"NOT {broken}")
        tests.append("(" + " AND ".join(parts) + ")")
    return _or(tests)


def _due(rule: Rule, reach: Reach, direction: Direction, row: Text) -> str:
    """Whether there was text of which the detector owes this rule a score."""
    if direction not in reach.directions:
        return FALSE
    kinds = [
        kind for kind in Kind if (not rule.kinds or kind in rule.kinds) and (not reach.kinds or kind in reach.kinds)
    ]
    return _or([f"{heard} IS TRUE" for kind in kinds if (heard := row.heard(kind)) not in (NULL, FALSE)])


def _broken(row: Text, detector: str) -> str:
    """Whether a detector gave no answer somewhere."""
    tests = []
    if (failed := row.failed(detector)) != NULL:
        tests.append(f"{failed} IS NOT NULL")
    if (skipped := row.skipped(detector)) != NULL:
        tests.append(f"coalesce({skipped}, '{NOT_NEEDED}') <> '{NOT_NEEDED}'")
    return _or(tests)


def _unread(book: Book, row: Row) -> Iterable[Asked]:
    """What a body that cannot be read means, by the reason."""
    why = row.uninspectable
    for reason, mode in book.uninspectable.items():
        action = {"block": Action.BLOCK, "flag": Action.ANNOTATE}.get(mode)
        if action is not None:
            yield Asked(
                f"uninspectable:{reason}", action, book.enforced, "", f"({why} = {literal(reason)})", true=False
            )


def _admission(book: Book, limits: Sequence[Limit], row: Row) -> Iterable[Asked]:
    """What the account's standing asks for, and each limit that was over."""
    for step in (Step.SUSPENDED, Step.BANNED):
        name = f"account:{step.value}"
        fires = f"({row.step} = {literal(step.value)})"
        yield Asked(name, Action.SUSPEND, book.enforced, "", fires, admission=True)
    restricted = f"({row.step} = {literal(Step.RESTRICTED.value)} AND {row.restricted})"
    yield Asked("account:restricted", Action.BLOCK, book.enforced, "account", restricted, admission=True)
    for limit in limits:
        enforced = book.enforced and limit.enforced
        yield Asked(f"limit:{limit.name}", Action.THROTTLE, enforced, "", row.over(limit.name), admission=True)


def _or(tests: Sequence[str]) -> str:
    left = [test for test in tests if test != FALSE]
    return FALSE if not left else left[0] if len(left) == 1 else f"({' OR '.join(left)})"
