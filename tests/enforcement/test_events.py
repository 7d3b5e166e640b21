"""What may be entered: an event that lacks or contradicts something is refused, with what to mend."""

from __future__ import annotations

from dataclasses import replace

import pytest

from safeguards_extproc.enforcement.events import Kind, check
from safeguards_extproc.errors import NotAllowed
from tests.enforcement.given import START, event

REFUSED = [
    (event(Kind.UNDO), "by undoing"),
    (event(Kind.OVERTURN), "overturning it on appeal"),
    (event(Kind.WARN, ""), "names an identity"),
    (event(Kind.WARN, "x" * 201), "names an identity"),
    (event(Kind.WARN, actor=""), "names its actor"),
    (event(Kind.BAN, reason=""), "needs a reason"),
    (event(Kind.STRIKE, weight=float("nan")), "weight"),
    (event(Kind.STRIKE, weight=-1.0), "weight"),
    (event(Kind.NOTE, evidence=("x",) * 1001), "at most 1000"),
    (event(Kind.BAN, until=START), "until lies in the past"),
    (event(Kind.BAN, until=float("inf")), "seconds since the epoch"),
    (event(Kind.BAN, due=START - 1), "before it is entered"),
    (event(Kind.BAN, until=START + 5, due=START + 5), "due lies past until"),
    (event(Kind.THROTTLE, data={}), "share"),
    (event(Kind.THROTTLE, data={"share": 0}), "share"),
    (event(Kind.THROTTLE, data={"share": 1.5}), "share"),
    (event(Kind.RESTRICT, data={"models": []}), "models"),
    (event(Kind.RESTRICT, data={"models": [7]}), "models"),
    (event(Kind.LABEL, data={"flag": "Two words"}), "flag's name"),
    (event(Kind.APPEAL), "against which event"),
]


@pytest.mark.parametrize(("entered", "why"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_is_refused(entered, why):
    """Each fault has its own sentence."""
    with pytest.raises(NotAllowed, match=why):
        check(replace(entered, at=START))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in ("undo", "overturn")])
def test_is_entered(kind):
    """Every kind that a person may enter can be, for ever or until a time, now or later."""
    given = event(kind, at=START, cause=1 if kind == "appeal" else None)
    check(given)
    check(replace(given, until=START + 10, due=START + 9))
