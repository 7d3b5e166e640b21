"""What Kubernetes would take of the kinds that attachments are made of: JSON Schemas of the documented fields.

Nobody publishes models of EnvoyExtensionPolicy or GCPTrafficExtension. Each schema has the fields that we use with
their bounds, and refuses every other, so a misspelt or misplaced one is found; rules between fields are `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jsonschema

Schema = dict[str, Any]

LABEL = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
DURATION = {"type": "string", "pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
COUNT = {"type": "integer", "minimum": 0, "maximum": 4294967295}
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(Ki|Mi|Gi)$"}
TEXT = {"type": "string", "minLength": 1}


def one(required: str = "", **properties: Any) -> Schema:
    """An object with these properties and no other."""
    names = {name.rstrip("_"): each for name, each in properties.items()}
    return {"type": "object", "properties": names, "required": required.split(), "additionalProperties": False}


def many(items: Schema, least: int = 1, most: int = 16) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def among(*values: Any) -> Schema:
    return {"enum": list(values)}


TARGET = one("group kind name", group={"type": "string"}, kind=TEXT, name=LABEL)
BACKEND = one("name port", group=among(""), kind=among("Service"), name=LABEL, namespace=LABEL, port=PORT)
ATTRIBUTE = {
    "type": "string",
    "pattern": r"^(connection\.|source\.|destination\.|request\.|response\.|upstream\.|xds\.route_)[a-z_1-9]*$",
}
BODY = among("Streamed", "Buffered", "BufferedPartial", "FullDuplexStreamed")
ACTIVE = one(
    "type",
    type=among("GRPC"),
    grpc=one(service=TEXT),
    timeout=DURATION,
    interval=DURATION,
    unhealthyThreshold=PORT,
    healthyThreshold=PORT,
)
BACKEND_SETTINGS = one(
    circuitBreaker=one(maxConnections=COUNT, maxPendingRequests=COUNT, maxParallelRequests=COUNT),
    healthCheck=one(panicThreshold={"type": "integer", "minimum": 0, "maximum": 100}, active=ACTIVE),
    http2=one(
        maxConcurrentStreams={"type": "integer", "minimum": 1, "maximum": 2147483647},
        initialStreamWindowSize=QUANTITY,
        initialConnectionWindowSize=QUANTITY,
        connectionKeepalive=one(interval=DURATION, timeout=DURATION),
    ),
    loadBalancer=one("type", type=among("ConsistentHash", "LeastRequest", "Random", "RoundRobin")),
)
EXT_PROC = one(
    "backendRefs",
    backendRefs=many(BACKEND),
    backendSettings=BACKEND_SETTINGS,
    failOpen={"type": "boolean"},
    statusOnError={"type": "integer", "minimum": 400, "maximum": 511},
    messageTimeout=DURATION,
    processingMode=one(
        request=one(body=BODY, attributes=many(ATTRIBUTE)), response=one(body=BODY, attributes=many(ATTRIBUTE))
    ),
    metadata=one(writableNamespaces=many(TEXT, most=8)),
)
LOGGER = one(
    "sinks",
    format=one(type=among("JSON", "Text"), json={"type": "object", "additionalProperties": TEXT}),
    sinks=many(one("type", type=among("File"), file=one(path=TEXT))),
)
EVENTS = [f"{side}{phase}" for side in ("Request", "Response") for phase in ("Headers", "Body", "Trailers")]
NAME = {"type": "string", "pattern": r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"}
QUOTED = r'"[a-zA-Z0-9/\-._~%!$&()*+,;=:]*"'
MATCHER = {
    "type": "string",
    "maxLength": 512,
    "pattern": rf"^( |request\.path|startsWith|&&|\|\||!|\.|\(|\)|{QUOTED})+$",
}
EXTENSION = one(
    "name",
    name=NAME,
    authority={"type": "string", "pattern": r"^[A-Za-z0-9-_:%.\[\]]*$", "maxLength": 1000},
    backendRef=one("group kind name port", group=among(""), kind=among("Service"), name=TEXT, port=PORT),
    failOpen={"type": "boolean"},
    timeout=DURATION,
    supportedEvents=many(among(*EVENTS), most=6),
    requestBodySendMode=among("Streamed", "FullDuplexStreamed"),
    responseBodySendMode=among("Streamed", "FullDuplexStreamed"),
)
SECONDS = {"type": "integer", "minimum": 1, "maximum": 300}
THRESHOLD = {"type": "integer", "minimum": 1, "maximum": 10}
ANY = {"type": "object"}

SPECS: dict[tuple[str, str], Schema] = {
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy"): one(
        "targetRefs", targetRefs=many(TARGET), extProc=many(EXT_PROC)
    ),
    ("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy"): one(
        telemetry=one(accessLog=one(settings=many(LOGGER, most=50))),
        backendTLS=one(clientCertificateRef=one("name", kind=among("Secret"), name=LABEL, namespace=LABEL)),
    ),
    ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"): one(
        "from to",
        from_=many(one("group kind namespace", group={"type": "string"}, kind=TEXT, namespace=LABEL)),
        to=many(one("group kind", group={"type": "string"}, kind=TEXT, name=LABEL)),
    ),
    ("gateway.networking.k8s.io/v1", "BackendTLSPolicy"): one(
        "targetRefs validation",
        targetRefs=many(TARGET),
        validation=one("hostname caCertificateRefs", caCertificateRefs=many(TARGET, most=8), hostname=TEXT),
    ),
    ("networking.gke.io/v1", "GCPTrafficExtension"): one(
        "targetRefs extensionChains",
        targetRefs=many(TARGET, most=10),
        extensionChains=many(
            one(
                "name extensions",
                name=NAME,
                matchCondition=one(celExpressions=many(one(celMatcher=MATCHER), most=10)),
                extensions=many(EXTENSION, most=3),
            ),
            most=5,
        ),
    ),
    ("networking.gke.io/v1", "HealthCheckPolicy"): one(
        "targetRef",
        targetRef=TARGET,
        default=one(
            checkIntervalSec=SECONDS,
            timeoutSec=SECONDS,
            healthyThreshold=THRESHOLD,
            unhealthyThreshold=THRESHOLD,
            config=one(
                type=among("GRPC"),
                grpcHealthCheck=one(portSpecification=among("USE_FIXED_PORT"), port=PORT, grpcServiceName=TEXT),
            ),
        ),
    ),
    ("networking.istio.io/v1alpha3", "EnvoyFilter"): one(
        "configPatches",
        targetRefs=many(TARGET),
        workloadSelector=one(labels={"type": "object", "additionalProperties": TEXT}),
        configPatches=many(
            one(
                "applyTo match patch",
                applyTo=among("CLUSTER", "HTTP_FILTER", "NETWORK_FILTER", "HTTP_ROUTE"),
                match=one(
                    context=among("GATEWAY"),
                    listener=one(filterChain=one(filter=one(name=TEXT, subFilter=one(name=TEXT)))),
                    routeConfiguration=one(vhost=one(route=one(name=TEXT))),
                ),
                patch=one("operation value", operation=among("ADD", "MERGE", "INSERT_BEFORE"), value=ANY),
            ),
            most=100,
        ),
    ),
    ("v1", "Service"): one(
        "selector ports",
        selector={"type": "object", "additionalProperties": TEXT, "minProperties": 1},
        ports=many(one("port", name=NAME, port=PORT, targetPort=PORT, appProtocol=among("HTTP2"))),
    ),
}

Rule = Callable[[dict[str, Any]], bool]


def _every(document: dict[str, Any], *path: str) -> Iterator[Any]:
    found = [document["spec"]]
    for name in path:
        found = [each[name] for each in found if name in each]
        found = [row for each in found for row in (each if isinstance(each, list) else [each])]
    yield from found


def _duplex_fails_closed(document: dict[str, Any]) -> bool:
    """Envoy Gateway refuses failOpen with full duplex."""
    return not any(
        each.get("failOpen") and "FullDuplexStreamed" in {side.get("body") for side in each["processingMode"].values()}
        for each in _every(document, "extProc")
    )


def _duplex_sends_trailers(document: dict[str, Any]) -> bool:
    """GKE wants body and trailers among the events of a full duplex side, an authority, and ten seconds at most."""
    return all(
        {f"{side}Body", f"{side}Trailers"} <= set(each["supportedEvents"]) and each["authority"]
        for each in _every(document, "extensionChains", "extensions")
        for side in ("Request", "Response")
        if each.get(f"{side.lower()}BodySendMode") == "FullDuplexStreamed"
    )


def _waits_ten_seconds(document: dict[str, Any]) -> bool:
    times = [each["timeout"] for each in _every(document, "extensionChains", "extensions")]
    return all(float(each.removesuffix("ms")) <= 10_000 if "ms" in each else float(each[:-1]) <= 10 for each in times)


def _asks_within_the_interval(document: dict[str, Any]) -> bool:
    return all(each["timeoutSec"] <= each["checkIntervalSec"] for each in _every(document, "default"))


RULES: dict[str, list[Rule]] = {
    "EnvoyExtensionPolicy": [_duplex_fails_closed],
    "GCPTrafficExtension": [_duplex_sends_trailers, _waits_ten_seconds],
    "HealthCheckPolicy": [_asks_within_the_interval],
}


def check(document: dict[str, Any]) -> None:
    """Raises what is wrong with an object; a kind that nobody wrote a schema of is wrong."""
    schema = one(
        "apiVersion kind metadata spec",
        apiVersion=TEXT,
        kind=TEXT,
        metadata=one("name namespace", name=LABEL, namespace=LABEL),
        spec=SPECS[document["apiVersion"], document["kind"]],
    )
    jsonschema.validate(document, schema)
    for rule in RULES.get(document["kind"], []):
        assert rule(document), f"{document['kind']}: {rule.__name__}"
