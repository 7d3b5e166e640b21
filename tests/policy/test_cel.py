"""A wrong condition is found before it runs, with a caret under the mistake."""

from __future__ import annotations

import pytest

from safeguards_extproc.policy.cel import DEEPEST, CelError, Expr, Names, Type, excerpt, parse, scores

NAMES = Names(
    {"screen": frozenset({"attack", "harmful"}), "pii": frozenset({"email"}), "unsure": None}, {"high": 0.9, "low": 0.1}
)


def test_scores_and_thresholds() -> None:
    """Names become what they stand for; an int literal that meets a score becomes a double."""
    left = Expr("score", Type.DOUBLE, value="screen.attack")
    assert parse("scores.screen.attack >= 1", NAMES) == Expr(
        ">=", Type.BOOL, (left, Expr("literal", Type.DOUBLE, value=1.0))
    )
    assert parse("scores.screen.attack >= thresholds.high", NAMES).args[1].value == 0.9


def test_what_a_condition_reads() -> None:
    """The scores that it names, wherever they stand."""
    text = "scores.screen.attack > 0.5 || (has(scores.pii.email) && max([scores.screen.harmful, 0.2]) > 0.1)"
    assert scores(parse(text, NAMES)) == {"screen.attack", "pii.email", "screen.harmful"}


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "features.streamed",
        "features.a && !features.b",
        "features.n > 3 && features.t >= 0.5",
        "features.name in ['a', 'b'] || direction == 'request'",
        "model.startsWith('small') && route != 'chat' && format.contains('openai')",
        "model.matches('^gpt-[0-9]+$') || matches(model, 'x')",
        "size(model) > 3 && model.size() < 100 && size([1, 2]) == 2",
        "min(scores.screen.attack, scores.screen.harmful) > 0.5",
        "(direction == 'request' ? scores.screen.attack : scores.pii.email) > 0.5",
        "scores.screen.attack * 2 - 1.0 > -scores.pii.email",
        "scores.unsure.anything > 0.5",
        "1 in [scores.screen.attack, 2]",
        "features.n % 2 == 0",
        r"model == 'it\'s \u00e9' || model == r'\d' || model == '''x'''",
        "0x1F == 31 // a comment",
        " && ".join(["true"] * 400),
    ],
)
def test_takes(text: str) -> None:
    """Everything that the language has."""
    assert parse(text, NAMES).type in (Type.BOOL, Type.DYN)


REFUSED = [
    ("scores.screen.atack > 1", 1, "detector 'screen' has no label 'atack'", "did you mean 'attack'?"),
    ("true && scores.scren.attack > 1", 9, "unknown detector 'scren'", "did you mean 'screen'?"),
    ("true || score.screen.attack > 1", 9, "unknown name 'score.screen.attack'", "did you mean 'scores'?"),
    ("scores.screen > 1", 1, "a score is named scores.<detector>.<label>", ""),
    ("scores.pii.email > thresholds.hihg", 20, "unknown threshold 'hihg'", "did you mean 'high'?"),
    ("text.contains('x')", 1, "unknown name 'text'", ""),
    ("__import__('os')", 1, "unknown function '__import__'", ""),
    ("model.__class__ == 'x'", 1, "unknown name 'model.__class__'", ""),
    ("model.lower() == 'x'", 1, "unknown function 'lower'", ""),
    ("model.startWith('x')", 1, "unknown function 'startWith'", "did you mean 'startsWith'?"),
    ("scores.pii.email >", 18, "not a CEL expression", ""),
    ("scores.pii.email >= 0.5 and true", 25, "not a CEL expression", ""),
    ("", 1, "not a CEL expression", ""),
    ("scores.pii.email", 1, "a condition is true or false, this is a double", ""),
    ("scores.pii.email && true", 1, "&& joins conditions, this is a double", ""),
    ("true || 1", 9, "|| joins conditions, this is an int", ""),
    ("!1", 1, "! turns a condition round, this is an int", ""),
    ("'a' > 1", 1, "a string and an int cannot be compared", ""),
    ("true < false", 0, "< does not compare a bool with a bool", ""),
    ("[1] == [1]", 1, "== does not compare a list with a list", ""),
    ("1 + 'a' > 1", 1, "+ takes numbers, this is a string", ""),
    ("size(model) + scores.pii.email > 1", 1, "+ of an int and a double", ""),
    ("1.5 % 1.0 == 0.5", 1, "% takes whole numbers", ""),
    ("'a' in 'abc'", 1, "in looks into a list, not a string", ""),
    ("'a' in [1, 2]", 1, "a string is not in a list of int", ""),
    ("1 in [1, 'a']", 6, "what a list holds must be of one type", ""),
    ("[1] in [[1]]", 8, "a list of lists is not allowed here", ""),
    ("true ? 1 : 'a'", 0, "? chooses between an int and a string", ""),
    ("(1 ? true : false)", 2, "what stands before ? is a condition, this is an int", ""),
    ("max([]) > 1", 1, "max() does not take these arguments", ""),
    ("max('a', 'b') == 'a'", 1, "max() takes numbers, this is a string", ""),
    ("has(1)", 1, "has() asks for one score or feature", ""),
    ("has(scores.pii.emial)", 5, "detector 'pii' has no label 'emial'", "did you mean 'email'?"),
    ("model.matches('(')", 1, "not a pattern that RE2 knows", "missing ): ("),
    ("model.matches('(?=x)')", 1, "not a pattern that RE2 knows", ""),
    ("model.matches(route)", 1, "matches() takes a pattern written out", ""),
    ("features['n'] > 1", 1, "an index is not allowed here", "write features.name"),
    ("{1: 2}.size() > 0", 2, "maps, messages and absolute names are not allowed here", ""),
    (".model == 'x'", 1, "maps, messages and absolute names are not allowed here", ""),
    ("null == null", 1, "null, bytes and unsigned numbers are not allowed here", ""),
    ("1u == 1u", 1, "null, bytes and unsigned numbers are not allowed here", ""),
    ("b'a' == b'a'", 1, "null, bytes and unsigned numbers are not allowed here", ""),
    ("size(model).x", 1, "only names have members", ""),
    ("9223372036854775808 > 1", 1, "an int has 64 bits", ""),
    ("!" * 100 + "true", DEEPEST + 2, f"nested deeper than {DEEPEST} levels", ""),
    ("+".join(["1"] * 300) + " > 1", 1, f"nested deeper than {DEEPEST} levels", ""),
]


@pytest.mark.parametrize(("text", "column", "message", "hint"), REFUSED)
def test_refuses(text: str, column: int, message: str, hint: str) -> None:
    """Names, types, shapes and depth, at the column where they stand."""
    with pytest.raises(CelError) as caught:
        parse(text, NAMES)
    assert (message, column) == (caught.value.message, caught.value.column)
    assert hint in caught.value.hint


def test_the_caret() -> None:
    """Stands under the mistake."""
    text = "true && scores.screen.atack > 1"
    with pytest.raises(CelError) as caught:
        parse(text, NAMES)
    assert excerpt(text, caught.value).splitlines() == [
        "detector 'screen' has no label 'atack'",
        "  true && scores.screen.atack > 1",
        "          ^",
    ]
    assert excerpt("a\nb", caught.value) == "detector 'screen' has no label 'atack'"
