{{/* The filter's containers, the same in pods of its own and beside Envoy. */}}

{{/* In pods that are not ours names must not meet theirs. */}}
{{- define "safeguards-extproc.prefix" -}}
{{- if eq .Values.mode "sidecar" }}safeguards-{{ end -}}
{{- end -}}

{{/* Names of ports have 15 characters. */}}
{{- define "safeguards-extproc.portPrefix" -}}
{{- if eq .Values.mode "sidecar" }}guard-{{ end -}}
{{- end -}}

{{- define "safeguards-extproc.arguments" -}}
- serve
- --policy=/etc/safeguards/policy.yaml
{{- if eq .Values.mode "sidecar" }}
- --listen=unix:///run/safeguards/extproc.sock
- --socket-mode=666 # Envoy is another user; nobody else has this volume
{{- else }}
- --listen=0.0.0.0:{{ .Values.ports.extproc }}
{{- end }}
- --health=0.0.0.0:{{ .Values.ports.health }}
- --metrics=0.0.0.0:{{ .Values.ports.metrics }}
{{- range include "safeguards-extproc.tritons" . | fromJsonArray }}
- --triton={{ . }}
{{- end }}
{{- with .Values.triton.hedgeMilliseconds }}
- --hedge-ms={{ . }}
{{- end }}
{{- range include "safeguards-extproc.redisUrls" . | fromJsonArray }}
- --redis={{ . }}
{{- end }}
{{- if eq .Values.records.kind "spool" }}
- --spool=/var/lib/safeguards
- --sync-records={{ .Values.records.sync }}
{{- else }}
- --records=/var/lib/safeguards/records.jsonl
{{- end }}
- --on-record-failure={{ .Values.records.onFailure }}
{{- with .Values.records.region }}
- --region={{ . }}
{{- end }}
{{- range .Values.records.mask }}
- --mask={{ . }}
{{- end }}
- --shed-above-ms={{ .Values.shedAboveMilliseconds }}
- --drain-delay={{ .Values.drain.delaySeconds }}
- --drain-limit={{ .Values.drain.limitSeconds }}
{{- if .Values.identity.secretName }}
- --identity-keys=/etc/safeguards-identity/keys.yaml
{{- end }}
{{- if include "safeguards-extproc.tlsSecret" . }}
- --tls-certificate=/etc/safeguards-tls/tls.crt
- --tls-key=/etc/safeguards-tls/tls.key
{{- if .Values.tls.mutual }}
- --tls-client-ca=/etc/safeguards-tls/ca.crt
{{- end }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "safeguards-extproc.filterContainer" -}}
name: {{ include "safeguards-extproc.prefix" . }}extproc
image: {{ include "safeguards-extproc.image" (list . .Values.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  {{- include "safeguards-extproc.arguments" . | nindent 2 }}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
  {{- with include "safeguards-extproc.redisEnv" . }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  {{- if eq .Values.mode "deployment" }}
  - name: grpc
    containerPort: {{ .Values.ports.extproc }}
    protocol: TCP
  {{- end }}
  - name: {{ include "safeguards-extproc.portPrefix" . }}health
    containerPort: {{ .Values.ports.health }}
    protocol: TCP
  - name: {{ include "safeguards-extproc.portPrefix" . }}metrics
    containerPort: {{ .Values.ports.metrics }}
    protocol: TCP
{{- $health := .Values.ports.health }}
startupProbe:
  {{- include "safeguards-extproc.probe" (merge (dict "port" $health "service" "readiness" "timeoutSeconds" 2) .Values.probes.startup) | nindent 2 }}
readinessProbe:
  {{- include "safeguards-extproc.probe" (merge (dict "port" $health "service" "readiness" "timeoutSeconds" 2) .Values.probes.readiness) | nindent 2 }}
livenessProbe:
  {{- include "safeguards-extproc.probe" (merge (dict "port" $health "service" "liveness" "timeoutSeconds" 5) .Values.probes.liveness) | nindent 2 }}
{{- if gt (int .Values.drain.preStopSeconds) 0 }}
lifecycle:
  preStop:
    exec:
      command: [sleep, {{ .Values.drain.preStopSeconds | quote }}]
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "safeguards-extproc.securityContext" . | nindent 2 }}
  {{- if eq .Values.mode "sidecar" }}
  {{- include "safeguards-extproc.ownUser" . | nindent 2 }}
  {{- end }}
volumeMounts:
  - name: {{ include "safeguards-extproc.prefix" . }}policy
    mountPath: /etc/safeguards
    readOnly: true
  - name: {{ include "safeguards-extproc.prefix" . }}records
    mountPath: /var/lib/safeguards
    {{- with include "safeguards-extproc.recordsPath" . }}
    {{- . | nindent 4 }}
    {{- end }}
  - name: {{ include "safeguards-extproc.prefix" . }}tmp
    mountPath: /tmp
  {{- if eq .Values.mode "sidecar" }}
  - name: safeguards-socket
    mountPath: /run/safeguards
  {{- end }}
  {{- if .Values.identity.secretName }}
  - name: {{ include "safeguards-extproc.prefix" . }}identity
    mountPath: /etc/safeguards-identity
    readOnly: true
  {{- end }}
  {{- if include "safeguards-extproc.tlsSecret" . }}
  - name: tls
    mountPath: /etc/safeguards-tls
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* In pods that are not ours each container says by itself who it is. */}}
{{- define "safeguards-extproc.ownUser" -}}
runAsNonRoot: true
{{- if not .Values.openshift }}
runAsUser: {{ include "safeguards-extproc.user" . }}
runAsGroup: {{ include "safeguards-extproc.user" . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* One folder a pod: two may not write one file. */}}
{{- define "safeguards-extproc.recordsPath" -}}
{{- if .Values.records.persistence.enabled -}}
subPathExpr: $(POD_NAME)
{{- end -}}
{{- end -}}

{{/* A sidecar that starts before the filter and ends after it, so it also seals what the filter closes at its end. */}}
{{- define "safeguards-extproc.sealerContainer" -}}
name: {{ include "safeguards-extproc.prefix" . }}sealer
restartPolicy: Always
image: {{ include "safeguards-extproc.image" (list . .Values.extrasImage) }}
imagePullPolicy: {{ .Values.extrasImage.pullPolicy }}
args:
  - records
  - seal
  - /var/lib/safeguards
  - {{ .Values.sealer.store | quote }}
  - --every={{ .Values.sealer.every }}
  - --metrics=0.0.0.0:{{ .Values.sealer.metricsPort }}
env:
  - name: POD_NAME
    valueFrom:
      fieldRef:
        fieldPath: metadata.name
{{- with .Values.sealer.secretName }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
ports:
  - name: {{ include "safeguards-extproc.portPrefix" . }}sealer
    containerPort: {{ .Values.sealer.metricsPort }}
    protocol: TCP
resources:
  {{- toYaml .Values.sealer.resources | nindent 2 }}
securityContext:
  {{- include "safeguards-extproc.securityContext" . | nindent 2 }}
  {{- if eq .Values.mode "sidecar" }}
  {{- include "safeguards-extproc.ownUser" . | nindent 2 }}
  {{- end }}
volumeMounts:
  - name: {{ include "safeguards-extproc.prefix" . }}records
    mountPath: /var/lib/safeguards
    {{- with include "safeguards-extproc.recordsPath" . }}
    {{- . | nindent 4 }}
    {{- end }}
  - name: {{ include "safeguards-extproc.prefix" . }}tmp
    mountPath: /tmp
{{- end -}}

{{- define "safeguards-extproc.filterVolumes" -}}
- {{ include "safeguards-extproc.policyVolume" . | nindent 2 | trim }}
- name: {{ include "safeguards-extproc.prefix" . }}records
  {{- if .Values.records.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-records" (include "safeguards-extproc.fullname" .)) .Values.records.persistence.existingClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .Values.records.size }}
  {{- end }}
- name: {{ include "safeguards-extproc.prefix" . }}tmp
  emptyDir:
    sizeLimit: 64Mi
{{- if eq .Values.mode "sidecar" }}
- name: safeguards-socket
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end }}
{{- if .Values.identity.secretName }}
- name: {{ include "safeguards-extproc.prefix" . }}identity
  secret:
    secretName: {{ .Values.identity.secretName }}
    defaultMode: {{ ternary "0444" "0440" (eq .Values.mode "sidecar") }} # beside Envoy no group is ours
{{- end }}
{{- with include "safeguards-extproc.tlsSecret" . }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}
