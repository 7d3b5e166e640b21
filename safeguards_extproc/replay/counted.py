"""What a replay through records has counted so far, in a file, so that one that was interrupted goes on where it was.

The one rule: the file holds whole parts. It is put into its place when one more of them is counted, and not before.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from safeguards_extproc.errors import ConfigError
from safeguards_extproc.replay.compare import Comparison, Example, Tally
from safeguards_extproc.replay.histogram import Histogram
from safeguards_extproc.replay.identities import Identities, Strikes
from safeguards_extproc.replay.journal import Begin

PART = 32
"""Files that are counted before it is noted: sealed ones hold 20,000 records each."""


class _Strikes(msgspec.Struct, array_like=True):
    subjects: list[int]
    times: list[float]
    specs: list[int]


class _Counted(msgspec.Struct):
    """A Comparison of the first `done` files, in what JSON knows."""

    begin: Begin
    done: int
    total: Tally
    changes: list[tuple[str, str, int]]
    rules: list[tuple[str, str, int]]
    by: dict[str, dict[str, Tally]]
    labelled: dict[str, Tally]
    before_ms: list[int]
    after_ms: list[int]
    examples: list[tuple[str, str, list[Example]]]
    undecided: dict[str, int]
    notes: dict[str, int]
    seen: list[str]
    names: list[tuple[str, str]]
    before: _Strikes
    after: _Strikes


def in_parts(
    files: Sequence[str], path: Path, begin: Begin, comparison: Comparison, run: Callable[[Sequence[str]], None]
) -> int:
    """Have `run` count the files that `path` does not say are counted, part by part, into `comparison`, which is new;
    how many were counted before. ConfigError if `path` is of another replay or cannot be used."""
    try:
        before = _read(path, begin)
        if before is not None:
            comparison.merge(_comparison(before, comparison.identities))
        done = before.done if before is not None else 0
        for at in range(done, len(files), PART):
            some = files[at : at + PART]
            run(some)
            _write(path, _said(comparison, begin, at + len(some)))
    except OSError as error:
        raise ConfigError(f"cannot be used: {error.strerror}", where=str(path)) from None
    return done


def named(files: Sequence[str], labels: Mapping[str, str]) -> str:
    """Names these files, in this order, counted with these labels."""
    return hashlib.sha256(msgspec.json.encode([list(files), dict(labels)])).hexdigest()[:32]


def _read(path: Path, begin: Begin) -> _Counted | None:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Counted)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    if found is None or found.begin != begin:
        hint = "name another file, or the same records and policies as then"
        raise ConfigError("is of another replay", where=str(path), hint=hint)
    return found


def _write(path: Path, counted: _Counted) -> None:
    other = path.with_name(path.name + ".part")
    with other.open("wb") as file:
        file.write(msgspec.json.encode(counted))
        file.flush()
        os.fsync(file.fileno())
    other.replace(path)


def _said(of: Comparison, begin: Begin, done: int) -> _Counted:
    return _Counted(
        begin,
        done,
        of.total,
        [(*key, count) for key, count in of.changes.items()],
        [(*key, count) for key, count in of.rules.items()],
        of.by,
        of.labelled,
        of.before_ms.counts.tolist(),
        of.after_ms.counts.tolist(),
        [(*key, found) for key, found in of.examples.items()],
        dict(of.undecided),
        dict(of.notes),
        sorted(of.seen),
        list(of.identities.names),
        *(
            _Strikes(list(each.subjects), list(each.times), list(each.specs))
            for each in (of.identities.before, of.identities.after)
        ),
    )


def _comparison(said: _Counted, identities: Identities) -> Comparison:
    names = {name: at for at, name in enumerate(said.names)}
    strikes = (
        Strikes(array("L", each.subjects), array("d", each.times), array("H", each.specs))
        for each in (said.before, said.after)
    )
    return Comparison(
        Identities(identities.before_spec, identities.after_spec, names, *strikes),
        said.total,
        Counter({(before, after): count for before, after, count in said.changes}),
        Counter({(before, after): count for before, after, count in said.rules}),
        said.by,
        said.labelled,
        Histogram(np.array(said.before_ms, np.int64)),
        Histogram(np.array(said.after_ms, np.int64)),
        {(kind, rule): found for kind, rule, found in said.examples},
        Counter(said.undecided),
        Counter(said.notes),
        set(said.seen),
    )
