"""The demo as a person or a script runs it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from safeguards_extproc.local.demo import Options, parsed, play
from safeguards_extproc.local.stack import Plan

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "safeguards_extproc.local.demo"]
QUIET = "version: 1\nname: quiet\n"


def exchange(name: str, verdict: str) -> str:
    row = {
        "id": name,
        "format": "openai_chat",
        "messages": [{"role": "user", "content": "Hi"}],
        "answer": {"text": "Hello"},
        "expect": {"request": verdict},
    }
    return json.dumps(row) + "\n"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    policy, traffic = tmp_path / "policy.yaml", tmp_path / "traffic.jsonl"
    policy.write_text(QUIET)
    traffic.write_text(exchange("fine", "allow") + exchange("missed", "block"))
    return Plan(policy, traffic, ROOT / "envoy" / "demo.yaml", ROOT / "triton_models", "embedded")


def played(plan: Plan, options: Options) -> tuple[int, str]:
    out = StringIO()
    code = play(plan, options, Console(file=out, width=160))
    return code, out.getvalue()


def test_the_command_line_has_defaults_for_everything() -> None:
    """`make demo` names nothing; a replay names its file and its own word for the summary."""
    plan, options = parsed([])
    assert (plan, options) == (Plan(), Options())
    plan, options = parsed(["--traffic", "t.jsonl", "--name", "replay", "--once", "--rows", "5", "--scorer", "triton"])
    assert (plan.traffic, plan.scorer, options.name, options.once) == (Path("t.jsonl"), "triton", "replay", True)


def test_traffic_that_cannot_be_read_ends_with_2(plan: Plan) -> None:
    """Nothing is started for a file that holds a slip; the slip is named."""
    plan.traffic.write_text("{}\n")
    code, text = played(plan, Options(once=True))
    assert (code, True) == (2, "traffic.jsonl:1" in text)


@pytest.mark.real
def test_a_missed_verdict_ends_with_1_and_a_report_says_which(plan: Plan, tmp_path: Path) -> None:
    """A script sees by the exit code that a verdict was missed, and in the report which one."""
    report = tmp_path / "report.json"
    code, text = played(plan, Options(once=True, report=report))
    assert (code, True) == (1, "demo: 2 exchanges, 1 as expected, 1 missed" in text)
    rows = {row["id"]: row["problems"] for row in json.loads(report.read_text())["exchanges"]}
    assert rows == {"fine": [], "missed": ["request allow, not block"]}


@pytest.mark.real
def test_a_stack_that_cannot_start_ends_with_2_and_the_log(plan: Plan) -> None:
    """The person sees the failing part's own last words."""
    plan.policy.write_text("version: 2\n")
    code, text = played(plan, Options(once=True))
    assert code == 2
    assert "filter: ended with exit code" in text
    assert "the end of its log" in text


@pytest.mark.real
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_stack_stays_up_until_it_is_ended_and_leaves_no_orphans(plan: Plan, ending: signal.Signals) -> None:
    """Ctrl-C, or a supervisor's SIGTERM, ends every program that the demo started."""
    arguments = ["--policy", str(plan.policy), "--traffic", str(plan.traffic), "--scorer", "embedded"]
    with subprocess.Popen([*DEMO, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        lines = iter(demo.stdout.readline, "")
        text = "".join(_until(lines, "Ctrl-C stops everything"))
        started = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(ending)
        code = demo.wait(timeout=20)
    assert "curl -sN http://127.0.0.1:" in text
    assert len(started) >= 3
    assert psutil.wait_procs(started, timeout=5)[1] == []
    assert code == {signal.SIGINT: 1, signal.SIGTERM: 128 + signal.SIGTERM}[ending]


def _until(lines: Iterator[str], words: str) -> Iterator[str]:
    for line in lines:
        yield line
        if words in line:
            return


@pytest.mark.real
def test_the_demo_gives_every_sample_the_verdict_that_it_should_have() -> None:
    """`ONCE=1 make demo`: the committed traffic, policy, model and configuration together, nothing missed."""
    done = subprocess.run([*DEMO, "--once"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"^demo: (\d+) exchanges, (\d+) as expected, 0 missed$", done.stdout, re.MULTILINE)
    assert found is not None
    assert int(found[1]) == int(found[2]) >= 64
