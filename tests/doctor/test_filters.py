"""Every fault that somebody can make in a configuration is found, and nothing else is; on paper, so in no time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.attach.options import Attachment, How, Route
from safeguards_extproc.doctor import CHECKS, examine
from safeguards_extproc.doctor.seen import Seen
from safeguards_extproc.local.envoy import load
from tests.attach.pasted import DEMO, istio, static, variants
from tests.doctor.faults import AFTER, DOCUMENT, Plant
from tests.doctor.paper import on_paper

SOCKET = Attachment(addresses=("unix:///run/safeguards.sock",))


def codes(seen: Seen) -> set[str]:
    """Which checks found something."""
    return {check.code for check, findings in examine(seen) if findings}


def planted(plant: Plant) -> dict[str, Any]:
    document, _ = static(SOCKET)
    plant(document)
    return document


@pytest.mark.long
@pytest.mark.parametrize("fault", DOCUMENT)
def test_a_fault_is_found_and_nothing_else(fault: str) -> None:
    """One thing is wrong, and the doctor says that one."""
    plant, expected = DOCUMENT[fault]
    assert expected == codes(on_paper(planted(plant)))


def test_every_check_is_set_off_by_some_fault() -> None:
    """No row of the table is without an Envoy on which it speaks."""
    every = {code for _, found in (DOCUMENT | AFTER).values() for code in found}
    assert {check.code for check in CHECKS} - every == {"version", "timed-out"}, "these have tests of their own"


def test_the_page_names_every_check() -> None:
    """What is said can be looked up, and what is promised is asked."""
    page = (Path(__file__).parents[2] / "docs" / "attaching.md").read_text()
    table = page.partition("## The doctor")[2].partition("\n## ")[0]
    assert [check.code for check in CHECKS] == re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)


CALM = ["default", "several", "named", "socket", "buffered", "tls", "mutual"]


@pytest.mark.parametrize("name", CALM)
def test_our_own_attachments_are_well(name: str) -> None:
    """What `envoy-config` writes sets nothing off."""
    document, _ = static(variants("/pem")[name])
    found = codes(on_paper(document))
    assert found <= {"no-host"}, "TLS has nobody to talk to on paper"


def test_the_demo_is_well() -> None:
    """And neither does what the demo runs."""
    assert set() == codes(on_paper(load(DEMO)))


def test_istio_s_is_well() -> None:
    """And neither does what istiod makes of ours."""
    assert set() == codes(on_paper(istio(Attachment(addresses=("localhost:9002",)))))


def test_a_deliberate_exception_is_named() -> None:
    """A route that was switched off, or fails open, by `--route` is still said: it is for people to accept."""
    routes = (Route("/files/", How.FAIL_OPEN), Route("/admin/", How.OFF))
    document, _ = static(Attachment(addresses=("unix:///run/a.sock",), routes=routes))
    seen = on_paper(document)
    assert {"fail-open", "route-unread"} == codes(seen)
    said = {check.code: [each.where for each in findings] for check, findings in examine(seen) if findings}
    assert {"fail-open": ["ingress, models: /files/"], "route-unread": ["ingress, models: /admin/"]} == said


def test_routes_that_switch_it_on_are_read() -> None:
    """As Envoy Gateway does it: off in the listener, on where a policy says so."""
    document, _ = static(
        Attachment(addresses=("unix:///run/a.sock",), how=How.OFF, routes=(Route("/", How.GUARD),)),
    )
    del document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"][
        "virtual_hosts"
    ][0]["routes"][1]
    assert set() == codes(on_paper(document))
