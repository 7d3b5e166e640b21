"""Lines of Envoy's access log are read; whatever else stands there is passed over."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.local.envoy import load
from safeguards_extproc.records.access_log import Line, line_of
from tests.attach.pasted import DEMO, manager_of

LINE = {
    "time": "2026-01-31T09:00:00.123Z",
    "status": 200,
    "details": "via_upstream",
    "flags": "-",
    "safeguards": {"id": "x1", "request": "allow"},
}


def test_a_line_says_which_exchange_and_how_it_went() -> None:
    """As the demo's Envoy writes it."""
    line = line_of(json.dumps(LINE).encode())
    assert Line("x1", "2026-01-31T09:00:00.123Z", "200", "via_upstream", "-") == line
    assert "status 200, details via_upstream" == line.why


def test_a_request_that_no_filter_saw_has_no_id() -> None:
    """Envoy writes null where a namespace is empty."""
    line = line_of(json.dumps(LINE | {"safeguards": None, "status": 503, "flags": "UF"}).encode())
    assert ("", "status 503, details via_upstream, flags UF") == ((line.id, line.why) if line else None)


def test_fields_may_have_other_names() -> None:
    """Of somebody's own log format."""
    text = json.dumps({"start": "2026", "md": {"sg": {"id": "x2"}}}).encode()
    assert Line("x2", "2026") == line_of(text, "md.sg.id", "start")
    assert "nothing said" == Line("x2", "2026").why


@pytest.mark.parametrize("text", [b"", b"[warning] starting", b"[1]", b"{}", b'{"time": 7}', b"\xff", b"[" * 100_000])
def test_what_is_no_line_is_none(text: bytes) -> None:
    """Logs share files with other output."""
    assert line_of(text) is None


@pytest.mark.long
@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_json_is_a_line_or_none(found: object) -> None:
    """Never an error."""
    assert line_of(json.dumps({"time": "t", "safeguards": found, "status": found}).encode()) is not None
    line_of(json.dumps(found).encode())


def test_the_demo_logs_what_is_read_here() -> None:
    """envoy/demo.yaml names time, status, details, flags and our metadata."""
    format_ = manager_of(load(DEMO))["access_log"][0]["typed_config"]["log_format"]["json_format"]
    assert {"time", "status", "details", "flags", "safeguards"} <= set(format_)
    assert "%DYNAMIC_METADATA(safeguards)%" == format_["safeguards"]
