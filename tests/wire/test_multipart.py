"""Forms of which only one reading is possible; everything else is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.errors import MalformedBody
from safeguards_extproc.wire import multipart
from tests.contract.wire_contract import golden

B = b"XyZ"
FIELD = b'Content-Disposition: form-data; name="prompt"'
FILE = b'Content-Disposition: form-data; name="file"; filename="a b.txt"'


def form(*parts: bytes, end: bytes = b"--XyZ--\r\n") -> bytes:
    """Parts as head, blank line and content in one, between their boundaries."""
    return b"".join(b"--XyZ\r\n" + part + b"\r\n" for part in parts) + end


GOOD = form(FIELD + b"\r\n\r\nhello", FILE + b"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nsome\r\ntext")


def test_parts_stand_where_they_say() -> None:
    """Names, contents and media types, and each of them at its bytes."""
    first, second = multipart.parts(GOOD, B)
    assert ("prompt", None, "", b"hello") == (first.name, first.filename, first.media, GOOD[slice(*first.at)])
    assert ("file", "a b.txt", "text/plain") == (second.name, second.filename, second.media)
    assert b"some\r\ntext" == GOOD[slice(*second.at)]
    assert (b"prompt", b"a b.txt") == (GOOD[slice(*first.name_at)], GOOD[slice(*second.filename_at)])
    assert [] == multipart.parts(b"--XyZ--", B)


@pytest.mark.parametrize(
    "head",
    [
        FIELD + b"\r\nContent-Length: 5",
        FIELD + b"\r\nContent-Transfer-Encoding: binary",
        b"content-disposition:form-data;name=prompt",
        FIELD + b"\r\nContent-Type: application/json;charset=UTF-8",
        'Content-Disposition: form-data; name="prompt"; filename="Zoë.txt"'.encode(),
    ],
)
def test_what_clients_write_is_read(head: bytes) -> None:
    """okhttp's lengths, curl's spelling, a browser's file names."""
    (part,) = multipart.parts(form(head + b"\r\n\r\nhello"), B)
    assert "prompt" == part.name


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"preamble\r\n" + GOOD,
        b"\r\n" + GOOD,
        GOOD + b"epilogue",
        GOOD[:-4],
        GOOD[:-1] + b" \n",
        form(FIELD + b"\r\n\r\nhello", end=b""),
        GOOD.replace(b"\r\n--XyZ\r\n", b"\n--XyZ\r\n"),
        GOOD.replace(b"hello\r\n--XyZ", b"hello\r\n--XyZ "),
        GOOD.replace(b"hello", b"hello --XyZ hello"),
        GOOD.replace(b"hello", b"hello\n--XyZ--\n"),
        GOOD.replace(b"hello", b"hello\r\n--XyZw\r\nhello"),
        form(FIELD),
        form(b""),
        form(b"\r\n\r\nno headers"),
        form(b"Content-Type: text/plain\r\n\r\nno name"),
        form(FIELD.replace(b"; ", b";\r\n ") + b"\r\n\r\nfolded"),
        form(FIELD + b"\r\n" + FIELD.replace(b"prompt", b"model") + b"\r\n\r\ntwo"),
        form(FIELD + b'; name="model"\r\n\r\ntwice'),
        form(FIELD + b'; size="3"\r\n\r\nunknown parameter'),
        form(FILE + b"; filename*=utf-8''b.txt\r\n\r\nx"),
        form(b'Content-Disposition: form-data; filename="a"\r\n\r\nx'),
        form(b'Content-Disposition: attachment; name="prompt"\r\n\r\nx'),
        form(b'Content-Disposition: form-data; name="pro\\"mpt"\r\n\r\nx'),
        form(b'Content-Disposition: form-data; name="prompt\r\n\r\nx'),
        form(b'Content-Disposition : form-data; name="prompt"\r\n\r\nx'),
        form(b'Content-Disposition: form-data; name="_charset_"\r\n\r\nutf-16'),
        form(FIELD + b"\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b--"),
        form(FIELD + b"\r\nContent-Type: message/rfc822\r\n\r\nx"),
        form(FIELD + b"\r\nContent-Type: text\r\n\r\nx"),
        form(FIELD + b"\r\nContent-Type: text/plain; charset=utf-8; charset=utf-16\r\n\r\nx"),
        form(FIELD + b"\r\nContent-Transfer-Encoding: base64\r\n\r\naGk="),
        form(FIELD + b"\r\nContent-Length: 4\r\n\r\nhello"),
        form(FIELD + b"\r\nX-Other: 1\r\n\r\nx"),
        form(FIELD + b"\nContent-Type: text/plain\r\n\r\nx"),
    ],
)
def test_what_parsers_differ_about_is_malformed(body: bytes) -> None:
    """Law 6: what one server skips, another reads."""
    with pytest.raises(MalformedBody, match="shape"):
        multipart.parts(body, B)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (form(FIELD + b"\r\nContent-Type: text/plain; charset=utf-16\r\n\r\nx"), "encoding"),
        (form(b'Content-Disposition: form-data; name="\xff"\r\n\r\nx'), "encoding"),
        (form(*[FIELD + b"\r\n\r\nx"] * 1001), "values"),
    ],
)
def test_other_reasons_have_their_own_name(body: bytes, reason: str) -> None:
    """Another encoding, bad UTF-8, too many parts."""
    with pytest.raises(MalformedBody, match=reason):
        multipart.parts(body, B)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("multipart/form-data; boundary=XyZ", b"XyZ"),
        ("Multipart/Form-Data;Boundary=XyZ", b"XyZ"),
        ('multipart/form-data; boundary="a:b/c=d"', b"a:b/c=d"),
        ("multipart/form-data; charset=utf-8; boundary=XyZ", b"XyZ"),
        ("multipart/form-data; boundary=XyZ; charset=UTF-8", b"XyZ"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=", b""),
        ("multipart/form-data; boundary=a; boundary=b", b""),
        ("multipart/form-data; boundary=a, multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=a b", b""),
        ("multipart/form-data; boundary*=utf-8''a", b""),
        ("multipart/form-data; boundary=" + "x" * 71, b""),
        ("multipart/form-data; charset=utf-16; boundary=a", b""),
        ("application/json", None),
        ("", None),
    ],
)
def test_a_boundary_is_named_once(content_type: str, expected: bytes | None) -> None:
    """A header that can be read in two ways names none, and no body has that."""
    assert expected == multipart.boundary(content_type)
    if expected == b"":
        with pytest.raises(MalformedBody, match="shape"):
            multipart.parts(GOOD, expected)


FORMS = golden("openai_media", "request.form")
PIECES = [b"", b"\r\n", b"\n", b"--", b"--boundary-of-a-form", b'"', b"\\", b";", b":", b"\x00", b"\xff", b"filename"]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_form_is_read_whole_or_refused(data: st.DataObject) -> None:
    """Every byte of a form that is read stands in a boundary, a head or one part; nothing else is ever raised."""
    body, boundary = data.draw(st.sampled_from(FORMS)), b"boundary-of-a-form"
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(body)))
        body = body[:at] + data.draw(st.sampled_from(PIECES)) + body[at + data.draw(st.integers(0, 4)) :]
    try:
        found = multipart.parts(body, boundary)
    except MalformedBody:
        return
    assert len(found) + 1 == body.count(b"--" + boundary)
    ends = [part.at[1] for part in found]
    assert ends == sorted(ends)
    assert all(body[end:].startswith(b"\r\n--" + boundary) for end in ends)
