{{- define "safeguards-extproc.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* 52 characters leave room for the longest suffix that is added, "-readiness", within the 63 of a label. */}}
{{- define "safeguards-extproc.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "safeguards-extproc.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "safeguards-extproc.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Selectors are immutable: nothing that changes from one version to the next may stand here. */}}
{{- define "safeguards-extproc.selectorLabels" -}}
app.kubernetes.io/name: {{ include "safeguards-extproc.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "safeguards-extproc.labels" -}}
{{ include "safeguards-extproc.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "safeguards-extproc.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "safeguards-extproc.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A digest wins over a tag: it is the only reference that cannot be moved. */}}
{{- define "safeguards-extproc.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end -}}
{{- end -}}

{{- define "safeguards-extproc.host" -}}
{{ include "safeguards-extproc.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "safeguards-extproc.podSecurityContext" -}}
runAsNonRoot: true
{{- if not .Values.openshift }}
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "safeguards-extproc.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Rules between values, which a JSON schema cannot say. */}}
{{- define "safeguards-extproc.check" -}}
{{- $grace := int .Values.terminationGracePeriodSeconds -}}
{{- $needed := add (int .Values.drain.preStopSeconds) (int .Values.drain.seconds) -}}
{{- if le $grace (int $needed) -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) must be more than drain.preStopSeconds + drain.seconds (%d): streams would be cut before they have drained" $grace (int $needed)) -}}
{{- end -}}
{{- if ne 3 (len (uniq (list (int .Values.ports.extproc) (int .Values.ports.health) (int .Values.ports.metrics)))) -}}
{{- fail "ports.extproc, ports.health and ports.metrics must differ" -}}
{{- end -}}
{{- if and .Values.records.persistence.enabled (gt (int .Values.replicas) 1) (ne .Values.records.persistence.accessMode "ReadWriteMany") -}}
{{- fail (printf "records.persistence.accessMode %s cannot serve %d replicas: use ReadWriteMany, or one replica" .Values.records.persistence.accessMode (int .Values.replicas)) -}}
{{- end -}}
{{- end -}}

{{/* What Envoy needs, also printed by NOTES.txt. */}}
{{- define "safeguards-extproc.envoy" -}}
http_filters:
- name: envoy.filters.http.ext_proc
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
    grpc_service:
      envoy_grpc:
        cluster_name: safeguards-extproc
    failure_mode_allow: false
    processing_mode:
      request_header_mode: SEND
      response_header_mode: SEND
      request_body_mode: FULL_DUPLEX_STREAMED
      response_body_mode: FULL_DUPLEX_STREAMED
      request_trailer_mode: SEND
      response_trailer_mode: SEND
clusters:
- name: safeguards-extproc
  type: STRICT_DNS
  dns_refresh_rate: 5s
  respect_dns_ttl: false
  connect_timeout: 1s
  lb_policy: LEAST_REQUEST
  common_lb_config:
    healthy_panic_threshold: {value: 0}
  circuit_breakers:
    thresholds:
    # One ext_proc stream lives as long as the answer it reads: the default of 1024 is soon reached.
    - {max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}
  health_checks:
  - timeout: 1s
    interval: 1s
    unhealthy_threshold: 1
    healthy_threshold: 1
    grpc_health_check: {service_name: readiness}
  typed_extension_protocol_options:
    envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
      "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
      explicit_http_config:
        http2_protocol_options:
          connection_keepalive: {interval: 30s, timeout: 5s}
  load_assignment:
    cluster_name: safeguards-extproc
    endpoints:
    - lb_endpoints:
      - endpoint:
          address:
            socket_address: {address: {{ include "safeguards-extproc.host" . }}, port_value: {{ .Values.ports.extproc }}}
          health_check_config: {port_value: {{ .Values.ports.health }}}
{{- end -}}
