"""Why each setting of an attachment is as it is; written beside it in what people paste.

Keys are "name" or "name=value".
"""

from __future__ import annotations

REASONS = {
    "failure_mode_allow=false": "a filter that is away must not mean traffic that nobody reads",
    "failure_mode_allow=true": "traffic passes UNREAD while the filter is away: watch ext_proc.failure_mode_allowed",
    "failOpen=false": "a filter that is away must not mean traffic that nobody reads",
    "failOpen=true": "traffic passes UNREAD while the filter is away: watch ext_proc.failure_mode_allowed",
    "disabled=true": "nothing on this route is read",
    "status_on_error": "what the client gets then: try again later",
    "statusOnError": "what the client gets then: try again later",
    "message_timeout": "above the filter's own deadlines, so that it decides; full duplex has no such timer",
    "messageTimeout": "above the filter's own deadlines, so that it decides; full duplex has no such timer",
    "request_body_mode=FULL_DUPLEX_STREAMED": "headers wait for the verdict: no blocked request reaches the model",
    "request_body_mode=BUFFERED": "the whole body in one message; the request waits in Envoy's buffer",
    "request_trailer_mode": "a stream may end by trailers, and full duplex demands it",
    "response_body_mode=FULL_DUPLEX_STREAMED": "frames are held until their text is cleared",
    "response_body_mode=STREAMED": "headers leave before the first verdict, so a late block ends in the stream",
    "request_attributes": "a path that names the API where a route rewrote it, and the rules' features.envoy_route",
    "attributes": "a path that names the API where a route rewrote it, and the rules' features.envoy_route",
    "receiving_namespaces": "unset, Envoy drops the verdict before the access log sees it",
    "writableNamespaces": "unset, Envoy drops the verdict before the access log sees it",
    "allow_all_routing": "the filter chooses no host, scheme or method",
    "allow_envoy": "nor an x-envoy-* header",
    "disallow_is_error": "a forbidden change is an error to see, not a silence",
    "lb_policy": "streams last as long as answers do: take the process with the fewest",
    "type=STRICT_DNS": "one address for each pod, asked for every 5 s, so the Service must be headless",
    "lb_endpoints": "one for each filter process; `serve` listens once per process",
    "healthy_panic_threshold": "never send to a process that says it is draining, even if all do",
    "panicThreshold": "never send to a process that says it is draining, even if all do",
    "update_merge_window": "tell the workers of a health change at once; the default is a second",
    "no_traffic_interval": "the default of a minute would leave a restarted filter out for that long",
    "unhealthy_threshold": "a draining process answers NOT_SERVING: believe it at once",
    "unhealthyThreshold": "a draining process answers NOT_SERVING: believe it at once",
    "thresholds": "one request here is one live answer; the default of 1,024 turns load into errors",
    "maxParallelRequests": "one request here is one live answer; the default of 1,024 turns load into errors",
    "http2_protocol_options": "gRPC",
    "initial_stream_window_size": "a whole prompt fits without waiting for a window update",
    "connection_keepalive": "finds a dead peer, and in full duplex one that hangs; the filter allows any rate of pings",
    "connectionKeepalive": "finds a dead peer, and in full duplex one that hangs; the filter allows any rate of pings",
    "match_typed_subject_alt_names": "without it any certificate of the authority would do",
    "watched_directory": "a renewed certificate is taken without a restart",
    "appProtocol": "the load balancer speaks TLS and HTTP/2 to it, and checks no certificate",
    "operation=INSERT_BEFORE": "last before the router, so what was judged is what goes on",
    "body=Buffered": "the whole body in one message; Envoy Gateway's buffer holds 32 KiB unless a policy says more",
    "body=Streamed": "headers leave before the first verdict, so a late block ends in the stream",
    "body=FullDuplexStreamed": "held until the verdict, in both directions",
    "supportedEvents": "a phase that is not sent is not checked",
}


def reason(name: str, value: object) -> str:
    """Why this setting has this value, "" if that needs no words."""
    said = str(value).lower() if isinstance(value, bool) else str(value)
    return REASONS.get(f"{name}={said}") or REASONS.get(name, "")
