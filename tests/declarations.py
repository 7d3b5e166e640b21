"""APIs that nobody knows but their operators, as tests declare them: their bodies lie in tests/golden, by name."""

from __future__ import annotations

from safeguards_extproc.core.text import Kind
from safeguards_extproc.wire.declared import Declaration, Declared, Items
from safeguards_extproc.wire.json_paths import parse, singular
from safeguards_extproc.wire.places import Text


def text(path: str, kind: Kind = Kind.CONTENT) -> Text:
    """Texts of the body, or of an item where the path begins with @."""
    return Text(parse(path, path[0]), kind)


def place(path: str) -> tuple[str | int, ...]:
    """One place."""
    found = singular(parse(path, path[0]))
    assert found is not None
    return found


SEARCH = Declared(
    Declaration(
        "search",
        asks=(text("$.query", Kind.USER),),
        ignored_of_asks=(parse("$.cursor", "$"),),
        answers=(text("$.summary"),),
        items=Items(
            place("$.results"),
            place("@.id"),
            texts=(text("@.title"), text("@.snippet")),
            ignored=(parse("@.image", "@"),),
            counts=(place("$.total"), place("$.paging.count")),
        ),
    )
)
RECOMMENDATIONS = Declared(
    Declaration(
        "recommendations",
        asks=(text("$.visitor.interests[*]", Kind.USER), text("$.cart[*].note", Kind.USER)),
        items=Items(
            place("$.data.recommendations.items"),
            place("@.product.sku"),
            texts=(text("@.product.name"), text("@.product.copy.*"), text("@.reviews[*].text", Kind.TOOL)),
            counts=(place("$.data.recommendations.size"),),
        ),
    )
)
RANKING = Declared(
    Declaration(
        "ranking",
        asks=(
            text("$.query", Kind.USER),
            text("$.documents[*]", Kind.TOOL),
        ),
        model=place("$.model"),
        items=Items(place("$.results"), place("@.index"), texts=(text("@.document.text"),)),
    )
)
RETRIEVAL = Declared(
    Declaration(
        "retrieval",
        asks=(text("$.question", Kind.USER), text("$.history[*]['text']", Kind.USER)),
        answers=(text("$.answer"),),
        items=Items(
            place("$.chunks"),
            place("@.doc_id"),
            texts=(text("@.text", Kind.TOOL), text("@.metadata.title", Kind.TOOL)),
            counts=(place("$.usage.chunks"),),
        ),
    )
)
DECLARED = {format_.name: format_ for format_ in (SEARCH, RECOMMENDATIONS, RANKING, RETRIEVAL)}
