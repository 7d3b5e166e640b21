"""Messages as plain values: what people must see stands there, and Envoy's classes read back what was written."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import ParseDict

from safeguards_extproc.attach.messages import cluster, ext_proc, packed
from safeguards_extproc.attach.options import Attachment, How
from safeguards_extproc.attach.plain import plain


@pytest.mark.parametrize("how", How)
def test_what_was_written_is_read_back(how: How) -> None:
    """No field is lost on the way to YAML and back."""
    for message in (ext_proc(Attachment(how=how)), cluster(Attachment(how=how))):
        assert message == ParseDict(plain(message), type(message)())


def test_the_line_that_matters_most_is_there() -> None:
    """`failure_mode_allow: false` is a default, and is written all the same, within `typed_config` too."""
    filter_ = ext_proc(Attachment())
    assert plain(filter_)["failure_mode_allow"] is False
    assert plain(packed(filter_))["failure_mode_allow"] is False
    found = plain(cluster(Attachment()))
    assert found["common_lb_config"]["healthy_panic_threshold"] == {"value": 0.0}
    assert found["type"] == "STATIC"
    assert ["DEFAULT", "HIGH"] == [each["priority"] for each in found["circuit_breakers"]["thresholds"]]


def test_names_come_first() -> None:
    """What a thing is stands before what it does."""
    assert ["@type", "grpc_service", "failure_mode_allow"] == list(plain(packed(ext_proc(Attachment()))))[:3]
    assert "name" == next(iter(plain(cluster(Attachment()))))
