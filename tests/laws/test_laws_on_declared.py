"""Laws on answers that list items: an item's fate is its own, and nothing else of the answer changes.

After each law, faults that it catches.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.core import scan as scan_module
from safeguards_extproc.core.decision import Result
from safeguards_extproc.core.events import BodyMode
from safeguards_extproc.core.listing import Listing
from safeguards_extproc.core.scan import Scan
from safeguards_extproc.core.text import Channel, Path
from safeguards_extproc.policy.load import parse
from safeguards_extproc.wire import lists
from tests.playbook import Conversation

pytestmark = pytest.mark.long

POLICY = parse(
    """
version: 1
name: shop
detectors:
  lists: {kind: patterns, lists: {bad: {keywords: [gunpowder]}}}
  screen: {kind: classification, model: screen, labels: [unsafe]}
rules:
  - {name: bad, when: scores.lists.bad > 0, on: response, then: drop}
  - {name: unsafe, when: scores.screen.unsafe > 0.5, on: response, then: drop}
apis:
  - name: search
    match: {paths: [/search]}
    request: {texts: [$.query]}
    response: {items: {path: "$['the list']", id: "@.id", texts: ["@.title", "@.parts[*]"], count: [$.total]}}
""",
    "shop.yaml",
)

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

words = st.sampled_from(["oak table", 'a "quoted" desk, large', "字 😀", "x" * 200, "", "], [{"])
bad = st.sampled_from(["a keg of gunpowder", "UNSAFE thing", "gunpowder", "x " * 90 + "gunpowder"])
layouts: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{"separators": (",", ":")}, {"indent": 2}, {"indent": "\t", "ensure_ascii": False}, {}]
)


@dataclass(frozen=True)
class Case:
    """Items, which of them are bad, and how the answer is written and sent."""

    items: list[dict[str, Any]]
    bad: frozenset[int]
    layout: dict[str, Any]
    chunk: int
    mode: BodyMode
    order: int

    def body(self, gone: Collection[int] = ()) -> bytes:
        """The answer without some items."""
        kept = [item for at, item in enumerate(self.items) if at not in gone]
        said = {"note": {"n": 1.0}, "total": len(kept), "the list": kept, "more": [1, {}]}
        return json.dumps(said, **self.layout).encode()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    items, condemned = [], set()
    for at in range(draw(st.integers(0, 6))):
        parts = draw(st.lists(words, max_size=2))
        title: str = draw(words)
        if draw(st.booleans()):
            condemned.add(at)
            if draw(st.booleans()):
                title = draw(bad)
            else:
                parts.insert(draw(st.integers(0, len(parts))), draw(bad))
        items.append({"id": at, "title": title, "parts": parts, "price": 1.50})
    modes = st.sampled_from([BodyMode.DUPLEX, BodyMode.BUFFERED, BodyMode.STREAMED])
    chunk = draw(st.sampled_from([0, 1, 7, 300]))
    return Case(items, frozenset(condemned), draw(layouts), chunk, draw(modes), draw(st.integers(0, 5)))


def play(case: Case) -> Conversation:
    """The whole exchange, its models answering in some order."""
    talk = Conversation(POLICY, wire=wire, mode=case.mode)
    talk.request(b'{"query":"tables"}', path="/search").response(case.body(), case.chunk)
    while talk.out:
        asked = talk.out[case.order % len(talk.out)]
        unsafe = float(any("UNSAFE" in text for text in asked.texts))
        talk.answer(asked.ticket, [Result("screen", {"screen.unsafe": unsafe})])
    return talk


def only_bad_items_go(case: Case) -> None:
    """Exactly the bad items leave; what stays is byte for byte as it would have been written without them."""
    talk = play(case)
    if len(case.bad) == len(case.items):
        assert json.loads(case.body(case.bad)) == json.loads(talk.client_saw())
    else:
        assert case.body(case.bad) == talk.client_saw()
    response = talk.record.response
    ids = [str(at) for at in sorted(case.bad)]
    assert (len(case.items) if case.items else 0, ids) == (response.items.listed, response.items.dropped_ids)
    assert response.applied == ("drop" if case.bad else "allow")
    assert response.account.coverage in ("full", "empty")


@quick
@given(cases())
def test_only_bad_items_go(case: Case) -> None:
    """Laws 1, 2 and 10, whatever the list, the layout, the chunks, the mode and the order of scores."""
    only_bad_items_go(case)


def for_all(self: Listing, channel: Channel, found: Any, results: Any) -> bool:
    """What is known of one item is known of all."""
    results = list(results)
    learned = [_absorb(self, other, found, results) for other in [*self._of, channel]]
    return any(learned)


def with_its_comma(spans: Sequence[tuple[int, int]], gone: Collection[int]) -> Any:
    """The space before an item goes, too."""
    return [(start - 1, end, text) for start, end, text in _gaps(spans, gone)]


def uncounted(body: bytes, path: Path, length: int, gone: Collection[int], counts: Sequence[Path] = ()) -> bytes:
    """The count stays."""
    return _without(body, path, length, gone)


def hasty(self: Scan) -> None:
    """The last verdict is the one before."""
    if not self.decided:
        self.decide()


_absorb, _gaps, _without = Listing.absorb, lists._gaps, lists.without
FAULTS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "merged": (Listing, "absorb", for_all),
    "space": (lists, "_gaps", with_its_comma),
    "count": (lists, "without", uncounted),
    "verdict": (scan_module.Scan, "conclude", hasty),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.interpreted
def test_the_law_bites(fault: str) -> None:
    """Hypothesis finds an answer that shows the fault; some faults leave what is no JSON any more."""
    holder, name, broken = FAULTS[fault]
    finding = settings(
        max_examples=200,
        deadline=None,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    with patch.object(holder, name, broken), pytest.raises((AssertionError, json.JSONDecodeError)):
        finding(given(cases())(only_bad_items_go))()
