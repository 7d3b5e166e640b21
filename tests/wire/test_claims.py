"""Which format a path is of, and the model that it names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from safeguards_extproc.wire.claims import Claims, Row
from tests.world import Plain


@dataclass(frozen=True, eq=False)
class Named(Plain):
    """A format that only differs by its name."""

    name: str = ""


WHOLE, STREAM, ARRAY, EVENTS = Named("bedrock"), Named("bedrock"), Named("gemini"), Named("gemini")
VERSIONED = Named("kserve")
ROWS = [
    Row(WHOLE, ("/model/{model}/converse",)),
    Row(STREAM, ("/model/{model}/converse-stream",)),
    Row(ARRAY, ("/models/{model}:generate", "/generate")),
    Row(VERSIONED, ("/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer")),
    Row(EVENTS, ("/models/{model}:generate",), "alt=sse"),
]


@pytest.mark.parametrize(
    ("path", "query", "name", "found"),
    [
        ("/model/nova/converse", "", "", (WHOLE, "nova")),
        ("/prefix/model/nova/converse-stream", "", "", (STREAM, "nova")),
        ("/model/arn:aws:x/a.b/converse", "", "", (WHOLE, "arn:aws:x/a.b")),
        ("/model//converse", "", "", None),
        ("/converse", "", "", None),
        ("/v1/models/flash:generate", "", "", (ARRAY, "flash")),
        ("/v1/models/flash:generate", "alt=json&key=1", "", (ARRAY, "flash")),
        ("/v1/models/flash:generate", "key=1&alt=sse", "", (EVENTS, "flash")),
        ("/generate", "alt=sse", "", (ARRAY, "")),
        ("/model/nova/converse-stream", "", "bedrock", (STREAM, "nova")),
        ("/model/nova/converse", "", "gemini", None),
        ("/generate/more", "", "", None),
        ("/v2/models/llama/infer", "", "", (VERSIONED, "llama")),
        ("/v2/models/meta/llama/versions/3/infer", "", "", (VERSIONED, "meta/llama")),
        ("/v2/models/llama/versions/3/4/infer", "", "", (VERSIONED, "llama/versions/3/4")),
        ("/v2/models/versions/3/infer", "", "", (VERSIONED, "versions/3")),
    ],
)
def test_the_longest_claim_wins(path: str, query: str, name: str, found: object) -> None:
    """A query only chooses between variants; a name leaves only that format's."""
    assert Claims(ROWS).find(path, query, name) == found


def test_two_formats_cannot_claim_one_path() -> None:
    """Planted: the second claim is an error when the table is made."""
    with pytest.raises(ValueError, match="both claim /generate"):
        Claims([*ROWS, Row(WHOLE, ("/generate",))])


def test_a_claim_ends_with_what_a_client_cannot_choose() -> None:
    """Planted: a claim that ends with the model's name would hide from the index, and is an error."""
    with pytest.raises(ValueError, match="the client's choice"):
        Claims([Row(WHOLE, ("/models/{model}",))])
    assert Claims(ROWS).find("/v2/models/{model}", "") is None
