{{/* What an attachment to this release is made from, as JSON: the words of files/attach/. */}}
{{- define "safeguards-extproc.attachment" -}}
{{- $beside := eq .Values.mode "sidecar" -}}
{{- $mesh := .Values.attach.mesh -}}
{{- $there := .Values.attach.gatewayNamespace -}}
{{- $usual := ternary .Release.Namespace "" (eq $mesh "envoy-gateway") -}}
{{- dict
  "mesh" $mesh
  "service" (include "safeguards-extproc.fullname" .)
  "namespace" .Release.Namespace
  "port" .Values.ports.extproc
  "health" .Values.ports.health
  "socket" (ternary "/run/safeguards/extproc.sock" "" $beside)
  "gateway" .Values.attach.gateway
  "gatewayNamespace" $there
  "elsewhere" (and (ne $there "") (ne $there $usual))
  "tls" (ternary (ternary "mutual" "server" .Values.tls.mutual) "none" (ne "" (include "safeguards-extproc.tlsSecret" .)))
  "secret" (default "safeguards-extproc-envoy" .Values.tls.certManager.envoySecretName)
  "name" (include "safeguards-extproc.name" .)
  "instance" .Release.Name
  | toJson -}}
{{- end -}}

{{/* The command that writes what the mesh's Envoy needs to reach this release. */}}
{{- define "safeguards-extproc.attach" -}}
{{- with include "safeguards-extproc.attachment" . | fromJson -}}
{{- $words := list "safeguards-extproc envoy-config --mesh" .mesh -}}
{{- if .socket -}}
{{- $words = append $words (printf "--address unix://%s" .socket) -}}
{{- else if eq .mesh "static" -}}
{{- $words = append $words (printf "--address %s.%s.svc:%v" .service .namespace .port) -}}
{{- else -}}
{{- $words = append $words (printf "--service %s --namespace %s --port %v" .service .namespace .port) -}}
{{- with .gateway }}{{ $words = append $words (printf "--gateway %s" .) }}{{ end -}}
{{- with .gatewayNamespace }}{{ $words = append $words (printf "--gateway-namespace %s" .) }}{{ end -}}
{{- end -}}
{{- if eq .mesh "gke" -}}
{{- $words = append $words (printf "--health-port %v" .health) -}}
{{- $words = append $words (printf "--pod-label app.kubernetes.io/name=%s --pod-label app.kubernetes.io/instance=%s" .name .instance) -}}
{{- else if ne .tls "none" -}}
{{- $words = append $words (printf "--tls %s" .tls) -}}
{{- if ne .mesh "static" }}{{ $words = append $words (printf "--tls-secret %s" .secret) }}{{ end -}}
{{- end -}}
{{- join " " $words -}}
{{- end -}}
{{- end -}}

{{/* What that command writes. */}}
{{- define "safeguards-extproc.attached" -}}
{{- $found := include "safeguards-extproc.attachment" . | fromJson -}}
# Begin of what Envoy needs
{{ tpl (.Files.Get (printf "files/attach/%s.yaml" $found.mesh)) (set $found "Template" .Template) | trim }}
# End of what Envoy needs
{{- end -}}
