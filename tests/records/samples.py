"""Decision records for tests: any that the core could make."""

from __future__ import annotations

from hypothesis import strategies as st

from safeguards_extproc.core.record import (
    Account,
    ChannelAccount,
    Checks,
    FiredRule,
    ItemFacts,
    Items,
    ItemScores,
    LimitState,
    Phase,
    Record,
    Tokens,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
COUNT = st.integers(0, 2**53)
MS = st.floats(-1, 1e7)
SCORE = st.floats(0, 1)

ACCOUNTS = st.builds(
    Account,
    bytes_in=COUNT,
    windows=COUNT,
    channels=st.dictionaries(TEXT, st.builds(ChannelAccount, COUNT, COUNT), max_size=2),
    checks=st.dictionaries(TEXT, st.builds(Checks, COUNT, COUNT, COUNT), max_size=2),
    released_unscanned=st.booleans(),
    coverage=TEXT,
)
PHASES = st.builds(
    Phase,
    applied=TEXT,
    fired=st.lists(st.builds(FiredRule, TEXT, TEXT, TEXT, TEXT), max_size=2),
    scores=st.dictionaries(TEXT, st.dictionaries(TEXT, SCORE, max_size=2), max_size=2),
    failed=st.dictionaries(TEXT, TEXT, max_size=2),
    features=st.dictionaries(TEXT, st.booleans() | st.integers(-(2**53), 2**53) | SCORE | TEXT, max_size=3),
    redactions=st.dictionaries(TEXT, COUNT, max_size=2),
    restored=st.dictionaries(TEXT, COUNT, max_size=2),
    items=st.builds(Items, COUNT, COUNT, COUNT, st.lists(TEXT, max_size=2), st.lists(TEXT, max_size=2)),
    item_facts=st.builds(
        ItemFacts,
        TEXT,
        st.dictionaries(
            TEXT,
            st.builds(
                ItemScores,
                st.lists(st.integers(-1, 9), max_size=2),
                st.dictionaries(TEXT, st.lists(st.just(-1.0) | SCORE, max_size=2), max_size=2),
            ),
            max_size=2,
        ),
        st.dictionaries(TEXT, st.lists(st.integers(-1, 9), max_size=2), max_size=2),
    ),
    account=ACCOUNTS,
    ended_ms=MS,
)
RECORDS = st.builds(
    Record,
    id=TEXT,
    time=TEXT,
    region=TEXT,
    producer=TEXT,
    epoch=TEXT,
    sequence=COUNT,
    masked=st.lists(TEXT, max_size=2),
    model=TEXT,
    streamed=st.booleans(),
    versions=st.dictionaries(TEXT, TEXT, max_size=2),
    status=st.integers(0, 599),
    request=PHASES,
    response=PHASES,
    duration_ms=MS,
    identity=st.dictionaries(TEXT, TEXT, max_size=1),
    account=TEXT,
    limits=st.lists(st.builds(LimitState, TEXT, st.booleans(), COUNT, st.booleans()), max_size=1),
    limits_from=TEXT,
    usage=st.builds(Tokens, COUNT, COUNT, st.booleans()),
)


def record(sequence: int = 0, producer: str = "worker", epoch: str = "") -> Record:
    """A small one."""
    return Record(id=f"x{sequence}", producer=producer, epoch=epoch, sequence=sequence, route="chat")
