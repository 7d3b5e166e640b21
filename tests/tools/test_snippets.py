"""What the chart's notes print comes from `envoy-config`, in every shape that the chart's values can give it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.snippets import FOLDER, HOLES, files, merged, shapes, template, told


def test_the_chart_s_files_are_current() -> None:
    """`python -m tools.snippets` would change nothing, and nothing lies there that it does not write."""
    found = dict(files())
    assert found == {path: path.read_text("utf-8") for path in FOLDER.iterdir()}


@pytest.mark.parametrize("mesh", ["static", "istio", "envoy-gateway", "gke"])
def test_no_word_of_ours_is_left(mesh: str) -> None:
    """Every stand-in has become a hole."""
    text = template(mesh)
    assert [word for word in HOLES if word in text] == []
    assert text.count("{{- if ") == text.count("{{- end }}")


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=8), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_joined_texts_hold_each_text(texts: list[list[str]]) -> None:
    """Those of the joined lines that are a text's are that text, in its order."""
    rows = merged(texts)
    assert texts == [[line for line, those in rows if number in those] for number in range(len(texts))]


def test_a_condition_tells_its_shapes_from_the_others() -> None:
    """A word where one attribute decides, several where it takes several, and nothing where all are meant."""
    given = [{"tls": tls, "gateway": gateway} for tls in ("none", "server", "mutual") for gateway in (True, False)]
    assert "" == told(given, frozenset(range(6)))
    assert ".gateway" == told(given, frozenset({0, 2, 4}))
    assert 'and (eq .tls "mutual" "server") (not .gateway)' == told(given, frozenset({3, 5}))
    with pytest.raises(ValueError, match="no condition tells"):
        told(given, frozenset({0, 3}))


def test_every_shape_is_another() -> None:
    """No two shapes of a mesh have the same values."""
    for mesh in ("static", "istio", "envoy-gateway", "gke"):
        values = [tuple(shape.given.items()) for shape in shapes(mesh)]
        assert len(values) == len(set(values))
