"""Evasions 20 to 28: how a body is written."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

from tests.evasions.scene import (
    HARMLESS,
    PATHS,
    Row,
    Sent,
    ask,
    asking,
    dumps,
    judged,
    over,
    plain,
    sent,
)


def called(content_type: str):
    """The same body under another content-type."""
    return lambda dialect, text: replace(plain(dialect, text), headers={"content-type": content_type})


def in_charset(charset: str):
    def make(dialect: str, text: str) -> Sent:
        body = plain(dialect, text).body.decode().encode(charset)
        return sent(dialect, body, {"content-type": f"application/json; charset={charset}"})

    return make


def rewritten(old: bytes, new: bytes):
    """The body with something in it written otherwise."""

    def make(dialect: str, text: str) -> Sent:
        body = plain(dialect, text).body
        assert old in body
        return sent(dialect, body.replace(old, new, 1))

    return make


def around(before: bytes, after: bytes):
    return lambda dialect, text: sent(dialect, before + plain(dialect, text).body + after)


def within(change):
    """The text changed as it stands in the body."""
    return lambda dialect, text: sent(dialect, plain(dialect, text).body.replace(text.encode(), change(text).encode()))


def with_fields(**fields: object):
    return lambda dialect, text: sent(dialect, asking(dialect, text, **fields))


def twice(first: bool):
    """Two lists of messages, one harmless: some readers take the first, some the last."""

    def make(dialect: str, text: str) -> Sent:
        said = [json.dumps({"role": "user", "content": one}) for one in (text, HARMLESS)]
        if not first:
            said.reverse()
        lists = ",".join(f'"messages":[{one}]' for one in said)
        return sent(dialect, f'{{"model":"m","max_tokens":9,{lists}}}'.encode())

    return make


def instead(**fields: object):
    """The text in a member that is not the documented one."""

    def make(dialect: str, text: str) -> Sent:
        body = asking(dialect, HARMLESS)
        body.update({name: json.loads(json.dumps(value).replace("TEXT", text)) for name, value in fields.items()})
        return sent(dialect, body)

    return make


def multipart(dialect: str, text: str) -> Sent:
    body = f'--x\r\ncontent-disposition: form-data; name="messages"\r\n\r\n{text}\r\n--x--\r\n'
    return sent(dialect, body.encode(), {"content-type": "multipart/form-data; boundary=x"})


def upload(dialect: str, text: str) -> Sent:
    return replace(multipart(dialect, text), path="/v1/files")


def uploaded(dialect: str, text: str) -> Sent:
    parts = {
        "openai_chat": {"type": "file", "file": {"file_id": "file-1"}},
        "anthropic_messages": {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    }
    return sent(dialect, asking(dialect, [parts[dialect], {"type": "text", "text": text}]))


def tokens(path: str, **fields: object):
    return lambda dialect, text: Sent(dumps({"model": "m", **fields}), path)


def in_arguments(*, nested: bool):
    def make(dialect: str, text: str) -> Sent:
        said = json.dumps(json.dumps({"q": text}).replace("o", "\\u006f")) if nested else json.dumps({"q": text})
        if dialect == "openai_chat":
            call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": said}}
            turn: dict[str, object] = {"role": "assistant", "tool_calls": [call]}
        else:
            call = {"type": "tool_use", "id": "1", "name": "f", "input": {"arguments": said}}
            turn = {"role": "assistant", "content": [call]}
        body = asking(dialect, "go on")
        body["messages"] = [{"role": "user", "content": "hi"}, turn, {"role": "user", "content": "go on"}]
        return sent(dialect, body)

    return make


def in_base64(dialect: str, text: str) -> Sent:
    data = base64.b64encode(text.encode()).decode()
    parts: dict[str, object] = {
        "openai_chat": {"type": "file", "file": {"file_data": f"data:text/plain;base64,{data}", "filename": "a.txt"}},
        "anthropic_messages": {
            "type": "document",
            "source": {"type": "base64", "media_type": "text/plain", "data": data},
        },
    }
    return sent(dialect, asking(dialect, [parts[dialect]]))


DEEP = {"a": "TEXT"}
for _ in range(300):
    DEEP = {"a": DEEP}  # type: ignore[dict-item]

ROWS = (
    Row(20, "text/plain", called("text/plain")),
    Row(20, "no content-type", called("")),
    Row(20, "a suffix", called("application/vnd.api+json")),
    Row(20, "a charset that is not so", called("application/json; charset=utf-16")),
    Row(20, "UTF-16", in_charset("utf-16"), same=False),
    Row(21, "multipart", multipart, same=False),
    Row(21, "multipart that is JSON", called("multipart/form-data; boundary=x")),
    Row(21, "an upload", upload, same=None),
    Row(21, "a file uploaded before", uploaded, same=False),
    Row(22, "a key twice, the first bad", twice(True), same=False),
    Row(22, "a key twice, the last bad", twice(False), same=False),
    Row(22, "a key twice, one escaped", rewritten(b'"content": ', b'"cont\\u0065nt": "x", "content": '), same=False),
    Row(23, "an escaped key", rewritten(b'"messages"', b'"mess\\u0061ges"')),
    Row(23, "an escaped key within", rewritten(b'"content"', b'"c\\u006fntent"')),
    Row(24, "a key in capitals", rewritten(b'"messages"', b'"Messages"')),
    Row(24, "a key in capitals within", rewritten(b'"content"', b'"Content"')),
    Row(24, "an alias", instead(prompt="TEXT")),
    Row(24, "an alias with parts", instead(input=[{"type": "input_text", "text": "TEXT"}])),
    Row(24, "an unknown key", instead(whatever={"deep": ["TEXT"]})),
    Row(24, "the text as a key", instead(whatever={"TEXT": 1})),
    Row(25, "a lone surrogate", within(lambda text: "\\ud800" + text), same=False),
    Row(25, "NUL", within("\\u0000".join)),
    Row(25, "a NUL after it all", around(b"", b"\0"), same=False),
    Row(25, "a BOM", around(b"\xef\xbb\xbf", b""), same=False),
    Row(25, "UTF-16 without a word", around(b"\xff\xfe", b""), same=False),
    Row(25, "UTF-32", in_charset("utf-32"), same=False),
    Row(25, "overlong UTF-8", rewritten(b" t", b"\xc0\xa0t"), same=False),
    Row(26, "NaN", rewritten(b'"m"', b"NaN"), same=False),
    Row(26, "a huge number", rewritten(b'"m"', b"1e999"), same=False),
    Row(26, "a comment", around(b"/* harmless */", b""), same=False),
    Row(26, "another value behind", around(b"", b' {"messages": []}'), same=False),
    Row(26, "a comma too many", rewritten(b"}]", b"},]"), same=False),
    Row(26, "single quotes", rewritten(b'"m"', b"'m'"), same=False),
    Row(26, "deep nesting", instead(metadata=DEEP), same=False),
    Row(27, "tokens to complete", tokens("/v1/completions", prompt=[9906, 1917]), same=False),
    Row(27, "tokens to embed", tokens("/v1/embeddings", input=[9906, 1917]), same=False),
    Row(28, "JSON in arguments", in_arguments(nested=False)),
    Row(28, "JSON in JSON in arguments", in_arguments(nested=True)),
    Row(28, "a file in base64", in_base64),
)


@over(ROWS)
def test_syntax(row: Row, dialect: str, text: str) -> None:
    """However it is written, an attack is refused; harmless text passes, unless the form alone is refused."""
    judged(row, dialect, text)


def test_what_goes_on_is_what_was_judged() -> None:
    """22 to 26: a body that passes goes on byte for byte, so nobody reads another one."""
    for dialect in PATHS:
        said = plain(dialect, HARMLESS)
        assert said.body == ask(said).upstream_saw()
