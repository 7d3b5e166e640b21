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

{{/* Of (root, component). A StatefulSet's name may have 52 characters: a hash follows it in a label. */}}
{{- define "safeguards-extproc.component" -}}
{{- printf "%s-%s" (include "safeguards-extproc.fullname" (index . 0) | trunc 44 | trimSuffix "-") (index . 1) -}}
{{- end -}}

{{/* Selectors are immutable: nothing that changes from one version to the next may stand here. */}}
{{- define "safeguards-extproc.selectorLabels" -}}
app.kubernetes.io/name: {{ include "safeguards-extproc.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of (root, component): a name of its own, so that the filter's Service selects no other pods. */}}
{{- define "safeguards-extproc.componentSelector" -}}
app.kubernetes.io/name: {{ include "safeguards-extproc.name" (index . 0) }}-{{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end -}}

{{- define "safeguards-extproc.releaseLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "safeguards-extproc.labels" -}}
{{ include "safeguards-extproc.selectorLabels" . }}
{{ include "safeguards-extproc.releaseLabels" . }}
{{- end -}}

{{- define "safeguards-extproc.componentLabels" -}}
{{ include "safeguards-extproc.componentSelector" . }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: {{ include "safeguards-extproc.name" (index . 0) }}
{{ include "safeguards-extproc.releaseLabels" (index . 0) }}
{{- end -}}

{{- define "safeguards-extproc.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "safeguards-extproc.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Of (root, image). A digest wins over a tag: it is the only reference that cannot be moved. */}}
{{- define "safeguards-extproc.image" -}}
{{- $image := index . 1 -}}
{{- with $image.registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default (index . 0).Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{- define "safeguards-extproc.host" -}}
{{ include "safeguards-extproc.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "safeguards-extproc.tlsSecret" -}}
{{- if .Values.tls.secretName -}}
{{- .Values.tls.secretName -}}
{{- else if .Values.tls.certManager.enabled -}}
{{- include "safeguards-extproc.fullname" . }}-tls
{{- end -}}
{{- end -}}

{{/* What every pod of ours starts with: (root, the user that its image names). */}}
{{- define "safeguards-extproc.podSettings" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "safeguards-extproc.serviceAccountName" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- if not $root.Values.openshift }}
  runAsUser: {{ index . 1 }}
  runAsGroup: {{ index . 1 }}
  fsGroup: {{ index . 1 }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* The user of our own images, as the Dockerfile has it. */}}
{{- define "safeguards-extproc.user" -}}65532{{- end -}}

{{- define "safeguards-extproc.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Of (failures, period, service, port, timeout): the kubelet asks the health service, in plaintext. */}}
{{- define "safeguards-extproc.probe" -}}
grpc:
  port: {{ .port }}
  service: {{ .service }}
periodSeconds: {{ .periodSeconds }}
failureThreshold: {{ .failureThreshold }}
timeoutSeconds: {{ .timeoutSeconds }}
{{- end -}}

{{/* Of (root, redis): how a container learns where Redis is. A Secret's URLs come by the environment alone. */}}
{{- define "safeguards-extproc.redisUrls" -}}
{{- if .Values.redis.bundled.enabled -}}
{{- list (printf "redis://%s.%s.svc:6379" (include "safeguards-extproc.component" (list . "redis")) .Release.Namespace) | toJson -}}
{{- else -}}
{{- .Values.redis.urls | toJson -}}
{{- end -}}
{{- end -}}

{{- define "safeguards-extproc.redisEnv" -}}
{{- if .Values.redis.secret.name -}}
- name: SAFEGUARDS_REDIS
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.secret.name }}
      key: {{ .Values.redis.secret.key }}
{{- end }}
{{- end -}}

{{- define "safeguards-extproc.policyVolume" -}}
name: {{ include "safeguards-extproc.prefix" . }}policy
{{- if .Values.policyVolume }}
{{- toYaml .Values.policyVolume | nindent 0 }}
{{- else }}
configMap:
  name: {{ include "safeguards-extproc.fullname" . }}-policy
{{- end }}
{{- end -}}

{{/* host:port of each Triton. A StatefulSet gives each a name, so that filters know them apart. */}}
{{- define "safeguards-extproc.tritons" -}}
{{- if .Values.triton.enabled -}}
{{- $name := include "safeguards-extproc.component" (list . "triton") -}}
{{- $found := list -}}
{{- range $number := until (int .Values.triton.replicas) -}}
{{- $found = append $found (printf "%s-%d.%s.%s.svc:%d" $name $number $name $.Release.Namespace (int $.Values.triton.ports.grpc)) -}}
{{- end -}}
{{- $found | toJson -}}
{{- else -}}
{{- .Values.triton.addresses | toJson -}}
{{- end -}}
{{- end -}}
