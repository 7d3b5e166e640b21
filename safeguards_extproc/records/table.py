"""Decision records as rows of a table, and back.

The one rule: `to_record` gives back from a row what `table` made of a record. Rows hold every field of the record, as
core/record.py declares it:

- a plain field is the column of its path, `route`, `request.account.bytes_in`: VARCHAR, BIGINT, DOUBLE or BOOLEAN;
- a list or a map of names that rules do not read is a column too: LIST, MAP, with a STRUCT for what has fields;
- what rules read by name has a column for each name that occurs: `request.scores.KIND.DETECTOR.LABEL` (DOUBLE) with
  `request.scores.KIND` (BOOLEAN, true where text of that kind was judged), `request.features.NAME`,
  `request.failed.DETECTOR`, `request.skipped.DETECTOR`; it is NULL where the record says nothing;
- what fits into no column (an unusual name, a feature of another type than most of its name in this table, a number of
  more than 64 bits) is in the map `rest`: from its path to its value, both JSON.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

from safeguards_extproc.core.record import Phase, Record

_DIRECTIONS = ("request", "response")
_OPEN = ("scores", "features", "failed", "skipped")
"""Fields of a phase whose names become columns."""

REST = "rest"

_TYPES: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}(\.[a-z][a-z0-9_]{0,63})?")


def kind_column(direction: str, kind: str) -> str:
    """The column that says whether text of a kind was judged."""
    return f"{direction}.scores.{kind}"


def score_column(direction: str, kind: str, name: str) -> str:
    """The column of the score of "detector.label" for text of a kind."""
    return f"{direction}.scores.{kind}.{name}"


def feature_column(direction: str, name: str) -> str:
    return f"{direction}.features.{name}"


def failed_column(direction: str, detector: str) -> str:
    return f"{direction}.failed.{detector}"


def skipped_column(direction: str, detector: str) -> str:
    return f"{direction}.skipped.{detector}"


def _type(hint: Any) -> pa.DataType:
    """The type of a field that is no message of its own."""
    if hint in _TYPES:
        return _TYPES[hint]
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return pa.struct([(field.name, _type(hints[field.name])) for field in dataclasses.fields(hint)])
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is list:
        return pa.list_(_type(inner[0]))
    return pa.map_(_type(inner[0]), _type(inner[1]))


def _fixed(of: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Column and Python type of every field that each record has, in order."""
    hints = typing.get_type_hints(of)
    for field in dataclasses.fields(of):
        here, hint = (*path, field.name), hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _fixed(hint, here)
        elif of is not Phase or field.name not in _OPEN:
            yield ".".join(here), hint


_HINTS = dict(_fixed(Record))
_REST_TYPE = pa.map_(pa.string(), pa.string())
FIXED = pa.schema([*((name, _type(hint)) for name, hint in _HINTS.items()), (REST, _REST_TYPE)])
"""The columns that every table has, whatever its records say."""

LATER = frozenset(name for name in _HINTS if ".item_facts." in name)
"""Those that files of early versions lack."""

_values: Callable[[Record], tuple[Any, ...]] = attrgetter(*_HINTS)


def _plain(hint: Any) -> Callable[[Any], Any] | None:
    """What turns a field's value into what its column takes; None if it is that already."""
    if dataclasses.is_dataclass(hint):
        hints, names = typing.get_type_hints(hint), [field.name for field in dataclasses.fields(hint)]
        fields, each = attrgetter(*names), [_plain(hints[name]) for name in names]
        if not any(each):
            return fields
        return lambda value: tuple(
            plain(part) if plain else part for plain, part in zip(each, fields(value), strict=True)
        )
    if not typing.get_args(hint):
        return None
    inner = _plain(typing.get_args(hint)[-1])
    if typing.get_origin(hint) is dict:
        return lambda value: [(key, inner(item) if inner else item) for key, item in value.items()]
    return (lambda value: [inner(item) for item in value]) if inner else None


def _back(hint: Any) -> Callable[[Any], Any] | None:
    """What turns a value from a column into a field's, with dicts for maps; None if it is that already."""
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        within = {name: back for name in hints if (back := _back(hints[name]))}
        return (lambda value: value | {name: back(value[name]) for name, back in within.items()}) if within else None
    if not typing.get_args(hint):
        return None
    inner = _back(typing.get_args(hint)[-1])
    if typing.get_origin(hint) is dict:
        return (lambda value: {key: inner(item) for key, item in dict(value).items()}) if inner else dict
    return (lambda value: [inner(item) for item in value]) if inner else None


_BACK = {name: back for name, hint in _HINTS.items() if (back := _back(hint))}
_PLAIN = [(name, _type(hint), _plain(hint)) for name, hint in _HINTS.items()]

Rest = list[list[tuple[str, str]]]


def table(records: Sequence[Record]) -> pa.Table:
    """A row for each record, in order. The same records give the same table."""
    rest: Rest = [[] for _ in records]
    names: list[str] = []
    arrays: list[pa.Array] = []
    columns = zip(*map(_values, records), strict=True) if records else ((),) * len(_PLAIN)
    for (name, type_, plain), values in zip(_PLAIN, columns, strict=True):
        names.append(name)
        arrays.append(_array(name, type_, [plain(value) for value in values] if plain else values, values, rest))
    for name, array in _sparse(records, rest):
        names.append(name)
        arrays.append(array)
    return pa.table([*arrays, pa.array(rest, _REST_TYPE)], names=[*names, REST])


def to_record(row: Mapping[str, Any]) -> Record:
    """The record of a row, as pyarrow's `to_pylist` or DuckDB gives it: by column, None where the table has nothing.
    Columns that are not of a record are passed over. ValueError if the row is none of a record; the message names the
    field, never its content."""
    tree: dict[str, Any] = {}
    for name, value in row.items():
        if value is not None and (path := _path(name)):
            back = _BACK.get(name)
            _put(tree, path, back(value) if back else {} if _is_kind(path) else value)
    for path, value in dict(row.get(REST) or {}).items():
        _put(tree, json.loads(path), json.loads(value))
    try:
        return msgspec.convert(tree, Record)
    except msgspec.ValidationError as error:
        raise ValueError(f"not a decision record: {error}") from None


def _path(name: str) -> list[str]:
    """Where in the record a column's value stands; empty if nowhere."""
    if name in _HINTS:
        return name.split(".")
    match name.split(".", 3):
        case [direction, "scores", kind, of] if direction in _DIRECTIONS:
            return [direction, "scores", kind, of]
        case [direction, field, *_] if direction in _DIRECTIONS and field in _OPEN:
            return name.split(".", 2)
    return []


def _is_kind(path: Sequence[str]) -> bool:
    return len(path) == 3 and path[1] == "scores"


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *above, last = path
    for step in above:
        tree = tree.setdefault(step, {})
    if value != {} or last not in tree:
        tree[last] = value


def _array(name: str, type_: pa.DataType, values: Sequence[Any], raw: Sequence[Any], rest: Rest) -> pa.Array:
    """A column; what its type cannot hold goes into `rest` as it was, `raw`."""
    try:
        return pa.array(values, type_)
    except (OverflowError, UnicodeError, pa.ArrowException):
        kept = [value if _fits(value, type_) else None for value in values]
        for index, value in enumerate(kept):
            if value is None and raw[index] is not None:
                _rest(rest, index, name.split("."), msgspec.to_builtins(raw[index]))
        return pa.array(kept, type_)


def _fits(value: Any, type_: pa.DataType) -> bool:
    try:
        pa.array([value], type_)
    except (OverflowError, UnicodeError, pa.ArrowException):
        return False
    return True


def _rest(rest: Rest, index: int, path: Sequence[str], value: Any) -> None:
    rest[index].append((json.dumps(list(path)), json.dumps(value)))


class _Sparse:
    """The columns whose names records choose."""

    def __init__(self, rows: int, rest: Rest) -> None:
        self._rows, self._rest = rows, rest
        self._columns: dict[tuple[str, ...], list[Any] | None] = {}

    def put(self, index: int, path: tuple[str, ...], value: Any) -> None:
        """A row's value at a path, in its column if the path can name one."""
        try:
            column = self._columns[path]
        except KeyError:
            column = self._columns[path] = [None] * self._rows if _names(path) else None
        if column is None:
            _rest(self._rest, index, path, {} if _is_kind(path) else value)
        else:
            column[index] = value

    def arrays(self) -> Iterator[tuple[str, pa.Array]]:
        """Each column and its name, in the order of names."""
        for path, column in sorted(self._columns.items()):
            if column is not None:
                type_ = self._feature_type(path, column) if path[1] == "features" else _type_at(path)
                yield ".".join(path), _array(".".join(path), type_, column, column, self._rest)

    def _feature_type(self, path: tuple[str, ...], column: list[Any]) -> pa.DataType:
        """The type that most of a feature's values have; the others leave the column."""
        types = Counter(type(value) for value in column if value is not None)
        most = min(types, key=lambda each: (-types[each], each.__name__))
        if len(types) > 1:
            for index, value in enumerate(column):
                if value is not None and type(value) is not most:
                    _rest(self._rest, index, path, value)
                    column[index] = None
        return _TYPES[most]


def _names(path: tuple[str, ...]) -> bool:
    """Whether a path can be told from a column's name, by databases too that do not tell large letters from small."""
    *above, last = path[2:]
    return all(map(_WORD.fullmatch, above)) and (_WORD if _is_kind(path) else _NAME).fullmatch(last) is not None


def _type_at(path: tuple[str, ...]) -> pa.DataType:
    if path[1] == "scores":
        return pa.bool_() if _is_kind(path) else pa.float64()
    return pa.string()


def _sparse(records: Sequence[Record], rest: Rest) -> Iterator[tuple[str, pa.Array]]:
    columns = _Sparse(len(records), rest)
    put = columns.put
    for index, record in enumerate(records):
        for direction, phase in (("request", record.request), ("response", record.response)):
            for kind, scores in phase.scores.items():
                put(index, (direction, "scores", kind), True)
                for name, score in scores.items():
                    put(index, (direction, "scores", kind, name), score)
            for name, feature in phase.features.items():
                put(index, (direction, "features", name), feature)
            for name, failure in phase.failed.items():
                put(index, (direction, "failed", name), failure)
            for name, reason in phase.skipped.items():
                put(index, (direction, "skipped", name), reason)
    return columns.arrays()
