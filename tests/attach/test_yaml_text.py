"""YAML that people read is read back as what was given."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.attach.yaml_text import WIDEST, stream, text

NAMES = st.sampled_from(["failure_mode_allow", "on", "null", "a.b", "@type", "1", "thresholds", "", "-", "type"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(-9, 9).map(lambda each: round(each, 3)) | st.text()
VALUES = st.recursive(
    SCALARS | NAMES | st.sampled_from(["10s", "127.0.0.1", "0.5s", "1e5", "0x1", "NO", "~", "=", "a: b", "# c"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.long
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=5))
@settings(max_examples=200)
def test_what_is_written_is_read_back(document: dict[str, object]) -> None:
    """Whatever JSON can hold survives, comments and all."""
    assert document == yaml.safe_load(text(document))


def test_words_that_yaml_would_change_are_quoted() -> None:
    """The check above bites: unquoted, these would be read as something else."""
    for word in ("no", "null", "1.5", "# c", "{}"):
        assert {"a": word} != yaml.safe_load(f"a: {word}\n")
        assert {"a": word} == yaml.safe_load(text({"a": word}))


def test_short_maps_stand_on_a_line_and_reasons_beside_them() -> None:
    """A setting, its value and why; nothing that has a reason is hidden inside a line."""
    assert "a: {code: 1}\nfailure_mode_allow: false # a filter that is away must not mean traffic" in text(
        {"a": {"code": 1}, "failure_mode_allow": False}
    )
    assert "a:\n  b: 1\n  failOpen: false # " in text({"a": {"b": 1, "failOpen": False}})


def test_a_long_reason_stands_above() -> None:
    """No line of ours is wider than a screen."""
    deep: dict[str, object] = {"message_timeout": "10s"}
    for _ in range(12):
        deep = {"outer": deep}
    written = text(deep)
    assert max(map(len, written.splitlines())) <= WIDEST
    assert deep == yaml.safe_load(written)


def test_documents_follow_each_other() -> None:
    """Each under a comment of what it is."""
    written = stream([("One.", {"a": 1}), ("Two,\non two lines.", {"b": 2})])
    assert "# One.\na: 1\n---\n# Two,\n# on two lines.\nb: 2\n" == written
    assert [{"a": 1}, {"b": 2}] == list(yaml.safe_load_all(written))
