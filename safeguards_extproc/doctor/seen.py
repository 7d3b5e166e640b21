"""What a running Envoy says of itself, as far as the checks ask: listeners, their filters and routes, clusters, counts.

It is read from the admin interface's JSON, whose shape depends on the version and on what somebody configured: what is
not there is None or empty, and nothing that is there can raise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
EXT_PROC = "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
WRAPPED = "envoy.config.route.v3.FilterConfig"
NAMESPACE = "safeguards"


@dataclass(frozen=True, slots=True)
class Filter:
    """An HTTP filter: `kind` is the type of its configuration."""

    name: str
    kind: str
    config: Json
    disabled: bool = False

    @property
    def cluster(self) -> str:
        """The cluster that an ext_proc filter asks, "" if it has none of Envoy's own."""
        return str(get(self.config, "grpc_service", "envoy_grpc", "cluster_name") or "")


@dataclass(frozen=True, slots=True)
class Route:
    """`per_filter` is what counts for this route, by the filter's name; `forwards` whether it goes to an upstream."""

    name: str
    forwards: bool
    action: Json
    per_filter: Json


@dataclass(frozen=True, slots=True)
class Chain:
    """An HTTP connection manager of a listener, and where it stands."""

    name: str
    manager: Json
    buffer_limit: int
    filters: Sequence[Filter]
    routes: Sequence[Route]


@dataclass(frozen=True, slots=True)
class Seen:
    """One Envoy. `stats` has counters and gauges; `hosts` says of each cluster's hosts whether they take traffic.

    `wanted` is the cluster that the operator calls ours, "" to find it; `streams` how many answers may live at once;
    `drain_s` how long a filter says that it is leaving before it does.
    """

    version: tuple[int, int, int]
    chains: Sequence[Chain]
    clusters: Mapping[str, Json]
    stats: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, Sequence[bool]] = field(default_factory=dict)
    wanted: str = ""
    streams: int = 1025
    drain_s: float = 5.0

    def ours(self, chain: Chain) -> list[Filter]:
        """Our filters of a chain: those of the cluster that was named, else those that look like ours, else all."""
        every = [(one, each) for one in self.chains for each in one.filters if each.kind == EXT_PROC]
        if self.wanted:
            chosen = [(one, each) for one, each in every if each.cluster == self.wanted]
        else:
            chosen = [(one, each) for one, each in every if _looks_like_ours(each)] or every
        return [each for one, each in chosen if one is chain]

    def guarded(self) -> Iterator[tuple[Chain, Filter]]:
        """Every filter of ours, with its chain."""
        for chain in self.chains:
            for each in self.ours(chain):
                yield chain, each

    def used(self) -> Iterator[tuple[str, Json]]:
        """Each cluster that a filter of ours asks, if Envoy has it."""
        for name in sorted({each.cluster for _, each in self.guarded()}):
            if name in self.clusters:
                yield name, self.clusters[name]


def seen(dump: object, info: object, stats: object = None, clusters: object = None, **given: Any) -> Seen:
    """What `/config_dump`, `/server_info`, `/stats?format=json` and `/clusters?format=json` say."""
    parts = list(items(get(dump, "configs")))
    routes = {str(get(each, "name")): each for each in _of(parts, "RoutesConfigDump", "route_config")}
    listeners = _of(parts, "ListenersConfigDump", "listener")
    return Seen(
        version=_version(str(get(info, "version") or "")),
        chains=[chain for each in listeners for chain in _chains(each, routes)],
        clusters={str(get(each, "name")): each for each in _of(parts, "ClustersConfigDump", "cluster")},
        stats=_stats(stats),
        hosts={
            str(get(each, "name")): [_takes_traffic(host) for host in items(get(each, "host_statuses"))]
            for each in items(get(clusters, "cluster_statuses"))
        },
        **given,
    )


def get(value: object, *path: str) -> Any:
    """What is at a path of names, None if anything on the way is missing or no object."""
    for name in path:
        match value:
            case Mapping():
                value = value.get(name)
            case _:
                return None
    return value


def items(value: object) -> Sequence[Any]:
    """A list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []


def duration(value: object, default: float) -> float:
    """Seconds of "0.200s"."""
    match re.fullmatch(r"(\d+(?:\.\d+)?)s", value) if isinstance(value, str) else None:
        case re.Match() as found:
            return float(found[1])
        case _:
            return default


def number(value: object, default: int) -> int:
    """A whole number, written as one or, as protobuf's JSON writes large ones, as a string."""
    match value:
        case bool():
            return default
        case int():
            return value
        case str() if value.isascii() and value.isdigit():
            return int(value)
        case _:
            return default


def override(route: Route, filter_: Filter) -> Json | None:
    """What a route says of a filter, None if nothing."""
    found = route.per_filter.get(filter_.name)
    if not isinstance(found, Mapping):
        return None
    if _kind(found) != WRAPPED:
        return found
    inner = found.get("config")
    return {**(inner if isinstance(inner, Mapping) else {}), **({"disabled": True} if found.get("disabled") else {})}


def reads(route: Route, filter_: Filter) -> bool:
    """Whether a filter sees a route's traffic: its own setting counts more than the filter's."""
    said = override(route, filter_)
    if said is None:
        return not filter_.disabled
    return not get(said, "disabled")


def effective(route: Route, filter_: Filter, name: str) -> Any:
    """A setting of a filter as it is on a route."""
    said = get(override(route, filter_), "overrides", name)
    return filter_.config.get(name) if said is None else said


def _looks_like_ours(filter_: Filter) -> bool:
    namespaces = items(get(filter_.config, "metadata_options", "receiving_namespaces", "untyped"))
    return NAMESPACE in filter_.cluster or NAMESPACE in namespaces


def _of(parts: Sequence[Any], kind: str, name: str) -> list[Json]:
    """Every object of a kind, whether a file or a control plane said it."""
    found = []
    for part in parts:
        if str(get(part, "@type")).endswith(f".{kind}"):
            for rows in part.values():
                for row in items(rows):
                    each = get(row, "active_state", name) or get(row, name)
                    if isinstance(each, Mapping):
                        found.append(each)
    return found


def _chains(listener: Json, routes: Mapping[str, Json]) -> Iterator[Chain]:
    name = str(get(listener, "name") or "listener")
    chains = [*items(get(listener, "filter_chains")), get(listener, "default_filter_chain")]
    for chain in chains:
        for each in items(get(chain, "filters")):
            manager = get(each, "typed_config")
            if _kind(manager) != MANAGER:
                continue
            table = get(manager, "route_config") or routes.get(str(get(manager, "rds", "route_config_name"))) or {}
            label = str(get(chain, "name") or "")
            yield Chain(
                name=f"{name}/{label}" if label else name,
                manager=manager,
                buffer_limit=number(get(listener, "per_connection_buffer_limit_bytes"), 1 << 20),
                filters=[_filter(row) for row in items(get(manager, "http_filters"))],
                routes=list(_routes(table)),
            )


def _filter(row: object) -> Filter:
    config = get(row, "typed_config")
    return Filter(
        name=str(get(row, "name") or ""),
        kind=_kind(config),
        config=config if isinstance(config, Mapping) else {},
        disabled=bool(get(row, "disabled")),
    )


def _routes(table: Json) -> Iterator[Route]:
    for host in items(get(table, "virtual_hosts")):
        for number_, row in enumerate(items(get(host, "routes"))):
            action = get(row, "route")
            match_ = get(row, "match") or {}
            path = next((str(match_[key]) for key in ("prefix", "path", "path_separated_prefix") if key in match_), "")
            name = str(get(row, "name") or path or f"route {number_}")
            outer = [get(each, "typed_per_filter_config") or {} for each in (table, host, row)]
            merged = {key: value for each in outer for key, value in each.items()}
            weighted = items(get(action, "weighted_clusters", "clusters"))
            inner = [get(each, "typed_per_filter_config") or {} for each in weighted] or [{}]
            for more in inner:
                yield Route(f"{get(host, 'name')}: {name}", action is not None, action or {}, {**merged, **more})


def _kind(config: object) -> str:
    return str(get(config, "@type") or "").removeprefix("type.googleapis.com/")


def _takes_traffic(host: object) -> bool:
    health = get(host, "health_status") or {}
    return not any(value is True for value in health.values()) and get(health, "eds_health_status") in (
        None,
        "HEALTHY",
        "UNKNOWN",
        "DEGRADED",
    )


def _stats(stats: object) -> dict[str, int]:
    rows = items(get(stats, "stats"))
    return {str(get(row, "name")): number(get(row, "value"), 0) for row in rows if get(row, "name")}


def _version(said: str) -> tuple[int, int, int]:
    """Of "SHA/1.40.0/Clean/RELEASE/BoringSSL"; Istio's and others' builds say theirs alike, zeros if they do not."""
    found = re.search(r"/(\d+)\.(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)
