"""Azure OpenAI's additions to the OpenAI bodies: verdicts of its own filter, data to answer from, what was found."""

from __future__ import annotations

from collections.abc import Mapping

from safeguards_extproc.core.text import Channel, Kind, Path
from safeguards_extproc.wire.leaves import Leaves, words

VERDICTS = frozenset(("content_filter_results", "content_filter_offsets", "content_filter_result"))
"""Members of a choice in which Azure reports its filter."""

PROMPT_VERDICTS = frozenset(("prompt_filter_results", "prompt_annotations"))
"""Members of an answer in which it reports on the prompts; the second is the older name."""

DATA_SOURCES = frozenset(("data_sources", "dataSources"))
"""Members of a request that name what to search ("on your data"); the second is the older name."""

VERDICT_IDENTIFIERS = words("severity id code license")

_FIELDS: Channel = (Kind.OTHER, "fields")
_SOURCE_IDENTIFIERS = words(
    "type key key_id encoded_api_key access_token managed_identity_resource_id deployment_name index_name "
    "semantic_configuration query_type database_name collection_name container_name embedding_dependency"
)
_FOUND = frozenset(("citations", "all_retrieved_documents"))
_FOUND_IDENTIFIERS = words("chunk_id filter_reason")


def verdicts(leaves: Leaves, members: Mapping[str, object], path: Path, names: frozenset[str]) -> None:
    """Read the filter's verdicts in the members of these names. They hold identifiers, and anything else is text."""
    for name, value in members.items():
        if name in names:
            leaves.tree(_FIELDS, value, (*path, name), VERDICT_IDENTIFIERS)


def data_sources(leaves: Leaves, body: Mapping[str, object]) -> None:
    """What a request says of its sources: `role_information` is a system instruction. What the server finds there is
    not in the body, so it is unread: "documents"."""
    for name in sorted(DATA_SOURCES.intersection(body)):
        sources = body[name]
        if sources:
            leaves.unread.add("documents")
        for index, source in enumerate(sources if isinstance(sources, list) else ()):
            parameters = source.get("parameters") if isinstance(source, dict) else None
            if not isinstance(parameters, dict):
                leaves.tree(_FIELDS, source, (name, index), _SOURCE_IDENTIFIERS)
                continue
            here: Path = (name, index, "parameters")
            for role in ("role_information", "roleInformation"):
                leaves.tree((Kind.SYSTEM, name), parameters.get(role), (*here, role))
            roles = frozenset(("role_information", "roleInformation"))
            leaves.rest(_FIELDS, parameters, here, roles, _SOURCE_IDENTIFIERS)
            leaves.rest(_FIELDS, source, (name, index), frozenset(("parameters",)), _SOURCE_IDENTIFIERS)
        if not isinstance(sources, list):
            leaves.tree(_FIELDS, sources, (name,), _SOURCE_IDENTIFIERS)


def context(leaves: Leaves, value: Mapping[str, object], path: Path, name: str) -> None:
    """A message's `context`: the documents found are a tool's results, what was searched for is the model's."""
    for member in sorted(_FOUND.intersection(value)):
        leaves.tree((Kind.TOOL, name + ".context"), value[member], (*path, member), _FOUND_IDENTIFIERS)
    leaves.rest((Kind.OTHER, name + ".context"), value, path, _FOUND, frozenset())
