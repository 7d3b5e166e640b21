"""Examples of the official SDK's own types, in which every free string says something that can be found again."""

from __future__ import annotations

import inspect
import itertools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

VARIANTS = 18
"""Examples of a type: as many as the largest union in it has members."""

DEEPEST = 7


def members(union: Any) -> list[Any]:
    """The types in a union, whatever wraps it."""
    if get_origin(union) is typing.Annotated:
        return members(get_args(union)[0])
    if get_origin(union) in (typing.Union, types.UnionType):
        return [member for part in get_args(union) for member in members(part)]
    return [union]


def examples(type_: Any) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Examples of an object, each with what its strings say; each union takes another of its members each time."""
    for variant in range(VARIANTS):
        said: list[str] = []
        yield _example(type_, variant, "", said, 0), said


def _example(type_: Any, variant: int, name: str, said: list[str], depth: int) -> Any:
    choices = [member for member in members(type_) if member is not type(None)]
    chosen = choices[variant % len(choices)]
    origin, inside = get_origin(chosen), get_args(chosen)
    if origin is typing.Literal:
        return inside[variant % len(inside)]
    if origin in (typing.Required, typing.NotRequired):
        return _example(inside[0], variant, name, said, depth)
    if inspect.isclass(chosen) and issubclass(chosen, BaseModel):
        fields = {field.alias or key: field.annotation for key, field in chosen.model_fields.items()}
        return _members(fields, variant, said, depth)
    if hasattr(chosen, "__required_keys__"):
        return _members(typing.get_type_hints(chosen, include_extras=True), variant, said, depth)
    if origin is dict:
        return {"a_name": _example(inside[1], variant, name, said, depth + 1)}
    if inspect.isclass(origin) and origin is not type and issubclass(origin, typing.cast(type, typing.Iterable)):
        return [_example(inside[0], variant, name, said, depth + 1)] if depth < DEEPEST else []
    if chosen in (int, float, bool):
        return chosen(variant)
    said.append(f"{name} says {len(said)} words")
    return said[-1]


def _members(fields: Mapping[str, Any], variant: int, said: list[str], depth: int) -> dict[str, Any]:
    return {name: _example(type_, variant, name, said, depth + 1) for name, type_ in fields.items()}


def by_type(union: Any) -> Iterator[tuple[str, Any]]:
    """The members of a union by the `type` that they are told apart by; those that share one are numbered."""
    seen: dict[str, int] = {}
    for member in members(union):
        (type_, *_) = get_args(next(iter(members(member.model_fields["type"].annotation)))) or ("",)
        seen[type_] = seen.get(type_, -1) + 1
        yield (f"{type_}-{seen[type_]}" if seen[type_] else type_), member


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value."""
    match value:
        case str():
            yield value
        case list():
            yield from itertools.chain.from_iterable(map(strings, value))
        case dict():
            yield from itertools.chain.from_iterable(map(strings, value.values()))
