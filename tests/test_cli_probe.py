"""The command `probe`, asking a real filter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from safeguards_extproc.cli import app
from safeguards_extproc.local import processes
from tests.envoy import rig

pytestmark = pytest.mark.real

POLICY = Path(__file__).parents[1] / "policies" / "minimal.yaml"


@pytest.fixture(scope="module")
def filter_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Filter]:
    """A filter with the policy that the chart ships."""
    folder = tmp_path_factory.mktemp("probe")
    policy = folder / "policy.yaml"
    policy.write_bytes(POLICY.read_bytes())
    found = rig.serve(policy, folder / "filter.sock")
    yield found
    rig.end(found.part)


def said(filter_: rig.Filter, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["probe", f"unix://{filter_.socket}", *arguments])


def test_it_says_what_the_filter_answers(filter_: rig.Filter) -> None:
    """Ready, a message that passes, one that does not."""
    found = said(
        filter_, f"--health={filter_.health}", "--allow=What is the capital of Bhutan?", "--block=On Project Bluefinch"
    )
    assert [
        "ok    ready: SERVING",
        "ok    allow 1: allowed",
        "ok    block 1: refused with 400",
    ] == found.output.splitlines()
    assert 0 == found.exit_code


def test_it_fails_where_the_answer_is_another(filter_: rig.Filter) -> None:
    """A filter that lets everything pass, or refuses everything, does not pass; each question is asked all the same."""
    found = said(filter_, "--block=What is the capital of Bhutan?", "--allow=On Project Bluefinch", "--allow=Hello")
    assert [
        "FAIL  allow 1: refused with 400",
        "ok    allow 2: allowed",
        "FAIL  block 1: allowed",
    ] == found.output.splitlines()
    assert 1 == found.exit_code


def test_it_fails_where_nobody_answers() -> None:
    """After the time that it was given."""
    address = f"127.0.0.1:{processes.free_port()}"
    found = CliRunner().invoke(app, ["probe", address, f"--health={address}", "--allow=Hello", "--timeout=0.3"])
    assert [
        "FAIL  ready: no answer: DEADLINE_EXCEEDED",
        "FAIL  allow 1: no answer: DEADLINE_EXCEEDED",
    ] == found.output.splitlines()
    assert 1 == found.exit_code
