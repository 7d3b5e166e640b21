"""Attachments: what an Envoy needs to send its traffic to the filter, generated for each mesh from one source. Pure.

`MESHES` is the table of meshes; a new one is a module and a row.
"""

from __future__ import annotations

from collections.abc import Callable

from safeguards_extproc.attach import envoy_gateway, gke, istio, static
from safeguards_extproc.attach.options import Attachment
from safeguards_extproc.attach.static import Document as Document

MESHES: dict[str, Callable[[Attachment], list[Document]]] = {
    "static": static.documents,
    "istio": istio.documents,
    "envoy-gateway": envoy_gateway.documents,
    "gke": gke.documents,
}
