"""The table of formats: who claims which path."""

from __future__ import annotations

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.text import Format, Wire
from safeguards_extproc.errors import MalformedBody


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/v1/chat/completions", "openai_chat"),
        ("/openai/v1/chat/completions?x=1", "openai_chat"),
        ("/openai/deployments/demo/chat/completions?api-version=2024-10-21", "openai_chat"),
        ("//v1/Chat/%63ompletions/", "openai_chat"),
        ("/v1/messages", "anthropic_messages"),
        ("/anthropic/v1/messages?beta=true", "anthropic_messages"),
        ("/v1/messages/count_tokens", "anthropic_messages"),
        ("/v1/messages/batches", "opaque"),
        ("/v1/threads/t/messages", "opaque"),
        ("/v1/embeddings", "opaque"),
        ("/chat/completions-not", "opaque"),
        ("/xchat/completions", "opaque"),
        ("", "opaque"),
    ],
)
def test_paths_lead_to_formats(target: str, name: str) -> None:
    """Any prefix, any trick of evasion 16; near misses are nobody's."""
    assert wire.resolve("auto", "POST", target).name == name


def test_only_post_carries_an_exchange() -> None:
    """Other methods have no body to read; the method's case does not matter."""
    assert wire.resolve("auto", "GET", "/v1/messages").name == "opaque"
    assert wire.resolve("auto", "post", "/v1/messages").name == "anthropic_messages"


def test_a_route_may_name_its_format() -> None:
    """Policy's word counts more than the path."""
    assert wire.resolve("openai_chat", "GET", "/else") is wire.FORMATS["openai_chat"]
    with pytest.raises(KeyError):
        wire.resolve("unheard-of", "POST", "/")


def test_rows_are_named_as_in_the_table() -> None:
    """Each format once, under its own name; opaque is always there."""
    assert list(wire.FORMATS) == [row.format.name for row in wire.ROWS]
    assert "opaque" in wire.FORMATS


def test_two_formats_cannot_claim_one_path() -> None:
    """Planted: the second claim is an error when the package is imported."""
    row = wire.ROWS[0]
    with pytest.raises(ValueError, match="both claim"):
        wire.claims([row, wire.Row(wire.FORMATS["opaque"], row.paths)])


def test_the_package_is_a_wire() -> None:
    """mypy checks the same; here it decodes and refuses."""
    package: Wire = wire
    claimed: Format = package.resolve("auto", "POST", "/v1/messages")
    assert claimed.name == "anthropic_messages"
    assert package.decoder("identity", 9).push(b"plain") == b"plain"
    with pytest.raises(MalformedBody):
        package.decoder("rot13", 9)
