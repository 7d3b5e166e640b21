"""What a client cannot choose, it cannot choose: requests with forged headers and bodies leave the record of an honest
one.

A client may say what it likes in headers that nobody reads and in members that no API knows. None of it sets, shortens
or removes a field that is not the client's, none of it is in the record, and the record stays one line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from random import Random
from typing import Any

import pytest

from safeguards_extproc import wire
from safeguards_extproc.core.record import Record
from safeguards_extproc.records.encode import from_json, to_json
from safeguards_extproc.records.origin import Origin
from tests.faults.mutations import MARKER, PATHS, golden
from tests.faults.witness import LENIENT
from tests.playbook import Conversation

CLIENTS = frozenset({"model", "method", "streamed", "trace_id", "duration_ms", "usage"})
"""Top-level fields that a client's request says, or that measure it."""
MEASURED = frozenset({"scores", "features"}) | frozenset(
    f"{step}_ms" for step in ("headers", "ended", "decided", "first_release", "last_release")
)
"""Fields of a direction that are what the text is and how long it took."""
COUNTED = frozenset(
    {"bytes_in", "bytes_decoded", "bytes_released", "bytes_written", "frames", "windows", "channels", "checks"}
)
"""Members of an account that count what came."""

CANARY = "zq7canary"
"""Stands in everything that is forged."""
NAMES = sorted(asdict(Record("1")) | asdict(Record("1").request) | asdict(Record("1").request.account))
VALUES = ("allow", "complete", "good", "0", "", "null", "00", "sha256:00", '","outcome":"allow","x":"', "\\u0000", "☃")
PREFIXES = ("x-safeguards-", "x-", "x-envoy-", "x-forwarded-", "ce-", "grpc-", "")
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

Forge = Callable[[Random, dict[str, str], Any], Any]
"""Puts something into the headers, or gives another body."""


def headers(random: Random, fields: dict[str, str], body: Any) -> Any:
    """Headers called like fields of a record."""
    for _ in range(random.randrange(1, 12)):
        name = random.choice(PREFIXES) + random.choice(NAMES).replace("_", random.choice("-_"))
        fields[name] = random.choice(VALUES) + CANARY * random.randrange(1, 3)
    return body


def traces(random: Random, fields: dict[str, str], body: Any) -> Any:
    """Identities of a trace that are none, and one that is."""
    broken = (
        CANARY * 9,
        f"00-{CANARY * 4}-{CANARY}-01",
        TRACE[:-1],
        TRACE.upper(),
        f"{TRACE}{CANARY}",
        "00-" + "0" * 50,
    )
    fields["traceparent"] = random.choice((*broken, TRACE))
    fields["tracestate"] = fields["baggage"] = f"producer={CANARY}"
    return body


def giants(random: Random, fields: dict[str, str], body: Any) -> Any:
    """A header of 50 KB, and so many more."""
    fields["x-" + random.choice(NAMES)] = CANARY * 5500
    fields.update({f"x-{CANARY}-{number}": "1" for number in range(200)})
    return body


def members(random: Random, fields: dict[str, str], body: Any) -> Any:
    """Members called like fields of a record, of any type, at the top and among what is said."""
    values: tuple[Any, ...] = (*VALUES, 0, -1, 1e300, True, None, [], {}, {"applied": "allow"}, [{"rule": "x"}])
    forged = {random.choice(NAMES): random.choice(values) for _ in range(random.randrange(1, 6))}
    forged = {f"{name}_{CANARY}" if name in KNOWN else name: value for name, value in forged.items()}
    body = {**forged, **body} if random.random() < 0.5 else {**body, **forged}
    if random.random() < 0.5:
        body["metadata"] = {**body.get("metadata", {}), "sequence": "1", "producer": "1"}
    return body


def order(random: Random, fields: dict[str, str], body: Any) -> Any:
    """The same members, in another order."""
    names = list(body)
    random.shuffle(names)
    return {name: body[name] for name in names}


FORGERIES: tuple[Forge, ...] = (headers, traces, giants, members, order)
KNOWN = frozenset(
    member for dialect in PATHS for request, _, _ in golden(dialect) for member in json.loads(request)
) | {"metadata", "user", "format", "model", "tools", "request", "response"}
"""Members that an API gives a meaning to."""


def base(random: Random) -> tuple[str, Any, bytes]:
    """A recorded exchange; half of the requests are to be blocked."""
    dialect = random.choice(sorted(PATHS))
    request, answer, _ = random.choice(golden(dialect))
    asked = json.loads(request)
    asked.pop("stream", None)
    if random.random() < 0.5:
        asked["messages"] = [*asked["messages"], {"role": "user", "content": f"Tell me of {MARKER}."}]
    return dialect, asked, answer


def play(random: Random, dialect: str, body: Any, answer: bytes, fields: dict[str, str]) -> Record:
    """The record of an exchange, stamped as the filter stamps it."""
    it = Conversation(LENIENT, wire=wire, model=lambda _: {"screen.unsafe": 0.1})
    escaped = json.dumps(body, ensure_ascii=random.random() < 0.5, indent=random.choice((None, 0, 2))).encode()
    it.request(escaped, random.choice((0, 0, 100)), path=PATHS[dialect], host="held.test", **fields)
    it.response(answer)
    if not it.exchange.finished:
        it.abort()
    Origin("eu-1", "worker", "e").stamp(it.record)
    it.record.sequence = 7
    return it.record


def ours(record: Record) -> dict[str, Any]:
    """What no client can choose."""
    fields = asdict(record)
    for name in CLIENTS:
        del fields[name]
    for phase in (fields["request"], fields["response"]):
        for name in MEASURED:
            del phase[name]
        for name in COUNTED:
            del phase["account"][name]
    return fields


def difference(honest: Record, forged: Record) -> str:
    """Which field differs that must not, "" if none."""
    mine, theirs = ours(honest), ours(forged)
    for name in mine:
        if mine[name] != theirs[name]:
            return name
    line = to_json(forged)
    if b"\n" in line or from_json(line) != forged or len(line) > len(to_json(honest)) + 2000:
        return "line"
    return "text" if CANARY.encode() in line else ""


@cache
def honest(seed: int) -> tuple[str, Any, bytes, Record]:
    """An exchange that nobody forged, and its record."""
    dialect, body, answer = base(Random(seed))
    return dialect, body, answer, play(Random(seed), dialect, body, answer, {})


def forged(seed: int, forgery: Callable[[Record, dict[str, str]], Record] = lambda record, _: record) -> str:
    """The difference that forging makes to the exchange of this seed."""
    random = Random(seed)
    dialect, body, answer, record = honest(seed // 5)
    fields: dict[str, str] = {}
    for forge in random.sample(FORGERIES, random.randrange(1, 4)):
        body = forge(random, fields, body)
    return difference(record, forgery(play(random, dialect, body, answer, fields), fields))


@pytest.mark.parametrize("seeds", [range(200), pytest.param(range(10_000), marks=pytest.mark.long)], ids=len)
def test_no_client_can_forge_a_record(seeds: range) -> None:
    """Whatever stands in headers and body, what is ours is as it would be without."""
    found = {seed: name for seed in seeds if (name := forged(seed))}
    assert {} == found


def believing(record: Record, fields: dict[str, str]) -> Record:
    """A planted fault: a header says what became of the exchange."""
    record.outcome = fields.get("x-safeguards-outcome", record.outcome)
    return record


def quoting(record: Record, fields: dict[str, str]) -> Record:
    """A planted fault: a header goes into the record as it is."""
    record.trace_id = fields.get("traceparent", "")[3:35]
    return record


@pytest.mark.parametrize("fault", [believing, quoting])
def test_the_comparison_bites(fault: Callable[[Record, dict[str, str]], Record]) -> None:
    """Who believes a header is found out."""
    assert any(forged(seed, fault) for seed in range(400))
