"""A whole Envoy around an attachment: what a person has after pasting it, and what Istio makes of its patches."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from safeguards_extproc.attach import MESHES
from safeguards_extproc.attach.options import Attachment, How, Route, Tls
from safeguards_extproc.attach.static import Document
from safeguards_extproc.attach.yaml_text import text
from safeguards_extproc.local.envoy import load

DEMO = Path(__file__).parents[2] / "envoy" / "demo.yaml"

ROUTES = (Route("/v1/", How.GUARD), Route("/files/", How.BUFFERED), Route("/a", How.FAIL_OPEN), Route("/", How.OFF))


def variants(folder: str) -> dict[str, Attachment]:
    """Every shape of a static attachment; `folder` has the certificates."""
    return {
        "default": Attachment(),
        "several": Attachment(addresses=("127.0.0.1:9002", "127.0.0.1:9003")),
        "named": Attachment(addresses=("localhost:9002",)),
        "socket": Attachment(addresses=("unix:///run/safeguards.sock",)),
        "buffered": Attachment(how=How.BUFFERED),
        "fail-open": Attachment(how=How.FAIL_OPEN),
        "off": Attachment(how=How.OFF, routes=(Route("/v1/", How.GUARD),)),
        "routes": Attachment(routes=ROUTES),
        "tls": Attachment(addresses=("localhost:9002",), tls=Tls.SERVER, tls_folder=folder),
        "mutual": Attachment(addresses=("localhost:9002",), tls=Tls.MUTUAL, tls_folder=folder),
    }


def manager_of(document: dict[str, Any], listener: int = 0) -> dict[str, Any]:
    """The HTTP connection manager of a listener."""
    manager: dict[str, Any] = document["static_resources"]["listeners"][listener]["filter_chains"][0]["filters"][0]
    typed: dict[str, Any] = manager["typed_config"]
    return typed


def static(wanted: Attachment) -> tuple[dict[str, Any], list[Document]]:
    """The demo's Envoy with its filter, cluster, access log and routes replaced, and the files beside it."""
    (_, parts), *files = MESHES["static"](wanted)
    document = load(DEMO) | {"node": {"id": "edge", "cluster": "edge"}}
    manager = manager_of(document)
    manager["http_filters"] = [*parts["http_filters"], manager["http_filters"][-1]]
    manager["access_log"] = parts["access_log"]
    host = manager["route_config"]["virtual_hosts"][0]
    host["routes"] = [
        *(each | {"route": host["routes"][0]["route"]} for each in parts.get("routes", ())),
        *host["routes"],
    ]
    resources = document["static_resources"]
    others = [row for row in resources["clusters"] if row["name"] != "safeguards"]
    resources["clusters"] = [*others, *parts["clusters"]]
    return document, files


def save(files: list[Document]) -> None:
    """Each file where the configuration expects it."""
    for title, content in files:
        path = Path(title.removeprefix("Save as "))
        path.parent.mkdir(exist_ok=True)
        path.write_text(text(content))


def istio(wanted: Attachment) -> dict[str, Any]:
    """The demo's Envoy without us, and each patch of the EnvoyFilter applied to it as istiod does it."""
    [(_, document)] = MESHES["istio"](wanted)
    envoy = load(DEMO)
    resources, manager = envoy["static_resources"], manager_of(envoy)
    resources["clusters"] = [row for row in resources["clusters"] if row["name"] != "safeguards"]
    del manager["http_filters"][0], manager["access_log"]
    host = manager["route_config"]["virtual_hosts"][0]
    for number, route in enumerate(wanted.routes):
        host["routes"].insert(number, copy.deepcopy(host["routes"][-1]) | {"name": route.name})
    for patch in document["spec"]["configPatches"]:
        value = patch["patch"]["value"]
        match patch["applyTo"], patch["patch"]["operation"]:
            case "CLUSTER", "ADD":
                resources["clusters"].append(value)
            case "HTTP_FILTER", "INSERT_BEFORE":
                names = [row["name"] for row in manager["http_filters"]]
                before = patch["match"]["listener"]["filterChain"]["filter"]["subFilter"]["name"]
                manager["http_filters"].insert(names.index(before), value)
            case "NETWORK_FILTER", "MERGE":
                merged = dict(value["typed_config"])
                assert manager["@type"] == merged.pop("@type")
                assert list(merged) == ["access_log"]
                manager["access_log"] = manager.get("access_log", []) + merged["access_log"]
            case "HTTP_ROUTE", "MERGE":
                name = patch["match"]["routeConfiguration"]["vhost"]["route"]["name"]
                [route_] = [row for row in host["routes"] if row.get("name") == name]
                route_.update(value)
            case other:
                raise AssertionError(other)
    return envoy
