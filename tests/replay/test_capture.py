"""A capture gives back what was put in, to whoever has its key, until it expires; what was changed is not believed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeguards_extproc.core.account import Admitted, Count, Counted, Limit, Shape, Standing, Step
from safeguards_extproc.core.decision import Result
from safeguards_extproc.core.record import Record
from safeguards_extproc.core.taken import Answer, Message, Note, Taken
from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.capture import (
    Head,
    Key,
    Reader,
    Sealed,
    Writer,
    decode,
    encode,
    head_of,
    new_key,
    read_keys,
)

KEY = Key("now", bytes(range(32)))
NOW = 1_000.0
SECRET = "xyzzy"


def head(expires: float = NOW + 60, key: str = KEY.id) -> Head:
    return Head("c1", NOW, expires, key, "test", "eu", "e1")


def exchange(number: int = 0) -> Taken:
    messages = [Message(0, 0, True, SECRET.encode() * 20), Message(1, 17, False, b"\x00\xff")]
    return Taken(f"t{number}", "2026-01-01T00:00:00Z", messages, record=Record(f"r{number}", sequence=number))


def written(folder: Path, count: int = 3, *, ended: bool = True, expires: float = NOW + 60) -> Path:
    path = folder / "one.capture"
    writer = Writer(path, head(expires), KEY)
    for number in range(count):
        writer.write(exchange(number))
    writer.close(ended=ended)
    return path


def read(path: Path, now: float = NOW, keys: tuple[Key, ...] = (KEY,)) -> list[Taken]:
    return list(Reader(path, keys, now))


def test_what_was_taken_comes_back(tmp_path: Path) -> None:
    """In order, all of it, and the file is known to be whole."""
    reader = Reader(written(tmp_path), [Key("old", bytes(32)), KEY], NOW)
    assert [exchange(number) for number in range(3)] == list(reader)
    assert (True, 0, "test", "eu") == (reader.complete, reader.torn, reader.head.source, reader.head.region)


limit = Limit("l", ("tenant",), Count.TOKENS, Shape.RATE, 10, verdicts=frozenset({"block"}), weights={"m": 2})
standing = Standing(Step.THROTTLED, models=frozenset({"m"}), flags=frozenset({"near-duplicates"}))
takens = st.builds(
    Taken,
    st.text(max_size=5),
    messages=st.lists(st.builds(Message, st.integers(0, 9), st.integers(0, 1 << 40), st.booleans(), st.binary())),
    answers=st.lists(
        st.builds(
            Answer,
            st.integers(0, 9),
            st.integers(0, 9),
            st.integers(0, 9),
            st.lists(
                st.tuples(
                    st.binary(min_size=16, max_size=16),
                    st.builds(Result, st.text(max_size=4), st.dictionaries(st.text(max_size=4), st.floats(0, 1))),
                ),
                max_size=2,
            ),
        ),
        max_size=3,
    ),
    notes=st.lists(st.builds(Note, st.integers(0, 9), st.integers(0, 9), st.just("woke"), st.text(max_size=4))),
    admitted=st.sampled_from([None, Admitted([Counted(limit, False, 3)], standing, "store")]),
    expected=st.dictionaries(st.sampled_from(["request", "response"]), st.just("block")),
)


@settings(max_examples=50)
@given(takens)
def test_every_exchange_can_be_written(taken: Taken) -> None:
    """With limits, standings and scores as they were."""
    assert taken == decode(encode(taken))


def test_nothing_can_be_read_without_the_key(tmp_path: Path) -> None:
    """The file, which is its owner's alone, holds no word of it, and another key of the same name does not open it."""
    path = written(tmp_path)
    assert SECRET.encode() not in path.read_bytes()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    with pytest.raises(ConfigError, match="its head or its key was changed"):
        read(path, keys=(Key(KEY.id, bytes(32)),))
    with pytest.raises(ConfigError, match="is under the key 'now'"):
        read(path, keys=(Key("other", KEY.secret),))


def test_it_expires(tmp_path: Path) -> None:
    """Until then it can be read, from then on not."""
    path = written(tmp_path, expires=NOW + 5)
    assert 3 == len(read(path, NOW + 4.9))
    with pytest.raises(ConfigError, match="has expired"):
        read(path, NOW + 5)


def test_nobody_prolongs_it(tmp_path: Path) -> None:
    """Whoever writes another expiry into the head has a file that does not open."""
    path = written(tmp_path, expires=1005.0)
    path.write_bytes(path.read_bytes().replace(b"1005.0", b"9005.0"))
    assert 9005.0 == head_of(path).expires
    with pytest.raises(ConfigError, match="was changed"):
        read(path)


def frames(path: Path) -> tuple[bytes, list[bytes]]:
    """What stands before the frames, and each of them with its length, the end among them."""
    data, found = path.read_bytes(), []
    at = 12 + int.from_bytes(data[8:12], "little") + 12 + 48
    before = data[:at]
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        found.append(data[at:end])
        at = end
    return before, found


@pytest.mark.parametrize(
    "order", [[1, 0, 2, 3], [0, 2, 3], [0, 0, 1, 2, 3], [0, 1, 3], [0, 1, 2, 3, 3], [0, 1, 2, 3, 0]]
)
def test_exchanges_stay_where_they_were(tmp_path: Path, order: list[int]) -> None:
    """None can be moved, left out, doubled or added."""
    path = written(tmp_path)
    before, found = frames(path)
    path.write_bytes(before + b"".join(found[number] for number in order))
    with pytest.raises(ConfigError, match="is not as it was written"):
        read(path)


@settings(max_examples=40)
@given(st.data())
def test_no_bit_of_it_can_be_changed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whichever bit is turned, nothing else than what was written is ever read."""
    path = written(tmp_path_factory.mktemp("bits"))
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    right = [exchange(number) for number in range(3)]
    try:
        reader = Reader(path, [KEY], NOW)
        found = list(reader)
    except ConfigError:
        return
    assert not reader.complete
    assert found == right[: len(found)]


def test_a_cipher_without_its_tag_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The law above bites: with a cipher that believes everything, a turned bit gets through."""
    monkeypatch.setattr(Sealed, "frame", lambda self, number, plain: plain + bytes(16))
    monkeypatch.setattr(Sealed, "open", lambda self, number, frame: frame[:-16])
    path = written(tmp_path)
    before, found = frames(path)
    path.write_bytes(before + b"".join([found[1], found[0], *found[2:]]))
    assert [exchange(number) for number in (1, 0, 2)] == read(path)


@pytest.mark.parametrize("left", [0, 1, 3, 4, 30])
def test_what_a_killed_process_leaves_can_be_read(tmp_path: Path, left: int) -> None:
    """Whole exchanges are there, the torn one is counted in bytes, and the file does not pass for a whole one."""
    path = written(tmp_path, ended=False)
    before, found = frames(path)
    path.write_bytes(before + found[0] + found[1][:left])
    reader = Reader(path, [KEY], NOW)
    assert [exchange(0)] == list(reader)
    assert (False, left) == (reader.complete, left if left == 0 else reader.torn)


def test_what_is_no_capture_is_said(tmp_path: Path) -> None:
    """With what helps, and without a word of it."""
    path = tmp_path / "one.capture"
    for data in (b"", b"SGCAPT02" + bytes(50), b"SGCAPT01\xff\xff\xff\xff", b"SGCAPT01\x02\0\0\0{]" + bytes(60)):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match="no capture, or one of another version"):
            read(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "absent.capture")


def test_a_key_file_holds_what_was_made(tmp_path: Path) -> None:
    """The first key is for new captures, those below it are for older ones."""
    path = tmp_path / "keys.yaml"
    path.write_text(new_key("b") + new_key("a"))
    keys = read_keys(path)
    assert (["b", "a"], {32}) == ([key.id for key in keys], {len(key.secret) for key in keys})
    assert keys[0].secret != keys[1].secret
    assert "Key(b)" == repr(keys[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1", "holds no list of keys"),
        ("- id: a", "is not an id and 32 bytes"),
        ("- id: a\n  key: eHl6enk=", "is not an id and 32 bytes"),
        ("- {id: a, key: eHl6enk=, more: 1}", "is not an id and 32 bytes"),
        (f"{new_key('a')}{new_key('a')}", "the same id"),
        ("- [", "not YAML"),
    ],
)
def test_a_key_file_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    """What is wrong is said, and nothing of a key."""
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_keys(path)
    assert "eHl6enk" not in str(caught.value)
    with pytest.raises(ConfigError, match="small letters"):
        new_key("No Good")


def test_a_capture_is_never_written_over(tmp_path: Path) -> None:
    """What is there stays there."""
    path = written(tmp_path)
    with pytest.raises(FileExistsError):
        Writer(path, head(), KEY)
    assert 3 == len(read(path))
