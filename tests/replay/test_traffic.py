"""The traffic file: what it takes, and how it says what it does not take."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.traffic import Answer, Exchange, Expect, Message, parse, read, write

GOOD = b'{"id":"a","format":"openai_chat","messages":[{"role":"user","content":"Hello"}],"answer":{"text":"Hi"}}'


def refused(*rows: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse("t.jsonl", list(enumerate(rows, 1)))
    return str(caught.value)


def test_a_line_is_an_exchange_with_everything_else_at_its_default() -> None:
    """The least that a person must write is an id, a dialect and one turn."""
    [exchange] = parse("t", [(1, GOOD)])
    assert Answer(text="Hi") == exchange.answer
    assert exchange.expect is None
    assert [Message(role="user", content="Hello")] == exchange.messages


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (GOOD.replace(b'"id"', b'"idd"'), "t.jsonl:2: Object contains unknown field `idd`"),
        (GOOD.replace(b"openai_chat", b"telnet"), "t.jsonl:2: Invalid enum value 'telnet' - at `$.format`"),
        (GOOD.replace(b'"text":"Hi"', b'"text":1'), "t.jsonl:2: Expected `str`, got `int` - at `$.answer.text`"),
        (GOOD[:-3], "t.jsonl:2: "),
        (GOOD.replace(b'"id":"a"', b'"id":"\xc3\xa9"'), "t.jsonl:2: id travels in a header"),
        (GOOD.replace(b'[{"role":"user","content":"Hello"}]', b"[]"), "t.jsonl:2: neither messages nor"),
        (GOOD.replace(b'"text":"Hi"', b'"piece":-1'), "t.jsonl:2: answer: piece"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_line(row: bytes, said: str) -> None:
    """A person who made a slip is told the file, the line, the place and what is wrong there."""
    assert said in refused(GOOD.replace(b'"a"', b'"first"'), row)


def test_an_id_stands_once() -> None:
    """Two exchanges of one id could not be told apart, so the file is refused with both lines named."""
    assert refused(GOOD, GOOD) == "t.jsonl:2: id 'a' stands on line 1 too"


def test_further_choices_are_for_the_dialect_that_has_them() -> None:
    """The Messages API gives one answer; a script that asks for more is a slip."""
    row = GOOD.replace(b"openai_chat", b"anthropic_messages").replace(b'"text"', b'"choices":["x"],"text"')
    assert "answer.choices" in refused(row)


def test_an_empty_file_is_no_traffic(tmp_path: Path) -> None:
    """A demo of nothing would pass; it is refused instead."""
    path = tmp_path / "empty.jsonl"
    path.write_text("\n\n")
    with pytest.raises(ConfigError, match="no exchange"):
        read(path)


def test_a_missing_or_broken_file_is_said(tmp_path: Path) -> None:
    """A path that is not there, or is no gzip, ends in one line and not in a traceback."""
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none.jsonl")
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(b"plain")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(broken)


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
@given(text=st.text(min_size=1, max_size=40), stream=st.booleans())
def test_what_is_written_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str, stream: bool
) -> None:
    """Traffic survives the file, plain or packed, whatever its text holds."""
    exchange = Exchange(
        id="x",
        format="anthropic_messages",
        stream=stream,
        messages=[Message(role="user", content=text)],
        answer=Answer(text=text, chunk=7),
        expect=Expect(request="allow", hidden=[text]),
    )
    path = tmp_path_factory.mktemp("traffic") / name
    assert write(path, [exchange]) == 1
    assert [exchange] == read(path)


def test_no_repr_holds_what_people_said() -> None:
    """A traceback that shows an exchange shows sizes, never its words."""
    words = "xyzzy"
    turn, answer = Message(role="user", content=words, document=words), Answer(text=words, reasoning=words)
    exchange = Exchange(
        id="x", format="openai_chat", messages=[turn], system=words, answer=answer, expect=Expect(hidden=[words])
    )
    assert words in msgspec.json.encode(exchange).decode()
    for value in (exchange, turn, answer, exchange.expect, exchange.transport):
        assert words not in repr(value)
