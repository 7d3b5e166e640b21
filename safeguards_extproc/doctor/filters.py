"""What can be wrong with the filter in a listener: that it is not asked, not waited for, not told, or not the last."""

from __future__ import annotations

from collections.abc import Iterator

from safeguards_extproc.doctor.finding import Finding
from safeguards_extproc.doctor.seen import (
    EXT_PROC,
    NAMESPACE,
    Chain,
    Filter,
    Route,
    Seen,
    duration,
    effective,
    get,
    items,
    reads,
)

DEFAULT_TIMEOUT_S, SHORT_S = 0.2, 1.0
DEFAULT_ROUTE_TIMEOUT_S, SHORT_ROUTE_S = 15.0, 60.0
BUFFER = 1 << 20

_HTTP = "envoy.extensions.filters.http"
CHANGING = (
    f"{_HTTP}.lua.",
    f"{_HTTP}.wasm.",
    f"{_HTTP}.dynamic_modules.",
    f"{_HTTP}.golang.",
    f"{_HTTP}.transform.",
    f"{_HTTP}.grpc_json_transcoder.",
    f"{_HTTP}.grpc_json_reverse_transcoder.",
    f"{_HTTP}.ext_proc.",
)
"""Filters that may change a body."""

SIGNING = f"{_HTTP}.aws_request_signing."


def missing(seen: Seen) -> Iterator[Finding]:
    """No listener that forwards has the filter."""
    chains = [chain for chain in seen.chains if any(route.forwards for route in chain.routes)]
    if not any(seen.ours(chain) for chain in chains):
        for chain in chains:
            yield Finding(chain.name, "forwards without the filter")
    if not seen.chains:
        yield Finding("Envoy", "has no HTTP listener")


def unread_listener(seen: Seen) -> Iterator[Finding]:
    """A listener without the filter, beside others that have it."""
    if any(True for _ in seen.guarded()):
        for chain in seen.chains:
            if not seen.ours(chain) and any(route.forwards for route in chain.routes):
                yield Finding(chain.name, "forwards without the filter, where other listeners have it")


def unread_route(seen: Seen) -> Iterator[Finding]:
    for chain in seen.chains:
        ours = seen.ours(chain)
        for route in chain.routes if ours else ():
            if route.forwards and not any(reads(route, each) for each in ours):
                yield Finding(f"{chain.name}, {route.name}", "the filter is switched off here")


def twice(seen: Seen) -> Iterator[Finding]:
    for chain in seen.chains:
        for route in chain.routes:
            reading = [each for each in seen.ours(chain) if reads(route, each)]
            if len(reading) > 1:
                yield Finding(f"{chain.name}, {route.name}", f"is read {len(reading)} times")


def fails_open(seen: Seen) -> Iterator[Finding]:
    for chain, filter_, route in _read(seen):
        if effective(route, filter_, "failure_mode_allow"):
            yield Finding(f"{chain.name}, {route.name}", "traffic passes unread while the filter is away")


def short_timeout(seen: Seen) -> Iterator[Finding]:
    """Full duplex has no such timer, so it only counts where a direction goes otherwise."""
    for chain, filter_, route in _read(seen):
        mode = effective(route, filter_, "processing_mode")
        timed = any(get(mode, f"{side}_body_mode") != "FULL_DUPLEX_STREAMED" for side in ("request", "response"))
        waits = duration(filter_.config.get("message_timeout"), DEFAULT_TIMEOUT_S)
        if timed and waits < SHORT_S:
            what = f"message_timeout is {waits:g} s: Envoy gives up before the filter decides"
            yield Finding(f"{chain.name}, {route.name}", what)


def unsent_phase(seen: Seen) -> Iterator[Finding]:
    """A body that is not sent, or cut; headers that are skipped."""
    for chain, filter_, route in _read(seen):
        mode = effective(route, filter_, "processing_mode")
        where = f"{chain.name}, {route.name}"
        for side in ("request", "response"):
            if get(mode, f"{side}_header_mode") == "SKIP":
                yield Finding(where, f"{side}_header_mode is SKIP: the {side} is not seen")
            body = get(mode, f"{side}_body_mode") or "NONE"
            if body in ("NONE", "BUFFERED_PARTIAL"):
                yield Finding(where, f"{side}_body_mode is {body}: the {side}'s text is not read, or not all of it")


def gone_ahead(seen: Seen) -> Iterator[Finding]:
    for chain, filter_, route in _read(seen):
        if get(effective(route, filter_, "processing_mode"), "request_body_mode") == "STREAMED":
            what = "request_body_mode is STREAMED: a request is on its way before its verdict"
            yield Finding(f"{chain.name}, {route.name}", what)


def not_waited_for(seen: Seen) -> Iterator[Finding]:
    for chain, filter_ in seen.guarded():
        if filter_.config.get("observability_mode"):
            yield Finding(chain.name, "observability_mode: Envoy tells the filter and does not wait")


def refusals_ignored(seen: Seen) -> Iterator[Finding]:
    for chain, filter_ in seen.guarded():
        if filter_.config.get("disable_immediate_response"):
            yield Finding(chain.name, "disable_immediate_response: a refusal becomes an error")


def hidden_headers(seen: Seen) -> Iterator[Finding]:
    for chain, filter_ in seen.guarded():
        if filter_.config.get("forward_rules"):
            yield Finding(chain.name, "forward_rules keep headers from the filter: it may not know what a body is")


def forbidden_changes(seen: Seen) -> Iterator[Finding]:
    for chain, filter_ in seen.guarded():
        if get(filter_.config, "mutation_rules", "disallow_all"):
            yield Finding(chain.name, "mutation_rules.disallow_all: no header of the filter's arrives")


def dropped_metadata(seen: Seen) -> Iterator[Finding]:
    for chain, filter_ in seen.guarded():
        if NAMESPACE not in items(get(filter_.config, "metadata_options", "receiving_namespaces", "untyped")):
            yield Finding(chain.name, f"receiving_namespaces lacks {NAMESPACE!r}: the verdict never leaves the filter")


def unsaid(seen: Seen) -> Iterator[Finding]:
    for chain in seen.chains:
        if seen.ours(chain) and f"DYNAMIC_METADATA({NAMESPACE}" not in str(chain.manager.get("access_log")):
            yield Finding(chain.name, "the access log does not say what the filter decided")


def changed_afterwards(seen: Seen) -> Iterator[Finding]:
    """Something between the filter and the router may change what was judged, or sign before it is edited."""
    for chain in seen.chains:
        names = [each.name for each in seen.ours(chain)]
        if not names:
            continue
        order = list(chain.filters)
        last = max(number for number, each in enumerate(order) if each.name in names)
        for each in order[last + 1 :]:
            if each.kind.startswith(CHANGING):
                kind = "another ext_proc filter" if each.kind == EXT_PROC else each.name
                yield Finding(chain.name, f"{kind} ({each.name}) comes after it and may change what was judged")
        for each in order[:last]:
            if each.kind.startswith(SIGNING):
                yield Finding(chain.name, f"{each.name} signs before it: what is edited has a wrong signature")


def small_buffer(seen: Seen) -> Iterator[Finding]:
    for chain, filter_, route in _read(seen):
        buffered = get(effective(route, filter_, "processing_mode"), "request_body_mode") == "BUFFERED"
        if buffered and chain.buffer_limit < BUFFER:
            what = f"buffered requests over {chain.buffer_limit} bytes get 413 (per_connection_buffer_limit_bytes)"
            yield Finding(f"{chain.name}, {route.name}", what)


def short_route(seen: Seen) -> Iterator[Finding]:
    for chain, _, route in _read(seen):
        cut = duration(route.action.get("timeout"), DEFAULT_ROUTE_TIMEOUT_S)
        if 0 < cut < SHORT_ROUTE_S:
            yield Finding(f"{chain.name}, {route.name}", f"answers are cut after {cut:g} s (route timeout)")


def two_paths(seen: Seen) -> Iterator[Finding]:
    for chain in seen.chains:
        if not seen.ours(chain):
            continue
        slashes = chain.manager.get("path_with_escaped_slashes_action")
        if chain.manager.get("normalize_path") is not True:
            yield Finding(chain.name, "normalize_path is not set: /a/../b may be one route here and another upstream")
        elif slashes in (None, "IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED"):
            yield Finding(chain.name, "path_with_escaped_slashes_action is not set: nor may %2F")


def _read(seen: Seen) -> Iterator[tuple[Chain, Filter, Route]]:
    """Each route that a filter of ours reads."""
    for chain, filter_ in seen.guarded():
        for route in chain.routes:
            if route.forwards and reads(route, filter_):
                yield chain, filter_, route
