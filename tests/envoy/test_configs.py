"""The demo's configuration is taken by a real Envoy, and says what a safeguard must say.

What people paste into Envoys of their own is generated: `tests/attach/` holds that, and that the demo says the same.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeguards_extproc.local.envoy import load, validate
from tests.attach.pasted import DEMO, manager_of


@pytest.mark.real
def test_the_demo_configuration_is_taken() -> None:
    """`envoy -c envoy/demo.yaml` works as committed."""
    assert validate(DEMO) == ""


@pytest.mark.real
def test_the_check_bites(tmp_path: Path) -> None:
    """A setting that Envoy does not know is refused, so a typing slip cannot be committed."""
    document = load(DEMO)
    manager_of(document)["http_filters"][0]["typed_config"]["failure_mode_alow"] = False
    config = tmp_path / "slip.json"
    config.write_text(json.dumps(document))
    assert "failure_mode_alow" in validate(config)


def test_the_access_log_names_nothing_that_a_client_wrote() -> None:
    """Paths with their query, and headers of the client's choosing, may hold user text: they are not logged."""
    text = DEMO.read_text()
    assert "%REQ(:PATH)" not in text
    assert "x-envoy-original-path" not in text.lower()
