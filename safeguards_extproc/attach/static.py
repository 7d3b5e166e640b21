"""An Envoy whose configuration is a file: the parts to paste, and the files beside it that TLS needs."""

from __future__ import annotations

from typing import Any

from envoy.config.route.v3.route_components_pb2 import RouteMatch  # type: ignore[import-untyped]
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (  # type: ignore[import-untyped]
    HttpFilter,
)

from safeguards_extproc.attach import tls
from safeguards_extproc.attach.access_log import entry
from safeguards_extproc.attach.messages import FILTER, cluster, ext_proc, packed, per_route
from safeguards_extproc.attach.options import Attachment, How, Tls
from safeguards_extproc.attach.plain import plain
from safeguards_extproc.errors import ConfigError

Document = tuple[str, dict[str, Any]]

PASTE = """For an Envoy that you have: `http_filters` goes before your router, `clusters` among your clusters,
`access_log` into the HTTP connection manager."""
NODE = "Envoy needs a `node` with `id` and `cluster` (or --service-node, --service-cluster) to read secrets from files."
ROUTES = "`typed_per_filter_config` goes into those of your routes that match the same, longest first."
BUFFERED = """Bodies over the listener's per_connection_buffer_limit_bytes (1 MiB) get 413: raise it to the
policy's request_bytes."""


def documents(wanted: Attachment) -> list[Document]:
    """The parts to paste, then each file that TLS reads."""
    found = cluster(wanted)
    if wanted.tls is not Tls.NONE:
        found.transport_socket.CopyFrom(tls.from_files(wanted))
    parts = {
        "http_filters": [http_filter(wanted)],
        "clusters": [plain(found)],
        "access_log": [entry()],
    }
    title = PASTE
    if wanted.how in (How.BUFFERED, How.FAIL_OPEN):
        title += f"\n{BUFFERED}"
    if wanted.tls is not Tls.NONE:
        title += f"\n{NODE}"
    for route in wanted.routes:
        if not route.name.startswith("/"):
            raise ConfigError(
                f"{route.name!r} is no path", where="--route", hint="a file's routes are told by their path"
            )
    if wanted.routes:
        title += f"\n{ROUTES}"
        parts["routes"] = [
            {
                "match": plain(RouteMatch(prefix=route.name)),
                "typed_per_filter_config": {FILTER: plain(packed(per_route(route.how)))},
            }
            for route in sorted(wanted.routes, key=lambda route: -len(route.name))
        ]
    rows: list[Document] = [(title, parts)]
    if wanted.tls is not Tls.NONE:
        rows += [(f"Save as {path}", plain(each)) for path, each in tls.secrets(wanted).items()]
    return rows


def http_filter(wanted: Attachment) -> dict[str, Any]:
    """The filter as an entry of `http_filters`; where nothing is read unless a route says so, routes switch it on."""
    off = wanted.how is How.OFF
    return plain(HttpFilter(name=FILTER, typed_config=packed(ext_proc(wanted)), disabled=off))
