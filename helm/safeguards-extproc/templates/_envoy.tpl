{{- define "safeguards-extproc.envoyTls" -}}
transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: {{ include "safeguards-extproc.host" . }}
    common_tls_context:
      alpn_protocols: [h2]
      {{- if .Values.tls.mutual }}
      tls_certificates: # Envoy's own, from the same authority
        - certificate_chain: {filename: /etc/envoy/safeguards/tls.crt}
          private_key: {filename: /etc/envoy/safeguards/tls.key}
      {{- end }}
      validation_context:
        trusted_ca: {filename: /etc/envoy/safeguards/ca.crt}
        match_typed_subject_alt_names: # without it any certificate of the authority would do
          - {san_type: DNS, matcher: {exact: {{ include "safeguards-extproc.host" . }}}}
{{- end -}}

{{/* What Envoy needs, printed by NOTES.txt; a test compares it with what `envoy-config` writes. */}}
{{- define "safeguards-extproc.envoy" -}}
http_filters:
  - name: envoy.filters.http.ext_proc
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
      grpc_service:
        envoy_grpc:
          cluster_name: safeguards
      failure_mode_allow: false # a filter that is away must not mean traffic that nobody reads
      status_on_error: {code: ServiceUnavailable} # what the client gets then: try again later
      message_timeout: 10s # above the filter's own deadlines, so that it decides and not Envoy
      processing_mode:
        request_header_mode: SEND
        request_body_mode: FULL_DUPLEX_STREAMED # headers are held until the verdict: no blocked request reaches the model
        request_trailer_mode: SEND # full duplex demands it: a stream may end by trailers
        response_header_mode: SEND
        response_body_mode: FULL_DUPLEX_STREAMED # frames are held until their text is cleared
        response_trailer_mode: SEND
      request_attributes: # a path that names the format where a route rewrote it, and the rules' features.envoy_route
        - request.path
        - xds.route_name
      metadata_options:
        receiving_namespaces:
          untyped: [safeguards] # unset, Envoy drops the verdict before the access log sees it
      mutation_rules:
        allow_all_routing: false # the filter chooses no host, scheme or method
        allow_envoy: false # nor an x-envoy-* header
        disallow_is_error: true # a forbidden change is an error to see, not a silence

clusters:
  - name: safeguards
    type: STRICT_DNS # one address per pod
    connect_timeout: 1s
    lb_policy: LEAST_REQUEST # streams last as long as answers do: take the process with the fewest
    load_assignment:
      cluster_name: safeguards
      endpoints:
        - lb_endpoints:
            - endpoint:
                address:
                  socket_address:
                    address: {{ include "safeguards-extproc.host" . }}
                    port_value: {{ .Values.ports.extproc }}
    common_lb_config:
      healthy_panic_threshold: {value: 0} # never send to a process that says it is draining, even if all do
      update_merge_window: 0s # tell the workers of a health change at once, not after the second that is the default
    health_checks:
      - timeout: 1s
        interval: 1s
        no_traffic_interval: 1s # the default of a minute would leave a restarted filter out for that long
        unhealthy_threshold: 1 # a draining process answers NOT_SERVING: believe it at once
        healthy_threshold: 1
        grpc_health_check:
          service_name: envoy.service.ext_proc.v3.ExternalProcessor
    circuit_breakers:
      thresholds: # one request here is one live model answer; the default of 1024 turns load into errors
        - {priority: DEFAULT, max_connections: 4096, max_pending_requests: 40000, max_requests: 40000}
        - {priority: HIGH, max_connections: 4096, max_pending_requests: 40000, max_requests: 40000}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options: # gRPC
            max_concurrent_streams: 1000
            initial_stream_window_size: 1048576 # a whole prompt fits without waiting for a window update
            initial_connection_window_size: 16777216
            connection_keepalive: # finds a dead peer; the filter allows pings as often as this
              interval: 30s
              timeout: 5s
    {{- if include "safeguards-extproc.tlsSecret" . }}
    {{- include "safeguards-extproc.envoyTls" . | nindent 4 }}
    {{- end }}
{{- end -}}
