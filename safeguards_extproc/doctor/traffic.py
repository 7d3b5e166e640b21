"""What the counts of a running Envoy say went wrong already: what passed unread, was refused, or got no answer."""

from __future__ import annotations

from collections.abc import Iterator

from safeguards_extproc.doctor.finding import Finding
from safeguards_extproc.doctor.seen import Seen, get

OLDEST = (1, 35, 0)
MENDED = {35: 13, 36: 9, 37: 5, 38: 3}
"""By minor version, the first patch in which several answers in one gRPC message crash no Envoy (CVE-2026-47207)."""


def old_version(seen: Seen) -> Iterator[Finding]:
    major, minor, patch = seen.version
    said = f"{major}.{minor}.{patch}"
    if seen.version == (0, 0, 0):
        yield Finding("Envoy", "does not say its version")
    elif seen.version < OLDEST:
        yield Finding("Envoy", f"{said} is older than 1.35: full duplex is not what the filter needs")
    elif major == 1 and patch < MENDED.get(minor, 0):
        yield Finding("Envoy", f"{said} can be crashed by several ext_proc answers at once (CVE-2026-47207)")


def no_host(seen: Seen) -> Iterator[Finding]:
    for name, _ in seen.used():
        hosts = seen.hosts.get(name, ())
        if not any(hosts):
            yield Finding(name, f"none of {len(hosts)} hosts takes traffic: all of it is refused, or passes unread")


def passed_unread(seen: Seen) -> Iterator[Finding]:
    for prefix, count in _counts(seen, "failure_mode_allowed"):
        yield Finding(prefix, f"{count} times traffic passed unread since Envoy started")


def timed_out(seen: Seen) -> Iterator[Finding]:
    for prefix, count in _counts(seen, "message_timeouts"):
        yield Finding(prefix, f"{count} times Envoy gave up waiting for the filter")


def streams_failed(seen: Seen) -> Iterator[Finding]:
    for prefix, count in _counts(seen, "streams_failed"):
        started = seen.stats.get(f"{prefix}.streams_started", 0)
        yield Finding(prefix, f"{count} of {started} streams to the filter broke")


def changes_rejected(seen: Seen) -> Iterator[Finding]:
    for prefix, count in _counts(seen, "rejected_header_mutations"):
        yield Finding(prefix, f"{count} header changes of a processor were rejected")


def overflowed(seen: Seen) -> Iterator[Finding]:
    for name, _ in seen.used():
        for counter in ("upstream_rq_active_overflow", "upstream_rq_pending_overflow"):
            if count := seen.stats.get(f"cluster.{name}.{counter}", 0):
                yield Finding(name, f"{count} streams found the circuit breaker open ({counter})")


def _counts(seen: Seen, name: str) -> Iterator[tuple[str, int]]:
    """Counters of ext_proc filters in chains that have ours; several filters of one listener share them."""
    for prefix in sorted({str(get(chain.manager, "stat_prefix")) for chain, _ in seen.guarded()}):
        for stat, count in seen.stats.items():
            if count and stat.startswith(f"http.{prefix}.ext_proc.") and stat.endswith(f".{name}"):
                yield stat.removesuffix(f".{name}"), count
