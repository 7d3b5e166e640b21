"""Model repositories arrive whole and as their digests say, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.records.stores import Store, open_store
from safeguards_extproc.repository import Fetched, digests, fetch
from tests.records.object_store import s3

FILES = {
    "screen/config.pbtxt": b'name: "screen"\n',
    "screen/1/model.py": b"x = 1\n",
    "screen/1/weights": b"w" * 3_000_000,
}
DIGESTS = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A folder, then a bucket, with a repository and a file that nobody named."""
    if request.param == "folder":
        filled = open_store(str(tmp_path / "source"))
        _fill(filled)
        yield filled
    else:
        with s3() as url:
            filled = open_store(url)
            _fill(filled)
            yield filled


def _fill(store: Store) -> None:
    for path, data in FILES.items():
        store.put(path, data)
    store.put("screen/1/extra.py", b"import os\n")


def fetched(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_with_a_digest_are_fetched_and_no_others(store: Store, tmp_path: Path) -> None:
    """What is named arrives byte for byte, and code that nobody named does not."""
    done = fetch(store, tmp_path / "models", DIGESTS)
    assert Fetched(fetched=3, bytes=sum(map(len, FILES.values()))) == done
    assert FILES == fetched(tmp_path / "models")


def test_another_content_is_refused(store: Store, tmp_path: Path) -> None:
    """A file that was changed at its source never gets its name; the others are there, and it is said which is not."""
    store.put("screen/1/model.py", b"x = 2\n")
    done = fetch(store, tmp_path / "models", DIGESTS)
    assert ["screen/1/model.py"] == list(done.problems)
    assert "has the SHA-256" in done.problems["screen/1/model.py"]
    assert {"screen/config.pbtxt", "screen/1/weights"} == fetched(tmp_path / "models").keys()


def test_what_is_missing_is_named(store: Store, tmp_path: Path) -> None:
    """A file that the source lacks is a problem of its own."""
    done = fetch(store, tmp_path / "models", {**DIGESTS, "guard/config.pbtxt": "0" * 64})
    assert {"guard/config.pbtxt": f"is not in {store.url}"} == done.problems


def test_a_second_time_keeps_what_is_right(store: Store, tmp_path: Path) -> None:
    """A restarted container fetches only what is missing or was changed."""
    folder = tmp_path / "models"
    fetch(store, folder, DIGESTS)
    (folder / "screen/1/model.py").write_bytes(b"x = 3\n")
    assert Fetched(fetched=1, kept=2, bytes=6) == fetch(store, folder, DIGESTS)
    assert FILES == fetched(folder)


@pytest.mark.parametrize("planted", ["file", "link"])
def test_what_lies_there_unnamed_is_a_problem(store: Store, tmp_path: Path, planted: str) -> None:
    """A model that nobody named would be served by Triton, so it is not passed over."""
    folder = tmp_path / "models"
    (folder / "other").mkdir(parents=True)
    if planted == "file":
        (folder / "other" / "model.py").write_bytes(b"")
    else:
        (folder / "other" / "model.py").symlink_to("/dev/null")
    assert {"other/model.py": "is there, and has no digest"} == fetch(store, folder, DIGESTS).problems


def test_lists_are_those_of_sha256sum() -> None:
    """Text and binary marks, a leading ./, and empty lines."""
    text = f"{'a' * 64}  screen/1/model.py\n\n{'b' * 64} *./config.pbtxt\n"
    assert {"screen/1/model.py": "a" * 64, "config.pbtxt": "b" * 64} == digests(text, "SUMS")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "SUMS: names no file"),
        (f"{'a' * 63}  x\n", "SUMS:1: no digest and path"),
        (f"{'a' * 64}  ok\n{'a' * 64}  ../x\n", "SUMS:2: a path that leaves the folder"),
        (f"{'a' * 64}  /etc/passwd\n", "SUMS:1: a path that leaves the folder"),
        (f"{'a' * 64}  x\n{'b' * 64}  ./x\n", "SUMS:2: a path that stood there before"),
    ],
)
def test_a_wrong_list_is_refused(text: str, named: str) -> None:
    """By line, before anything is fetched."""
    with pytest.raises(ConfigError) as raised:
        digests(text, "SUMS")
    assert named in str(raised.value)
