"""A shed exchange that is a copy is the same, but for its id, as one that was played."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc import wire
from safeguards_extproc.adapters import extproc, shed
from safeguards_extproc.adapters.shared import Exchange as Played
from safeguards_extproc.adapters.shed import Sheds
from safeguards_extproc.core.effects import Effect, Keep, Refuse, SendHeaders
from safeguards_extproc.core.events import Aborted, Body, BodyMode, Headers, Opened
from safeguards_extproc.core.exchange import Exchange
from safeguards_extproc.core.text import Direction
from safeguards_extproc.policy.load import parse

POLICY = """
version: 1
name: shed
rules:
  - {name: beta, when: features.envoy_route == "beta", then: annotate, annotations: {beta: "yes"}}
routes:
  - {name: free, match: {hosts: [free.example]}, shed: false}
  - {name: chat, match: {paths: [/v1/chat/completions]}, refuse_as: answer}
"""
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KNOWN = parse(POLICY, "shed")

HEADERS = st.fixed_dictionaries(
    {
        ":method": st.sampled_from(["POST", "PUT", "post"]),
        ":authority": st.sampled_from(["models.example", "free.example"]),
        ":path": st.sampled_from(["/v1/chat/completions", "/v1/messages", "/model/m-1/converse", "/x", "/"]),
        "content-type": st.sampled_from(["application/json", "text/plain", "multipart/form-data; boundary=b", ""]),
        "traceparent": st.sampled_from([TRACE, "", "nonsense"]),
        "user-agent": st.text("abc", max_size=3),
    }
)
STREAMS = st.tuples(
    st.builds(
        Opened,
        st.sampled_from([BodyMode.DUPLEX, BodyMode.BUFFERED]),
        st.sampled_from([BodyMode.DUPLEX, BodyMode.NONE]),
        st.booleans(),
        st.sampled_from([{}, {"xds.route_name": "beta"}]),
        overloaded=st.just(True),
    ),
    st.builds(Headers, st.just(Direction.REQUEST), HEADERS, st.booleans(), st.just(1.0)),
)


def play(exchange: Played, event: Headers) -> tuple[list[dict[str, object]], list[bytes], bool]:
    """Records, messages to Envoy, and whether it is over, after the first event."""
    effects: list[Effect] = exchange.feed(Headers(event.direction, dict(event.fields), event.end, event.at))
    records = [asdict(effect.record) for effect in effects if isinstance(effect, Keep)]
    said = [extproc.encode(each) for each in effects if isinstance(each, Refuse | SendHeaders)]
    return records, said, exchange.finished


def compared(streams: list[tuple[Opened, Headers]]) -> None:
    """All of them after one another, through `Sheds` and as they are."""
    sheds = Sheds()
    for number, (opened, event) in enumerate(streams):
        id = f"{number:027d}"

        def whole(opened: Opened = opened, id: str = id) -> Exchange:
            return Exchange(KNOWN, wire, id, opened, 1.0)

        assert play(whole(), event) == play(sheds.begin(KNOWN, id, opened, whole), event)


@pytest.mark.long
@settings(max_examples=60)
@given(st.lists(STREAMS, min_size=2, max_size=8))
def test_a_copy_is_what_would_have_been_played(streams: list[tuple[Opened, Headers]]) -> None:
    """Whatever comes one after the other: records, bytes for Envoy, and the end."""
    compared([*streams, *streams])


def test_kinds_that_know_too_little_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: kinds that forget the path."""

    def forgetful(opened: Opened, event: Headers) -> tuple[object, ...]:
        return (event.end, opened.silent)

    monkeypatch.setattr(shed, "_kind", forgetful)
    opened = Opened(BodyMode.DUPLEX, BodyMode.DUPLEX, overloaded=True)
    both = [
        (opened, Headers(Direction.REQUEST, {":method": "POST", ":path": path, ":authority": "a"}, False, 1.0))
        for path in ("/v1/chat/completions", "/v1/messages")
    ]
    with pytest.raises(AssertionError):
        compared(both)


def test_a_copy_hears_nothing_more() -> None:
    """What Envoy still says, and its end, change nothing."""
    sheds, opened = Sheds(), Opened(BodyMode.DUPLEX, BodyMode.DUPLEX, overloaded=True)
    fields = {":method": "POST", ":path": "/v1/messages", ":authority": "a"}
    for id in ("a" * 27, "b" * 27):
        made = sheds.begin(KNOWN, id, opened, lambda id=id: Exchange(KNOWN, wire, id, opened, 1.0))  # type: ignore[misc]
        made.feed(Headers(Direction.REQUEST, fields, False, 1.0))
        assert [] == made.feed(Body(Direction.REQUEST, b"{}", True, 1.1)) + made.feed(Aborted("closed", 1.2))
        assert (True, 0, False) == (made.finished, made.held, made.waiting)
