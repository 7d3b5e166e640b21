"""Asks a running Envoy's admin interface."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from safeguards_extproc.errors import ConfigError

PATHS = ("/config_dump?include_eds", "/server_info", "/stats?format=json", "/clusters?format=json")
TIMEOUT_S = 10.0


def ask(url: str) -> tuple[Any, ...]:
    """The answers to `PATHS`, in order. Raises ConfigError where Envoy's admin interface does not answer."""
    place = urlsplit(url if "//" in url else f"http://{url}")
    if place.scheme != "http" or not place.hostname:
        raise ConfigError(f"{url!r} is no address", where="--envoy", hint="http://127.0.0.1:9901")
    return tuple(_get(place.hostname, place.port or 80, path) for path in PATHS)


def _get(host: str, port: int, path: str) -> Any:
    hint = "the address of its `admin` section; in a pod: kubectl port-forward POD 9901 (Istio 15000, Gateway 19000)"
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise ConfigError(f"{path} answers {response.status}", where="--envoy", hint=hint)
        return json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ConfigError(f"no admin interface answers: {type(error).__name__}", where="--envoy", hint=hint) from None
    finally:
        connection.close()
