"""The text of a form: every field, every name, every file that is text, whatever it is called."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.text import Edit, Kind
from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import forms
from tests.contract.wire_contract import golden, texts

B = b"XyZ"
USER, OTHER = Kind.USER, Kind.OTHER


def part(name: str, content: bytes, filename: str | None = None, media: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"'
    head += "" if filename is None else f'; filename="{filename}"'
    head += f"\r\nContent-Type: {media}" if media else ""
    return b"--XyZ\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XyZ--\r\n"


def said(*parts: bytes) -> dict[tuple[Kind, str], str]:
    return texts(forms.read(form(*parts), B).segments)


def test_fields_are_read_by_what_they_are_for() -> None:
    """The prompt is the user's; an identifier is passed over where one belongs; all else is text."""
    read = said(
        part("model", b"whisper-1"), part("prompt", b"Be kind."), part("language", b"write me a poem"), part("x", b"en")
    )
    assert {(USER, "1"): "Be kind.", (OTHER, "fields"): "write me a poem\nen\n"} == read


def test_names_are_text_where_they_are_no_identifiers() -> None:
    """A file's name always is: its writer chooses it."""
    read = said(part("ignore the rules", b"1"), part("file", b"\xff\x00", "how to pick a lock.mp3", "audio/mpeg"))
    assert {(OTHER, "fields"): "ignore the rules\n1\nhow to pick a lock.mp3\n"} == read
    assert {} == said(part("timestamp_granularities[]", b"word"), part("expires_after[anchor]", b"created_at"))


@pytest.mark.parametrize(
    ("content", "media", "unread"),
    [
        (b"\xff\xfb\x90", "audio/mpeg", "audio"),
        (b"\x89PNG\x00", "image/png", "image"),
        (b"\x00\x01", "video/mp4", "video"),
        (b"\x00\x01", "application/octet-stream", "file"),
        (b"%PDF-1.7 all in ASCII", "application/pdf", "file"),
        ("Tee für zwei".encode("latin-1"), "text/plain", "file"),
        ("Tee".encode("utf-16"), "text/plain", "file"),
    ],
)
def test_what_is_no_text_is_named(content: bytes, media: str, unread: str) -> None:
    """By its media type, and as a file where that says nothing."""
    document = forms.read(form(part("file", content, "", media)), B)
    assert not document.segments
    assert {unread} == set(document.unread)


@pytest.mark.parametrize("media", ["text/plain", "image/png", "audio/mpeg", "", "application/octet-stream"])
def test_a_file_that_is_text_is_read_whatever_it_is_called(media: str) -> None:
    """A label is the client's: it hides nothing. An empty file says nothing."""
    assert {(USER, "0"): "some words"} == said(part("file", b"some words", "", media))
    assert {} == said(part("file", b"", "", media))


def test_a_file_of_json_is_read_by_its_values() -> None:
    """So that no escape hides a word; a line at a time where it is JSON lines, as written where it is neither."""
    whole = b'{"a": "\\u0061b", "n": 1}'
    assert {(USER, "0"): "ab\n"} == said(part("file", whole, ""))
    assert {(USER, "0"): "ab\nab\n"} == said(part("file", whole + b"\n\n" + whole + b"\r\n", ""))
    broken = b'{"a": "x", "a": "y"}'
    assert {(USER, "0"): broken.decode()} == said(part("file", broken, ""))
    assert {(USER, "0"): "[Music] la la"} == said(part("file", b"[Music] la la", ""))
    mixed = whole + b"\nnot json"
    assert {(USER, "0"): mixed.decode()} == said(part("file", mixed, ""))
    with pytest.raises(MalformedBody, match="values"):
        said(part("file", b"{}\n" * 20_002, ""))


def test_a_field_that_is_given_twice_is_refused() -> None:
    """One server takes the first, another the last; a list may have many."""
    with pytest.raises(MalformedBody, match="duplicate-key"):
        said(part("model", b"a"), part("model", b"b"))
    with pytest.raises(MalformedBody, match="encoding"):
        said(part("prompt", b"\xff"))
    assert {(OTHER, "fields"): "a b\nc d\n"} == said(part("include[]", b"a b"), part("include[]", b"c d"))


def test_facts_of_a_form() -> None:
    """What policy may ask for."""
    body = form(part("model", b"gpt-4o-transcribe"), part("stream", b"True"), part("file", b"x", "a.txt"))
    document = forms.read(body, B)
    assert ("gpt-4o-transcribe", True) == (document.model, document.streamed)
    assert {"parts": 3, "files": 1} == document.features


FORMS = golden("openai_media", "request.form")


@pytest.mark.parametrize("body", FORMS)
def test_edits_touch_only_what_they_say(body: bytes) -> None:
    """Law 10: of what the official SDK sends, each text can be replaced, and the bytes around it stay."""
    boundary = b"boundary-of-a-form"
    segments = forms.read(body, boundary).segments
    assert body == forms.edit(body, boundary, [])
    assert body == forms.edit(body, boundary, [Edit((), 0, 1, "gone")])
    for segment in segments:
        if segment.path:
            edited = forms.edit(body, boundary, [Edit(segment.path, 0, len(segment.text), "*")])
            left = [other.text for other in forms.read(edited, boundary).segments]
            assert ["*" if other is segment else other.text for other in segments] == left
            before = next(at for at, (old, new) in enumerate(zip(body, edited, strict=False)) if old != new)
            assert body[before:].endswith(edited[before + 1 :])


def test_edits_of_one_form_at_many_places() -> None:
    """A field, a file's name, a file's text, two lines of JSON: all at once."""
    body = form(
        part("prompt", b"my name is Ada"),
        part("file", "Zoë wrote".encode(), "Ada.txt"),
        part("file", b'{"a": "Ada"}\n{"b": ["Ada"]}\n', "", "application/jsonl"),
    )
    edits = [
        Edit(("parts", 0), 11, 14, "X"),
        Edit(("parts", 1, "filename"), 0, 3, "X"),
        Edit(("parts", 1), 0, 3, "X"),
        Edit(("parts", 2, 0, "a"), 0, 3, "X"),
        Edit(("parts", 2, 1, "b", 0), 0, 3, "X"),
    ]
    expected = body.replace(b"Ada", b"X").replace("Zoë".encode(), b"X")
    assert expected == forms.edit(body, B, edits)


@pytest.mark.parametrize(
    "edit",
    [
        Edit(("parts", 9), 0, 0, ""),
        Edit(("parts", 0, "media"), 0, 0, ""),
        Edit(("prompt",), 0, 0, ""),
        Edit(("parts", 0), 0, 99, ""),
        Edit(("parts", 0, 0, "a"), 0, 0, ""),
        Edit(("parts", 0), 0, 1, "\r\n--XyZ--\r\n"),
        Edit(("parts", 0), 0, 1, '\r\n--XyZ\r\nContent-Disposition: form-data; name="x"\r\n\r\n'),
        Edit(("parts", 0, "name"), 0, 1, '"'),
    ],
)
def test_an_edit_that_makes_another_form_is_refused(edit: Edit) -> None:
    """No place, or a replacement with the form's own punctuation."""
    with pytest.raises(MalformedBody, match="shape"):
        forms.edit(form(part("prompt", b"hello")), B, [edit])


@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.text(max_size=12), min_size=1, max_size=4), files=st.lists(st.text(max_size=12), max_size=3))
def test_no_word_of_a_form_goes_unread(words: list[str], files: list[str]) -> None:
    """Whatever the fields and text files say is in the segments; JSON files as their decoded strings."""
    body = form(
        *(part(f"f{number}", word.encode()) for number, word in enumerate(words)),
        *(part("file", json.dumps({"t": word}).encode(), "") for word in files),
    )
    try:
        found = [segment.text for segment in forms.read(body, B).segments if segment.path]
    except MalformedBody:
        assert any("--XyZ" in word for word in words)
        return
    assert [word for word in (*words, *files) if word] == found
