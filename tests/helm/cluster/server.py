"""The HTTP side: paths, selectors, lists, watches and patches, as clients of Kubernetes speak them."""

from __future__ import annotations

import json
import re
import select
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.helm.cluster import patches, protobuf
from tests.helm.cluster.kinds import KINDS, OPERATORS, Kind, of
from tests.helm.cluster.storage import Cluster, Object, RefusedError

_PATH = re.compile(r"/apis?/(v1|[^/]+/v[^/]+)(?:/namespaces/([^/]+))?(?:/([a-z]+)(?:/([^/]+)(?:/(status|log))?)?)?")
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
OPENAPI = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Api:
    """A running API: its URL, what it holds, and every request that it was asked."""

    url: str
    cluster: Cluster
    asked: list[str]

    def kubeconfig(self, folder: Path) -> Path:
        """A file that leads Helm and kubectl here."""
        path = folder / "kubeconfig"
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "here", "cluster": {"server": self.url}}],
                    "users": [{"name": "me", "user": {}}],
                    "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                    "current-context": "here",
                }
            )
        )
        return path


@contextmanager
def serving(cluster: Cluster, kubectl: Path) -> Iterator[Api]:
    """The API on a port of loopback until the end of the block."""
    asked: list[str] = []
    ended = threading.Event()

    class Bound(Handler):
        pass

    Bound.cluster, Bound.kubectl, Bound.asked, Bound.ended = cluster, kubectl, asked, ended
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(LOOK_S,))
    thread.start()
    try:
        yield Api(f"http://127.0.0.1:{server.server_address[1]}", cluster, asked)
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """Requests of one connection."""

    protocol_version = "HTTP/1.1"
    cluster: Cluster
    kubectl: Path
    asked: list[str]
    ended: threading.Event

    def log_message(self, *_: object) -> None:
        """Tests look at `asked`."""

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 (names of http.server)

    def _handle(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        url = urllib.parse.urlsplit(self.path)
        query = {name: values[0] for name, values in urllib.parse.parse_qs(url.query).items()}
        self.asked.append(f"{self.command} {url.path}")
        try:
            self._route(url.path.rstrip("/"), query, body)
        except RefusedError as refused:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": str(refused)}
            self._say({**status, "reason": refused.reason, "code": refused.code}, refused.code)

    def _route(self, path: str, query: dict[str, str], body: bytes) -> None:
        match path:
            case "/version":
                major, minor = self.cluster.version.split(".")
                git = f"v{self.cluster.version}.0"
                return self._say({"major": major, "minor": minor, "gitVersion": git, "platform": "linux/amd64"})
            case "/api":
                return self._say({"kind": "APIVersions", "versions": ["v1"]})
            case "/apis":
                return self._say(_groups())
            case "/openapi/v2":
                return self._send(b"", OPENAPI)
        found = _PATH.fullmatch(path)
        if found is None:
            raise RefusedError(404, "NotFound", f"no path {path}")
        group_version, namespace, plural, name, sub = found.groups()
        if plural is None and namespace is not None:
            plural, name, namespace = "namespaces", namespace, None
        if plural is None:
            return self._say(_resources(group_version))
        kind = of(group_version, plural)
        if kind is None or sub == "log":
            raise RefusedError(404, "NotFound", f"no resource {group_version} {plural}")
        return self._resource(kind, namespace or "", name or "", query, body)

    def _resource(self, kind: Kind, namespace: str, name: str, query: dict[str, str], body: bytes) -> None:
        dry = query.get("dryRun") == "All"
        key = (kind, namespace if kind.namespaced else "", name)
        match self.command:
            case "GET" if name:
                return self._say(self.cluster.get(key))
            case "GET" if query.get("watch") in ("1", "true"):
                return self._watch(kind, namespace, query)
            case "GET":
                items = [each for each in self.cluster.all(kind, namespace) if _selected(each, query)]
                meta = {"resourceVersion": str(self.cluster.revision)}
                listed = {"kind": f"{kind.name}List", "apiVersion": kind.group_version, "metadata": meta}
                return self._say({**listed, "items": items})
            case "POST":
                return self._say(self.cluster.create(kind, key[1], self._read(body), dry=dry), 201)
            case "PUT":
                return self._say(self.cluster.replace(key, self._read(body), dry=dry))
            case "PATCH":
                return self._say(self._patch(key, query, body, dry=dry))
            case _:
                self.cluster.delete(key)
                return self._say({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _patch(self, key: tuple[Kind, str, str], query: dict[str, str], body: bytes, *, dry: bool) -> Object:
        form = self.headers["Content-Type"].split(";")[0]
        wanted = self._read(body)
        if form == "application/apply-patch+yaml":
            force = query.get("force") == "true"
            return self.cluster.apply(key, wanted, query["fieldManager"], force=force, dry=dry)
        live = self.cluster.get(key)
        if form == "application/merge-patch+json":
            return self.cluster.replace(key, patches.merge(live, wanted), dry=dry)
        if form == "application/strategic-merge-patch+json" and key[0].group not in OPERATORS:
            return self.cluster.replace(key, patches.strategic(self.kubectl, live, wanted), dry=dry)
        raise RefusedError(415, "UnsupportedMediaType", f"{form} for {key[0].name}")

    def _watch(self, kind: Kind, namespace: str, query: dict[str, str]) -> None:
        """Events from a version on, until the client goes, its time is over, or the API ends."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        seen = int(query.get("resourceVersion") or 0)
        if query.get("sendInitialEvents") == "true" or not seen:
            with self.cluster.changed:
                seen = self.cluster.revision
                first = [each for each in self.cluster.all(kind, namespace) if _selected(each, query)]
            for each in first:
                self._event("ADDED", each)
            if query.get("sendInitialEvents") == "true":
                meta = {"resourceVersion": str(seen), "annotations": {"k8s.io/initial-events-end": "true"}}
                self._event("BOOKMARK", {"kind": kind.name, "apiVersion": kind.group_version, "metadata": meta})
        left = float(query.get("timeoutSeconds") or 60)
        while left > 0 and not self.ended.is_set() and not select.select([self.connection], [], [], 0)[0]:
            with self.cluster.changed:
                news = [each for each in self.cluster.events if each[0] > seen]
                if not news:
                    self.cluster.changed.wait(LOOK_S)
                    left -= LOOK_S
                    continue
            for revision, event, key, found in news:
                seen = revision
                if key[0] == kind and namespace in ("", key[1]) and _selected(found, query):
                    self._event(event, found)

    def _event(self, event: str, found: Object) -> None:
        try:
            self.wfile.write(json.dumps({"type": event, "object": found}).encode() + b"\n")
            self.wfile.flush()
        except OSError:
            self.close_connection = True

    def _read(self, body: bytes) -> dict[str, Any]:
        if body.startswith(protobuf.MAGIC):
            return protobuf.secret(body)
        return dict(json.loads(body))

    def _say(self, found: object, code: int = 200) -> None:
        self._send(json.dumps(found).encode(), "application/json", code)

    def _send(self, body: bytes, form: str, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", form)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _groups() -> Object:
    found = []
    for version in sorted({kind.group_version for kind in KINDS if kind.group}):
        group, _, name = version.partition("/")
        each = {"groupVersion": version, "version": name}
        found.append({"name": group, "versions": [each], "preferredVersion": each})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def _resources(group_version: str) -> Object:
    found = [
        {
            "name": kind.plural,
            "singularName": kind.name.lower(),
            "namespaced": kind.namespaced,
            "kind": kind.name,
            "verbs": VERBS,
        }
        for kind in KINDS
        if kind.group_version == group_version
    ]
    if not found:
        raise RefusedError(404, "NotFound", f"no group {group_version}")
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": found}


def _selected(found: Object, query: dict[str, str]) -> bool:
    """Whether an object meets the label and field selectors; a form that is not known here is refused."""
    labels = found["metadata"].get("labels", {})
    for term in re.split(r",(?![^(]*\))", query.get("labelSelector", "")):
        if match := re.fullmatch(r"([^!=\s]+)\s*==?\s*(.*)", term):
            if labels.get(match[1]) != match[2]:
                return False
        elif match := re.fullmatch(r"([^!=\s]+)\s*!=\s*(.*)", term):
            if labels.get(match[1]) == match[2]:
                return False
        elif match := re.fullmatch(r"([^!=\s]+) in \((.*)\)", term):
            if labels.get(match[1]) not in match[2].split(","):
                return False
        elif term:
            raise RefusedError(400, "BadRequest", f"label selector {term}")
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        name, _, value = term.partition("=")
        if name not in ("metadata.name", "metadata.namespace"):
            raise RefusedError(400, "BadRequest", f"field selector {term}")
        if found["metadata"].get(name.removeprefix("metadata.")) != value.removeprefix("="):
            return False
    return True
