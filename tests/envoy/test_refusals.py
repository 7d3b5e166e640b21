"""docs/refusals.md says what the tables of this folder say, which `test_sdk_matrix.py` plays."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from safeguards_extproc.core.text import Refusal
from safeguards_extproc.wire import FORMATS
from safeguards_extproc.wire.refusals import STATUS
from tests.envoy.clients import CLIENTS, WAYS, Way

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "refusals.md").read_text()

DIALECTS = ("openai_chat", "anthropic_messages", "bedrock_converse", "gemini", "tgi")


def kind(format_: str, reason: str) -> str:
    """The type of error that a dialect has for a reason."""
    answer = FORMATS[format_].refuse(Refusal(reason, "no"))
    body: Any = json.loads(answer.body)
    match format_:
        case "openai_chat":
            return f"`{body['error']['type']}` `{body['error']['code']}`"
        case "anthropic_messages":
            return f"`{body['error']['type']}`"
        case "bedrock_converse":
            return f"`{dict(answer.headers)['x-amzn-errortype']}`"
        case "gemini":
            return f"`{body['error']['status']}`"
        case _:
            return f"`{body['error_type']}`"


def again(reason: str) -> str:
    """Whether a client may ask again."""
    headers = dict(FORMATS["openai_chat"].refuse(Refusal(reason, "no", retry_after_s=9)).headers)
    return "no" if headers.get("x-should-retry") == "false" else "yes"


def table(*rows: Iterable[str]) -> list[str]:
    """Lines of Markdown; the first row is the head."""
    head, *lines = ([*row] for row in rows)
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *lines)]


def reasons() -> list[str]:
    head = ("reason", "status", "again?", "OpenAI", "Anthropic", "AWS", "Google", "TGI")
    return table(
        head,
        *(
            (f"`{reason}`", str(status), again(reason), *(kind(format_, reason) for format_ in DIALECTS))
            for reason, status in STATUS.items()
        ),
    )


def before() -> list[str]:
    rows = ((name, *(f"`{told}`" for told in (c.blocked, c.throttled, c.suspended))) for name, c in CLIENTS.items())
    return table(("client", "blocked", "throttled", "suspended"), *rows)


def declined() -> list[str]:
    def told(name: str, *, helper: bool) -> str:
        said = {way.declined: None for way in WAYS if (way.client, way.helper) == (name, helper)}
        return ", ".join(f"`{each}`" for each in said) or "none"

    rows = ((name, told(name, helper=False), told(name, helper=True)) for name in CLIENTS)
    return table(("client", "asked raw", "through a helper"), *rows)


def midstream() -> list[str]:
    head = ("client", "the stream's last events", "iterated raw", "through a helper")
    return table(head, *((name, *_stopped(name)) for name in CLIENTS if CLIENTS[name].ends))


def _stopped(name: str) -> tuple[str, str, str]:
    def told(*, helper: bool) -> str:
        ways = [way for way in WAYS if (way.client, way.streamed, way.helper) == (name, True, helper)]
        return "; ".join(map(_way, ways)) or "none"

    return ", ".join(f"`{end}`" for end in CLIENTS[name].ends), told(helper=False), told(helper=True)


def _way(way: Way) -> str:
    return f"`{way.call}`: `{way.stopped}`"


def tables(page: str) -> list[list[str]]:
    """The tables of a page, each as its lines."""
    return [block.splitlines() for block in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE)]


def test_the_page_says_what_is_played() -> None:
    """Four tables, line by line."""
    assert [reasons(), before(), declined(), midstream()] == tables(PAGE)


@pytest.mark.parametrize(
    "old", ["| 429 |", "`RuntimeError`", "`PROHIBITED_CONTENT`", "`PermissionDeniedError 403`", "| TGI |"]
)
def test_that_a_difference_is_found(old: str) -> None:
    """Planted faults."""
    assert old in PAGE
    assert [reasons(), before(), declined(), midstream()] != tables(PAGE.replace(old, "| 428 |", 1))


def test_the_readme_leads_to_the_page() -> None:
    """One link."""
    assert "(docs/refusals.md)" in (ROOT / "README.md").read_text()
