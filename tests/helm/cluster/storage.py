"""What the API keeps: objects, who owns which of their fields, and the events that watchers are told."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]

from tests.helm.cluster import controllers, patches
from tests.helm.cluster.kinds import OPERATORS, Kind, named

Object = dict[str, Any]
Key = tuple[Kind, str, str]
"""Kind, namespace ("" for what has none) and name."""

Run = Callable[[Object], bool]
"""Whether a pod that was created ends well."""


class RefusedError(Exception):
    """The API says no: an HTTP status, Kubernetes' word for it, and why."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass(slots=True)
class Cluster:
    """All objects of a cluster of one Kubernetes version. Every method may be called from any thread."""

    version: str
    run: Run = lambda pod: True
    objects: dict[Key, Object] = field(default_factory=dict)
    owners: dict[Key, dict[str, Object]] = field(default_factory=dict)
    events: list[tuple[int, str, Key, Object]] = field(default_factory=list)
    revision: int = 100
    changed: threading.Condition = field(default_factory=threading.Condition)

    def get(self, key: Key) -> Object:
        with self.changed:
            if key not in self.objects:
                raise RefusedError(404, "NotFound", f'{key[0].plural} "{key[2]}" not found')
            return copy.deepcopy(self.objects[key])

    def all(self, kind: Kind, namespace: str = "") -> list[Object]:
        """Objects of a kind, of one namespace or of all."""
        with self.changed:
            found = [each for key, each in self.objects.items() if key[0] == kind and namespace in ("", key[1])]
            return copy.deepcopy(found)

    def create(self, kind: Kind, namespace: str, wanted: Object, *, dry: bool = False) -> Object:
        with self.changed:
            meta = wanted["metadata"]
            name = meta.get("name") or f"{meta['generateName']}{uuid.uuid4().hex[:5]}"
            key = (kind, namespace, name)
            if key in self.objects:
                raise RefusedError(409, "AlreadyExists", f'{kind.plural} "{name}" already exists')
            return self._write(key, {**wanted, "metadata": {**meta, "name": name}}, dry=dry)

    def replace(self, key: Key, wanted: Object, *, dry: bool = False) -> Object:
        with self.changed:
            live = self.get(key)
            version = wanted["metadata"].get("resourceVersion")
            if version and version != live["metadata"]["resourceVersion"]:
                raise RefusedError(409, "Conflict", f'{key[0].plural} "{key[2]}" has been changed')
            return self._write(key, wanted, dry=dry)

    def apply(self, key: Key, wanted: Object, owner: str, *, force: bool, dry: bool = False) -> Object:
        """Server-side apply."""
        with self.changed:
            owners = self.owners.setdefault(key, {})
            if not force and (found := list(patches.conflicts(wanted, owners, owner))):
                raise RefusedError(409, "Conflict", f"Apply failed with {len(found)} conflict: {'; '.join(found)}")
            live = self.objects.get(key, {})
            made = patches.applied(live, owners.get(owner, {}), wanted) if live else wanted
            written = self._write(key, made, dry=dry)
            if not dry:
                owners[owner] = copy.deepcopy(wanted)
            return written

    def scale(self, key: Key, count: int) -> None:
        """What an autoscaler does: it makes the number of replicas its own."""
        with self.changed:
            wanted = self.get(key)
            wanted["spec"]["replicas"] = count
            self._write(key, wanted)
            self.owners.setdefault(key, {})["autoscaler"] = {"spec": {"replicas": count}}

    def delete(self, key: Key) -> Object:
        """Remove an object and what it owns."""
        with self.changed:
            found = self.get(key)
            del self.objects[key]
            self.owners.pop(key, None)
            self.revision += 1
            self._tell("DELETED", key, found)
            for other, each in list(self.objects.items()):
                if any(of["uid"] == found["metadata"]["uid"] for of in each["metadata"].get("ownerReferences", ())):
                    self.delete(other)
            return found

    def _write(self, key: Key, wanted: Object, *, dry: bool = False) -> Object:
        kind, namespace, name = key
        old = self.objects.get(key)
        new = copy.deepcopy(wanted)
        new["apiVersion"], new["kind"] = kind.group_version, kind.name
        meta = new["metadata"]
        for given in ("managedFields", "uid", "resourceVersion", "generation", "creationTimestamp"):
            meta.pop(given, None)
        new.pop("status", None)
        meta["name"] = name
        if kind.namespaced:
            meta["namespace"] = namespace
        self._admit(new)
        controllers.default(new, self.revision)
        if old and (path := controllers.changed(old, new)):
            raise RefusedError(422, "Invalid", f'{kind.name} "{name}" is invalid: {path}: field is immutable')
        same = old is not None and new.get("spec") == old.get("spec")
        meta["uid"] = old["metadata"]["uid"] if old else str(uuid.uuid4())
        meta["creationTimestamp"] = "2026-01-01T00:00:00Z"
        meta["generation"] = (old["metadata"]["generation"] + (not same)) if old else 1
        meta["resourceVersion"] = str(self.revision + 1)
        if dry:
            return new
        self.revision += 1
        controllers.status(new, kind.name != "Pod" or old is not None or self.run(new))
        self.objects[key] = new
        self._tell("MODIFIED" if old else "ADDED", key, new)
        self._settle(new)
        return copy.deepcopy(new)

    def _admit(self, new: Object) -> None:
        if new["apiVersion"].rpartition("/")[0] in OPERATORS:
            return
        try:
            kubernetes_validate.validate(new, self.version, strict=True)
        except kubernetes_validate.ValidationError as error:
            message = f'{new["kind"]} "{new["metadata"]["name"]}" is invalid: {error}'
            raise RefusedError(422, "Invalid", message) from None

    def _settle(self, new: Object) -> None:
        made = controllers.children(new)
        for child in made:
            kind = named(child["apiVersion"], child["kind"])
            assert kind is not None
            key = (kind, child["metadata"]["namespace"], child["metadata"]["name"])
            if key not in self.objects or kind.name == "ReplicaSet":
                self._write(key, child)
        if new["kind"] == "Deployment":
            names = {child["metadata"]["name"] for child in made}
            self._retire(new["metadata"]["uid"], names)

    def _retire(self, owner: str, current: Iterable[str]) -> None:
        """Old ReplicaSets of a Deployment are kept, without pods."""
        for key, each in list(self.objects.items()):
            owned = any(of["uid"] == owner for of in each["metadata"].get("ownerReferences", ()))
            if owned and key[2] not in current and each["spec"]["replicas"]:
                self._write(key, {**each, "spec": {**each["spec"], "replicas": 0}})

    def _tell(self, event: str, key: Key, found: Object) -> None:
        self.events.append((self.revision, event, key, copy.deepcopy(found)))
        self.changed.notify_all()
