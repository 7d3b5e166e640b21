"""What an Envoy with a configuration would say of itself, without one: for checks that must take no time."""

from __future__ import annotations

from typing import Any

from safeguards_extproc.doctor.seen import Seen, seen

ADMIN = "type.googleapis.com/envoy.admin.v3"


def dump(document: dict[str, Any]) -> dict[str, Any]:
    """`/config_dump` of a static configuration."""
    resources = document["static_resources"]
    listeners = [{"listener": each} for each in resources["listeners"]]
    clusters = [{"cluster": each} for each in resources["clusters"]]
    return {
        "configs": [
            {"@type": f"{ADMIN}.ListenersConfigDump", "static_listeners": listeners},
            {"@type": f"{ADMIN}.ClustersConfigDump", "static_clusters": clusters},
        ]
    }


def on_paper(document: dict[str, Any], *, stats: dict[str, int] | None = None, **given: Any) -> Seen:
    """What would be seen: every host healthy, but for those that cannot be."""
    counted = {"stats": [{"name": name, "value": value} for name, value in (stats or {}).items()]}
    said = {"cluster_statuses": [{"name": row["name"], "host_statuses": hosts(row)} for row in _clusters(document)]}
    return seen(dump(document), {"version": "sha/1.40.0/Clean/RELEASE/BoringSSL"}, counted, said, **given)


def hosts(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    """A socket that is nowhere does not answer, nor does what wants TLS of a filter without."""
    found = []
    for locality in cluster["load_assignment"]["endpoints"]:
        for each in locality["lb_endpoints"]:
            address = each["endpoint"]["address"]
            away = "nowhere" in str(address) or (cluster["name"] == "safeguards" and "transport_socket" in cluster)
            health = {"failed_active_health_check": True} if away else {"eds_health_status": "HEALTHY"}
            found.append({"address": address, "health_status": health})
    return found


def _clusters(document: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = document["static_resources"]["clusters"]
    return rows
