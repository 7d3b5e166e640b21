"""Gemini's names: both spellings, and every one that the official SDK knows."""

from __future__ import annotations

import typing
from collections.abc import Iterator

import pydantic
import pytest
from google.genai import types

from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import gemini_names as names


def spelled(model: type[pydantic.BaseModel], seen: set[type]) -> Iterator[str]:
    """The names of a message's members and of all messages in it, as JSON and as the protos spell them."""
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        yield from (name, field.alias or name)
        for type_ in leaves(field.annotation):
            if isinstance(type_, type) and issubclass(type_, pydantic.BaseModel):
                yield from spelled(type_, seen)


def leaves(annotation: object) -> Iterator[object]:
    inner = typing.get_args(annotation)
    yield from (annotation,) if not inner else (leaf for item in inner for leaf in leaves(item))


@pytest.mark.parametrize(
    ("model", "known"),
    [
        (types.Tool, names.TOOL_WORDS),
        (types.ToolConfig, names.CONFIG_WORDS),
        (types.GenerationConfig, names.CONFIG_WORDS),
    ],
)
def test_every_name_of_the_sdk_is_known(model: type[pydantic.BaseModel], known: frozenset[str]) -> None:
    """What is not in the list would be read as a name that a client made up; nothing worse, but noise."""
    assert set() == set(spelled(model, set())) - known


@pytest.mark.parametrize("model", [types.Part, types.Candidate, types.GenerateContentConfig, types.Tool])
def test_the_spellings_are_those_of_the_sdk(model: type[pydantic.BaseModel]) -> None:
    """snake_case to lowerCamelCase and back, name by name."""
    for name, field in model.model_fields.items():
        assert field.alias == names.camel(name)
        assert name in names.both(field.alias)


def test_the_same_member_twice_is_refused() -> None:
    """Law 6: in two spellings, of which a parser takes the first, the last or none."""
    with pytest.raises(MalformedBody, match="duplicate-key"):
        names.members({"fileData": {}, "file_data": {}})
    assert [("fileData", "file_data", 1), ("x", "x", 2)] == list(names.members({"file_data": 1, "x": 2}))
