"""What the access log says of an exchange, and what it must not say."""

from __future__ import annotations

from safeguards_extproc.attach.access_log import FIELDS, access_log, entry
from safeguards_extproc.attach.plain import plain
from safeguards_extproc.local.envoy import load
from tests.attach.pasted import DEMO, manager_of


def test_the_demo_logs_the_same() -> None:
    """One list of fields, in one order."""
    [logger] = manager_of(load(DEMO))["access_log"]
    assert list(FIELDS.items()) == list(logger["typed_config"]["log_format"]["json_format"].items())
    assert logger == entry() == plain(access_log())


def test_no_field_is_what_a_client_wrote() -> None:
    """Paths with their query, and headers of the client's choosing, may hold user text."""
    assert {"%REQ(:METHOD)%"} == {value for value in FIELDS.values() if "REQ" in value}
    assert not any("PATH" in value for value in FIELDS.values())
