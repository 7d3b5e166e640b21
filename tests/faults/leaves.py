"""What a reader of a body gets to read, found without any code of ours: plain JSON, plain server-sent events.

HARMLESS is the whole list of what may go on unscanned: values of members from closed sets, ids and names of models, as
long as they look like one, and opaque state that only a provider can write. A change of it is a change of the product's
promise.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

IDENTIFIER = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


HARMLESS = _names(
    "model type role id index object status code param format detail mode voice syntax effort display container "
    "tool_call_id tool_use_id tool_choice function_call finish_reason stop_reason service_tier reasoning_effort "
    "verbosity modalities prompt_cache_retention search_context_size ttl required $ref speed inference_geo "
    "user_profile_id workspace_id authorization_token media_type file_id error_code page_age retrieved_at category "
    "toolset_name request_id expires_at encrypted_index anthropic_version anthropic_beta guided_decoding_backend "
    "cache_salt"
)
"""Members whose values go unscanned while they look like an identifier."""

SERVER = _names("id object model system_fingerprint service_tier usage obfuscation provider")
"""Members of an OpenAI answer, at its top, in which the server names itself."""

VERDICTS = _names("content_filter_results content_filter_offsets content_filter_result prompt_filter_results")
"""Members in which Azure reports its own filter."""

SEALED = "sealed"
"""What the member `data` of redacted thinking is called here."""

OPAQUE = _names("signature encrypted_content") | {SEALED}
"""Members that hold a provider's own state."""

TEXTUAL = _names("file_data data")
"""Members that may hold a text in base64."""


@dataclass(frozen=True)
class Leaf:
    """A string, and the names of the members that lead to it. `place` tells texts apart that stand at the same names:
    by the `index` that an event gives, else by where they stand in lists."""

    names: tuple[str, ...]
    text: str
    place: tuple[int, ...] = ()

    @property
    def harmless(self) -> bool:
        """Whether it may go on unscanned."""
        name = self.names[-1] if self.names else ""
        if name in OPAQUE or not SERVER.isdisjoint(self.names[:1]) or not VERDICTS.isdisjoint(self.names):
            return True
        return name in HARMLESS and IDENTIFIER.fullmatch(self.text) is not None

    @property
    def said(self) -> str:
        """What it says: the text inside base64 where a member may hold such."""
        if not (self.names and self.names[-1] in TEXTUAL):
            return self.text
        try:
            return base64.b64decode(self.text.rpartition(",")[2], validate=True).decode()
        except (binascii.Error, ValueError):
            return self.text


def leaves(value: object, names: tuple[str, ...] = (), place: tuple[int, ...] = ()) -> Iterator[Leaf]:
    """Every string of a JSON value."""
    match value:
        case str():
            yield Leaf(names, value, place)
        case list():
            for at, item in enumerate(value):
                numbered = isinstance(item, dict) and isinstance(item.get("index"), int)
                yield from leaves(item, names, place if numbered else (*place, at))
        case dict():
            index = value.get("index")
            sealed = value.get("type") == "redacted_thinking"
            for key, item in value.items():
                name = SEALED if sealed and key == "data" else key
                yield from leaves(item, (*names, name), (*place, index) if isinstance(index, int) else place)


def events(stream: bytes) -> tuple[list[bytes], bytes]:
    """The data of each whole event (WHATWG HTML 9.2.6), and the bytes of an event that has not ended."""
    found: list[bytes] = []
    data: list[bytes] = []
    begun = 0
    for line in re.finditer(rb"([^\r\n]*)(\r\n|\n|\r(?!\Z))", stream):
        if line[1]:
            name, _, value = line[1].removeprefix(b"\xef\xbb\xbf" if not line.start() else b"").partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
        else:
            if data:
                found.append(b"\n".join(data))
            data, begun = [], line.end()
    return found, stream[begun:]


def spoken(data: bytes) -> Sequence[Leaf]:
    """The strings of one event's data; data that is no JSON is one string."""
    try:
        return list(leaves(json.loads(data)))
    except (ValueError, RecursionError):
        text = data.decode("utf-8", "replace").strip()
        return [] if text in ("", "[DONE]") else [Leaf((), text)]


def pieces(text: str, size: int = 24) -> Iterator[str]:
    """The words of a text, long ones cut: each must have stood in some window."""
    for word in re.findall(r"\w+", text):
        for start in range(0, len(word), size):
            yield word[start : start + size]
