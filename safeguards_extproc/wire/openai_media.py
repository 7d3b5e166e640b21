"""OpenAI's files, audio and images: requests are forms or JSON, answers JSON, plain text, an event stream or media.

What an answer says is read on these channels: "0" the text or its deltas, "0.whole" the text that ends a stream,
"0.segments" and "0.words" what repeats it with times.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from safeguards_extproc.core.text import Answer, Channel, Document, Edit, Kind, Path, Reading, Refusal
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import edits as editing
from safeguards_extproc.wire import forms, openai_api, openai_read, refusals, sse, used
from safeguards_extproc.wire.leaves import Leaves, words
from safeguards_extproc.wire.multipart import boundary
from safeguards_extproc.wire.openai_stream import DONE
from safeguards_extproc.wire.strict_json import MAX_VALUES, loads, read_object

FIELDS = forms.FIELDS
SPOKEN: Channel = (Kind.CONTENT, "0")

PLAIN: Path = ("plain",)
"""The path of an answer that is one text."""

_REQUEST_IDENTIFIERS = words(
    "model voice response_format stream_format size quality style user background moderation input_fidelity file_id id "
    "output_format purpose"
)
_IMAGES = words("image images mask")
_ANSWER_IDENTIFIERS = words(
    "id object type model language task purpose status output_format quality size background speaker"
)
_UNREAD = {"b64_json": "image", "audio": "audio"}
_LAST = words("transcript.text.done speech.audio.done image_generation.completed image_edit.completed error")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]").search


class OpenAIMedia:
    """A `core.text.Format`. `speaks`: answers are texts, so that one can say no. `content_type` is the request's."""

    name = "openai_media"

    def __init__(self, *, speaks: bool = False, content_type: str = "") -> None:
        self._speaks, self._boundary = speaks, boundary(content_type)

    def sent_as(self, content_type: str) -> OpenAIMedia:
        """For a request with this Content-Type header."""
        return OpenAIMedia(speaks=self._speaks, content_type=content_type) if content_type else self

    def read_request(self, body: bytes) -> Document:
        if self._boundary is not None:
            return forms.read(body, self._boundary)
        leaves, request = Leaves(), read_object(body, MAX_VALUES)
        for name, value in request.items():
            if name in forms.PROMPTS and isinstance(value, str):
                leaves.text((Kind.USER, name), value, (name,))
            elif name in _IMAGES and value:
                leaves.unread.add("image")
        known = frozenset(name for name in forms.PROMPTS if isinstance(request.get(name), str))
        leaves.rest(FIELDS, request, (), known, _REQUEST_IDENTIFIERS)
        model = request.get("model")
        streamed = request.get("stream") is True or request.get("stream_format") == "sse"
        return Document(
            leaves.segments,
            model=model if isinstance(model, str) else "",
            streamed=streamed,
            unread=frozenset(leaves.unread),
        )

    def read_response(self, body: bytes, status: int) -> Document:
        """JSON begins with a brace; any other text is what was said; all else is "media" that nobody reads."""
        if status >= 400:
            return openai_api.read_error(body)
        leaves = Leaves()
        if _is_json(body):
            answer = read_object(body)
            say(leaves, answer, ())
            return Document(leaves.segments, unread=frozenset(leaves.unread), usage=used.told(answer))
        said = _plain(body)
        if said is None:
            return Document([], unread=frozenset(("media",)))
        leaves.text(SPOKEN, said, PLAIN)
        return Document(leaves.segments)

    def edit(self, body: bytes, edits: Sequence[Edit]) -> bytes:
        """Of a form, of JSON, or of an answer that is plain text."""
        if self._boundary and body.startswith(b"--" + self._boundary):
            return forms.edit(body, self._boundary, edits)
        if _is_json(body):
            return editing.apply(body, edits)
        changes = [edit for edit in edits if edit.path]
        said = _plain(body) if changes else ""
        if said is None or any(edit.path != PLAIN for edit in changes):
            raise MalformedBody("shape")
        return editing.rewrite(said, changes).encode() if changes else body

    def steer(self, body: bytes, instruction: str) -> bytes:
        """No system speaks here: raises MalformedBody("shape")."""
        raise MalformedBody("shape")

    def framer(self, media: str) -> sse.Framer | None:
        return sse.Framer() if media == sse.MEDIA else None

    def stream(self) -> MediaStream:
        return MediaStream()

    def refuse(self, refusal: Refusal) -> Answer:
        return openai_api.refuse(refusal)

    def answer(self, refusal: Refusal, *, model: str, streamed: bool) -> Answer:
        """A transcript that says no; where the answer is no text, an error."""
        if not self._speaks:
            return self.refuse(refusal)
        if streamed:
            said = {"type": "transcript.text.delta", "delta": refusal.message}
            whole = {"type": "transcript.text.done", "text": refusal.message}
            body = sse.event("", editing.dumps(said)) + sse.event("", editing.dumps(whole))
        else:
            body = editing.dumps({"text": refusal.message})
        return refusals.success(refusal, body, id_header=openai_api.ID_HEADER, streamed=streamed)


class MediaStream:
    """A `core.text.StreamReader`. It ends with an event that repeats the text; one of ours is an error."""

    __slots__ = ("_over",)

    def __init__(self) -> None:
        self._over = False

    def read(self, frame: bytes) -> Reading:
        _, data = sse.fields(frame)
        if not data:
            return Reading()
        if data.strip() == DONE:
            return Reading(finished=True)
        try:
            body = read_object(data)
        except MalformedBody as error:
            return Reading(unread=error.reason)
        leaves = Leaves()
        last = _ends(body)
        say(leaves, body, (), "0.whole" if last else "0")
        closed = (SPOKEN, (Kind.CONTENT, "0.whole")) if last else ()
        return Reading(leaves.segments, closed, last, ",".join(sorted(leaves.unread)), used.told(body))

    def edit(self, frame: bytes, edits: Sequence[Edit]) -> bytes:
        return sse.with_data(frame, editing.apply(sse.fields(frame)[1], edits))

    def released(self, frame: bytes) -> None:
        if not self._over:
            data = sse.fields(frame)[1]
            try:
                self._over = data.strip() == DONE or _ends(loads(data))
            except MalformedBody:
                return

    def ending(self, refusal: Refusal) -> bytes:
        """The official SDK raises at an error, and takes a stream without its last event for a whole one."""
        if self._over:
            return b""
        return sse.event("", editing.dumps({"type": "error", **loads(openai_api.refuse(refusal).body)}))


def say(leaves: Leaves, body: dict[str, Any], path: Path, name: str = "0") -> None:
    """Read an answer, or an event of one, with its text on the channel of `name`."""
    for key, value in body.items():
        here = (*path, key)
        match key, value:
            case "text", str():
                leaves.text((Kind.CONTENT, name), value, here)
            case "delta", str():
                leaves.text(SPOKEN, value, here)
            case (("segments" | "words"), list()):
                for index, item in enumerate(value):
                    _timed(leaves, item, (*here, index), (Kind.CONTENT, f"0.{key}"))
            case "data", list():
                for index, item in enumerate(value):
                    if isinstance(item, dict):
                        say(leaves, item, (*here, index), f"{name}.{index}")
                    else:
                        leaves.tree(FIELDS, item, (*here, index))
            case "revised_prompt", str():
                leaves.alone((Kind.CONTENT, name), value, here)
            case (("b64_json" | "audio"), str()):
                leaves.unread.add(_UNREAD[key])
            case "error", _ if value:
                openai_read.error(leaves, value, here)
            case _:
                leaves.rest(FIELDS, {key: value}, path, frozenset(), _ANSWER_IDENTIFIERS)


def _timed(leaves: Leaves, item: object, path: Path, channel: Channel) -> None:
    """A piece of a transcript with its times; pieces are one text, with a space between."""
    if not isinstance(item, dict):
        leaves.tree(channel, item, path)
        return
    for key in ("text", "word"):
        if isinstance(item.get(key), str):
            leaves.text(channel, item[key], (*path, key))
            leaves.text(channel, " ", ())
    known = frozenset(key for key in ("text", "word") if isinstance(item.get(key), str))
    leaves.rest(FIELDS, item, path, known, _ANSWER_IDENTIFIERS)


def _ends(body: object) -> bool:
    return isinstance(body, dict) and isinstance(body.get("type"), str) and body["type"] in _LAST


def _is_json(body: bytes) -> bool:
    return body.lstrip()[:1] == b"{"


def _plain(body: bytes) -> str | None:
    try:
        said = body.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL(said) else said
