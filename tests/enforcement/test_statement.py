"""Every step has a statement of reasons that holds what the law asks for, and nothing that a user wrote."""

from __future__ import annotations

from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.enforcement.events import STEPS, Event, Kind, check
from safeguards_extproc.enforcement.statement import Terms, as_text, schema, statement
from safeguards_extproc.errors import NotAllowed
from tests.enforcement.given import DAY, START, event, ledger, told

VALIDATOR = jsonschema.Draft202012Validator(schema())

STRIKES = st.builds(
    lambda at, rule, category, actor, records: Event(
        kind=Kind.STRIKE, subject="a", at=at, rule=rule, category=category, actor=actor, evidence=records
    ),
    st.floats(0, START),
    st.sampled_from(["", "weapons", "malware"]),
    st.sampled_from(["", "violence"]),
    st.sampled_from(["policy:shop", "maria"]),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
)

STEPS_TAKEN = st.builds(
    lambda kind, restrict, share, due, lasting, category, actor, kind_of: event(
        kind,
        at=START,
        data={Kind.THROTTLE: {"share": share}, Kind.RESTRICT: restrict}.get(kind, {}),
        due=due,
        until=lasting and max(START, due) + lasting,
        category=category,
        actor=actor,
        subject_kind=kind_of,
    ),
    st.sampled_from(list(STEPS)),
    st.sampled_from([{"models": ["*"]}, {"models": ["b", "a"], "tools": True}, {"models": [], "tools": True}]),
    st.floats(1e-9, 1),
    st.sampled_from([0.0, START + 5, START + DAY]),
    st.floats(0, 200_000_000_000).map(lambda lasting: lasting if lasting > 1e-3 else 0.0),
    st.sampled_from(["", "violence", "terror"]),
    st.sampled_from(["policy:shop", "maria"]),
    st.sampled_from(["", "end_user", "tenant"]),
)


@settings(max_examples=40, deadline=None)
@given(STEPS_TAKEN, st.lists(STRIKES, max_size=5), st.booleans())
def test_every_step_has_one(step, strikes, undo):
    """Whatever may be entered as a step: the schema accepts its statement, and it can be read."""
    check(step)
    history = [replace(each, id=number) for number, each in enumerate([*strikes, step], 1)]
    step = history[-1]
    if undo:
        history.append(Event(kind=Kind.UNDO, subject="a", id=len(history) + 1, at=START + 9, undoes=step.id))

    value = statement(step, history, Terms(laws={"terror": "Regulation (EU) 2021/784"}))

    assert [] == [error.message for error in VALIDATOR.iter_errors(value)]
    assert undo == ("taken_back" in value)
    assert (step.category == "terror") == (value["ground"]["basis"] == "legal")
    text = as_text(value)
    assert all(each in text for each in [value["decision"]["description"], step.reason, *value["redress"].values()])


REQUIRED = ["decision", "facts", "automated_means", "ground", "redress"]


@pytest.mark.parametrize("point", REQUIRED)
def test_the_schema_bites(point):
    """A statement that leaves out one of the law's points, or one of its parts, is not one."""
    step = event(Kind.BAN, at=START, id=1)
    whole = statement(step, [step])

    assert VALIDATOR.is_valid(whole)
    assert not VALIDATOR.is_valid({name: value for name, value in whole.items() if name != point})
    for part in whole[point]:
        less = {name: value for name, value in whole[point].items() if name != part}
        assert not VALIDATOR.is_valid({**whole, point: less}), part


def test_of_the_ladder():
    """What the ladder did by itself, on which records, by which rules; a strike that was taken back is not told."""
    book, _ = ledger()
    book.strikes([told(number, category="violence") for number in (1, 2, 3)])
    book.strike(told(4, rule="malware"))
    *_, throttle = book.strike(told(5))
    book.undo([1], "maria", "wrong")

    value = statement(throttle, book.history("a"))

    assert {"detection": True, "decision": True} == value["automated_means"]
    assert (4, ["malware", "weapons"]) == (value["facts"]["strikes"], value["facts"]["rules"])
    assert ["a-5", "a-4", "a-3", "a-2"] == value["facts"]["records"]
    assert "You may use 25 % of what your limits allowed." == value["decision"]["description"]
    assert ("2027-01-15T08:00:00Z", "2027-01-16T08:00:00Z") == (value["decision"]["begins"], value["decision"]["ends"])
    assert "taken_back" in value
    assert "This decision was taken back on 2027-01-15T08:00:00Z." in as_text(value)


def test_what_is_no_step_needs_no_reasons():
    """A note changes nothing for anybody."""
    note = event(Kind.NOTE, id=3)
    with pytest.raises(NotAllowed, match="event 3 is no step"):
        statement(note, [note])
