"""The filter, what a route changes of it, and the cluster, as Envoy's own message classes: the one source of them all.

The classes are those that read Envoy's stream (xds-protos), so a field that Envoy does not have raises here. Every
figure is one that was measured or one that a test of a real Envoy holds; `reasons.py` says why each is as it is.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers  # type: ignore[import-untyped]
from envoy.config.cluster.v3.cluster_pb2 import Cluster  # type: ignore[import-untyped]
from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import (  # type: ignore[import-untyped]
    HeaderMutationRules,
)
from envoy.config.core.v3.address_pb2 import Address, Pipe, SocketAddress  # type: ignore[import-untyped]
from envoy.config.core.v3.base_pb2 import RoutingPriority  # type: ignore[import-untyped]
from envoy.config.core.v3.grpc_service_pb2 import GrpcService  # type: ignore[import-untyped]
from envoy.config.core.v3.health_check_pb2 import HealthCheck  # type: ignore[import-untyped]
from envoy.config.core.v3.protocol_pb2 import (  # type: ignore[import-untyped]
    Http2ProtocolOptions,
    KeepaliveSettings,
)
from envoy.config.endpoint.v3.endpoint_components_pb2 import (  # type: ignore[import-untyped]
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment  # type: ignore[import-untyped]
from envoy.extensions.filters.http.ext_proc.v3.ext_proc_pb2 import (  # type: ignore[import-untyped]
    ExternalProcessor,
    ExtProcOverrides,
    ExtProcPerRoute,
    MetadataOptions,
)
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import (  # type: ignore[import-untyped]
    ProcessingMode,
)
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import (  # type: ignore[import-untyped]
    HttpProtocolOptions,
)
from envoy.type.v3.http_status_pb2 import HttpStatus  # type: ignore[import-untyped]
from envoy.type.v3.percent_pb2 import Percent  # type: ignore[import-untyped]
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from safeguards_extproc.attach.options import CLUSTER, Attachment, How, place

FILTER = "envoy.filters.http.ext_proc"
SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
NAMESPACE = "safeguards"
"""Of dynamic metadata: what the access log, and filters behind ours, read."""

ATTRIBUTES = ("request.path", "xds.route_name")
CONNECTIONS, CONCURRENT = 4096, 1000
STREAM_WINDOW, CONNECTION_WINDOW = 1 << 20, 1 << 24
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def processing_mode(how: How) -> Any:
    """Every phase is sent, whatever the mode: a phase that is not sent is not checked."""
    duplex = how in (How.GUARD, How.OFF)
    send = ProcessingMode.SEND
    return ProcessingMode(
        request_header_mode=send,
        request_body_mode=ProcessingMode.FULL_DUPLEX_STREAMED if duplex else ProcessingMode.BUFFERED,
        request_trailer_mode=send,
        response_header_mode=send,
        response_body_mode=ProcessingMode.FULL_DUPLEX_STREAMED if duplex else ProcessingMode.STREAMED,
        response_trailer_mode=send,
    )


def ext_proc(wanted: Attachment) -> Any:
    """The HTTP filter's configuration."""
    return ExternalProcessor(
        grpc_service=GrpcService(envoy_grpc=GrpcService.EnvoyGrpc(cluster_name=CLUSTER)),
        failure_mode_allow=wanted.how is How.FAIL_OPEN,
        status_on_error=HttpStatus(code="ServiceUnavailable"),
        message_timeout=seconds(wanted.timeout_s),
        processing_mode=processing_mode(wanted.how),
        request_attributes=ATTRIBUTES,
        metadata_options=MetadataOptions(
            receiving_namespaces=MetadataOptions.MetadataNamespaces(untyped=[NAMESPACE]),
        ),
        mutation_rules=HeaderMutationRules(
            allow_all_routing=BoolValue(value=False),
            allow_envoy=BoolValue(value=False),
            disallow_is_error=BoolValue(value=True),
        ),
    )


def per_route(how: How) -> Any:
    """What a route says of the filter, `typed_per_filter_config`."""
    if how is How.OFF:
        return ExtProcPerRoute(disabled=True)
    return ExtProcPerRoute(
        overrides=ExtProcOverrides(
            processing_mode=processing_mode(how),
            failure_mode_allow=BoolValue(value=how is How.FAIL_OPEN),
        )
    )


def cluster(wanted: Attachment) -> Any:
    """The cluster of the filter's processes, without TLS."""
    return Cluster(
        name=CLUSTER,
        type=Cluster.STRICT_DNS if wanted.resolved else Cluster.STATIC,
        connect_timeout=seconds(1),
        lb_policy=Cluster.LEAST_REQUEST,
        load_assignment=ClusterLoadAssignment(
            cluster_name=CLUSTER,
            endpoints=[
                LocalityLbEndpoints(
                    lb_endpoints=[
                        LbEndpoint(endpoint=Endpoint(address=_address(address))) for address in wanted.addresses
                    ]
                )
            ],
        ),
        common_lb_config=Cluster.CommonLbConfig(
            healthy_panic_threshold=Percent(value=0), update_merge_window=seconds(0)
        ),
        health_checks=[
            HealthCheck(
                timeout=seconds(1),
                interval=seconds(1),
                no_traffic_interval=seconds(1),
                unhealthy_threshold=UInt32Value(value=1),
                healthy_threshold=UInt32Value(value=1),
                grpc_health_check=HealthCheck.GrpcHealthCheck(service_name=SERVICE),
            )
        ],
        circuit_breakers=CircuitBreakers(
            thresholds=[_threshold(priority, wanted.streams) for priority in ("DEFAULT", "HIGH")]
        ),
        typed_extension_protocol_options={OPTIONS: packed(_http2())},
    )


def seconds(given: float) -> Duration:
    """A duration, to the millisecond."""
    found = Duration()
    found.FromTimedelta(timedelta(milliseconds=round(given * 1000)))
    return found


def packed(message: Message) -> Packed:
    """A message as `typed_config` wants it."""
    found = Packed()
    found.Pack(message)
    return found


def _address(given: str) -> Any:
    host, port = place(given)
    if port:
        return Address(socket_address=SocketAddress(address=host, port_value=port))
    return Address(pipe=Pipe(path=host))


def _threshold(priority: str, streams: int) -> Any:
    return CircuitBreakers.Thresholds(
        priority=RoutingPriority.Value(priority),
        max_connections=UInt32Value(value=CONNECTIONS),
        max_pending_requests=UInt32Value(value=streams),
        max_requests=UInt32Value(value=streams),
    )


def _http2() -> Any:
    options = Http2ProtocolOptions(
        max_concurrent_streams=UInt32Value(value=CONCURRENT),
        initial_stream_window_size=UInt32Value(value=STREAM_WINDOW),
        initial_connection_window_size=UInt32Value(value=CONNECTION_WINDOW),
        connection_keepalive=KeepaliveSettings(interval=seconds(10), timeout=seconds(5)),
    )
    return HttpProtocolOptions(
        explicit_http_config=HttpProtocolOptions.ExplicitHttpConfig(http2_protocol_options=options)
    )
