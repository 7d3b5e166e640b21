"""A replay through records that was interrupted goes on, and counts what one would have counted that was not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay import counted
from safeguards_extproc.replay.compare import Comparison
from safeguards_extproc.replay.counted import in_parts, named
from safeguards_extproc.replay.journal import Begin
from safeguards_extproc.replay.on_ray import identities
from safeguards_extproc.replay.records import run
from tests.replay.decided import bad, records
from tests.replay.test_on_ray import STRICT, counts
from tests.replay.test_records import written

BEGIN = Begin("files", "new", "old", True, "records")


def test_what_was_counted_is_not_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in its third part of four: two parts are read, two are done, and all counts are those of one go."""
    monkeypatch.setattr(counted, "PART", 2)
    found = records(400)
    files, labels, kept = written(found, tmp_path, 50), bad(found), tmp_path / "kept"
    policies, done = STRICT.policies(), list[str]()

    def count(some: Sequence[str], into: Comparison, most: int) -> None:
        if len(done) >= most:
            raise KeyboardInterrupt
        run(some, policies, into, labels)
        done.extend(some)

    broken, whole, again = (Comparison(identities(policies)) for _ in range(3))
    with pytest.raises(KeyboardInterrupt):
        in_parts(files, kept, BEGIN, broken, lambda some: count(some, broken, 4))
    assert 4 == in_parts(files, kept, BEGIN, again, lambda some: count(some, again, 9))
    assert files == done
    run(files, policies, whole, labels)
    assert counts(whole) == counts(again)
    assert whole.identities.changed() == again.identities.changed()
    assert whole.examples == again.examples
    assert 8 == in_parts(files, kept, BEGIN, Comparison(identities(policies)), lambda some: count(some, again, 0))


def test_what_was_counted_is_of_one_replay(tmp_path: Path) -> None:
    """Of these files, labels and policies; half a file is of none."""
    kept, comparison = tmp_path / "kept", Comparison()
    in_parts(["a"], kept, BEGIN, comparison, lambda some: None)
    for begin, text in ((Begin("files", "newer", "old", True, "records"), kept.read_bytes()), (BEGIN, b'{"begin"')):
        kept.write_bytes(text)
        with pytest.raises(ConfigError, match="of another replay"):
            in_parts(["a"], kept, begin, Comparison(), lambda some: None)
    with pytest.raises(ConfigError, match="cannot be used"):
        in_parts(["a"], tmp_path / "absent" / "kept", BEGIN, Comparison(), lambda some: None)
    assert 3 == len({named(["a", "b"], {}), named(["b", "a"], {}), named(["a", "b"], {"x": "block"})})
