{{/* The command that writes what the mesh's Envoy needs to reach this release. */}}
{{- define "safeguards-extproc.attach" -}}
{{- $mesh := .Values.attach.mesh -}}
{{- $words := list "safeguards-extproc envoy-config --mesh" $mesh -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $words = append $words "--address unix:///run/safeguards/extproc.sock" -}}
{{- else if eq $mesh "static" -}}
{{- $words = append $words (printf "--address %s:%d" (include "safeguards-extproc.host" .) (int .Values.ports.extproc)) -}}
{{- else -}}
{{- $words = append $words (printf "--service %s --namespace %s --port %d" (include "safeguards-extproc.fullname" .) .Release.Namespace (int .Values.ports.extproc)) -}}
{{- with .Values.attach.gateway }}{{ $words = append $words (printf "--gateway %s" .) }}{{ end -}}
{{- with .Values.attach.gatewayNamespace }}{{ $words = append $words (printf "--gateway-namespace %s" .) }}{{ end -}}
{{- end -}}
{{- if eq $mesh "gke" -}}
{{- range $label, $value := include "safeguards-extproc.selectorLabels" . | fromYaml -}}
{{- $words = append $words (printf "--pod-label %s=%s" $label $value) -}}
{{- end -}}
{{- else if include "safeguards-extproc.tlsSecret" . -}}
{{- $words = append $words (printf "--tls %s" (ternary "mutual" "server" .Values.tls.mutual)) -}}
{{- if ne $mesh "static" -}}
{{- with .Values.tls.certManager.envoySecretName }}{{ $words = append $words (printf "--tls-secret %s" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- join " " $words -}}
{{- end -}}
