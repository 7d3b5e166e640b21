"""Records survive being written, and a reader elsewhere can rely on their shape."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings

from safeguards_extproc.core.decision import Value
from safeguards_extproc.core.record import FiredRule, Phase, Record
from safeguards_extproc.pb.decision_pb2 import Decision, Feature, Numbers, Positions, Scores
from safeguards_extproc.records.encode import from_json, to_json, to_proto
from tests.records.samples import RECORDS


@pytest.mark.long
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS)
def test_a_record_is_read_back_as_it_was(record: Record) -> None:
    """Every field, number and name, on one line."""
    line = to_json(record)
    assert record == from_json(line)
    assert b"\n" not in line


def test_a_feature_keeps_its_type() -> None:
    """1, 1.0 and true are three facts to a rule."""
    features: dict[str, Value] = {"a": 1, "b": 1.0, "c": True, "d": "1"}
    read = from_json(to_json(Record(id="1", request=Phase(features=features)))).request.features
    assert features == read
    assert [type(value) for value in read.values()] == [int, float, bool, str]


def test_no_name_keeps_its_record_from_being_written() -> None:
    """A client that calls its model by half a surrogate pair is recorded all the same."""
    record = Record(id="1", model="\ud800", request=Phase(failed={"\udfff": "timeout"}))
    read = from_json(to_json(record))
    assert read.model == "?"
    assert read.request.failed == {"?": "timeout"}
    assert to_proto(record).model == "?"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "truncated"),
        (b"null", "Expected `object`"),
        (b"{}", "missing required field `id`"),
        (b'{"id":"1","request":{"failed":{"my secret":7}}}', "Expected `str`, got `int`"),
        (b'{"id":"my secret \xff"}', "not UTF-8"),
    ],
)
def test_what_is_no_record_is_refused_without_a_quote(line: bytes, said: str) -> None:
    """A torn or foreign line is an error that tells where, and nothing of what."""
    with pytest.raises(ValueError, match=said) as caught:
        from_json(line)
    assert "secret" not in str(caught.value)


def plain(message: Any) -> Any:
    """A message as the plain data that a record has in its place."""
    match message:
        case Scores():
            return dict(message.scores)
        case Numbers():
            return list(message.numbers)
        case Positions():
            return list(message.items)
        case Feature():
            return getattr(message, message.WhichOneof("value"))
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if is_map(field):
            nested = field.message_type.fields_by_name["value"].type == FieldDescriptor.TYPE_MESSAGE
            value = {key: plain(item) if nested else item for key, item in value.items()}
        elif field.is_repeated:
            value = [plain(item) if field.message_type is not None else item for item in value]
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            value = plain(value)
        found[field.name] = value
    return found


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


@pytest.mark.long
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS)
def test_the_message_says_the_same(record: Record) -> None:
    """Field by field the message holds what the record holds, types of features included."""
    message = Decision.FromString(to_proto(record).SerializeToString())
    expected = dataclasses.asdict(record)
    assert expected == plain(message)


def mirror(descriptor: Any, of: Any) -> list[str]:
    """What differs between a message and a dataclass: names, order, and the types they nest."""
    hints = typing.get_type_hints(of)
    names = [field.name for field in dataclasses.fields(of)]
    if names != [field.name for field in descriptor.fields]:
        return [f"{of.__name__}: {names}"]
    wrong: list[str] = []
    for field in descriptor.fields:
        hint = hints[field.name]
        inner = typing.get_args(hint)[-1] if typing.get_args(hint) else hint
        message = field.message_type
        if message is not None and is_map(field):
            message = message.fields_by_name["value"].message_type
        if dataclasses.is_dataclass(inner):
            wrong += mirror(message, inner) if message is not None else [field.name]
        elif typing.get_origin(hint) is None and SCALARS.get(field.type) is not hint:
            wrong.append(f"{of.__name__}.{field.name}")
    return wrong


SCALARS = {
    FieldDescriptor.TYPE_STRING: str,
    FieldDescriptor.TYPE_INT64: int,
    FieldDescriptor.TYPE_DOUBLE: float,
    FieldDescriptor.TYPE_BOOL: bool,
}


def test_the_proto_mirrors_the_record() -> None:
    """decision.proto and core/record.py name the same fields in the same order."""
    assert mirror(Decision.DESCRIPTOR, Record) == []


def test_the_comparison_bites() -> None:
    """It notices a message of another shape."""
    assert mirror(Decision.DESCRIPTOR, FiredRule)
