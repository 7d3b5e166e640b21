{{/* Rules between values, which a JSON schema cannot say. */}}
{{- define "safeguards-extproc.check" -}}
{{- $values := .Values -}}
{{- $grace := int $values.terminationGracePeriodSeconds -}}
{{- $closing := 2 -}}
{{- $sealing := ternary (int $values.sealer.graceSeconds) 0 (ne "" $values.sealer.store) -}}
{{- $needed := int (add $values.drain.preStopSeconds $values.drain.delaySeconds $values.drain.limitSeconds $closing $sealing) -}}
{{- if le $grace $needed -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) must be more than %d, the sum of drain.preStopSeconds, drain.delaySeconds, drain.limitSeconds, %d for closing and %d for sealing: streams would be cut, or records left behind" $grace $needed $closing $sealing) -}}
{{- end -}}
{{- $ports := list (int $values.ports.extproc) (int $values.ports.health) (int $values.ports.metrics) (int $values.sealer.metricsPort) -}}
{{- if ne 4 (len (uniq $ports)) -}}
{{- fail "ports.extproc, ports.health, ports.metrics and sealer.metricsPort must differ" -}}
{{- end -}}
{{- if eq (int $values.keeper.ports.health) (int $values.keeper.ports.metrics) -}}
{{- fail "keeper.ports.health and keeper.ports.metrics must differ" -}}
{{- end -}}
{{- if ne 3 (len (uniq (list (int $values.triton.ports.http) (int $values.triton.ports.grpc) (int $values.triton.ports.metrics)))) -}}
{{- fail "triton.ports.http, triton.ports.grpc and triton.ports.metrics must differ" -}}
{{- end -}}
{{- $many := or $values.autoscaling.kind (gt (int $values.replicas) 1) -}}
{{- $persistence := $values.records.persistence -}}
{{- if and $persistence.enabled (eq $values.mode "deployment") $many (ne $persistence.accessMode "ReadWriteMany") -}}
{{- fail (printf "records.persistence.accessMode %s cannot serve %s: use ReadWriteMany, or one replica" $persistence.accessMode (ternary "an autoscaled number of replicas" (printf "%d replicas" (int $values.replicas)) (ne "" $values.autoscaling.kind))) -}}
{{- end -}}
{{- if gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas must not be more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and $values.autoscaling.kind $values.autoscaling.cpuPercent (not ($values.resources.requests | default dict).cpu) -}}
{{- fail "autoscaling.cpuPercent needs resources.requests.cpu, of which it is a share" -}}
{{- end -}}
{{- if and $values.keeper.enabled (not (or $values.redis.urls $values.redis.secret.name $values.redis.bundled.enabled)) -}}
{{- fail "keeper.enabled needs Redis: give redis.urls, redis.secret.name or redis.bundled.enabled" -}}
{{- end -}}
{{- if and $values.keeper.enabled (gt (int $values.keeper.replicas) 1) (not $values.keeper.ledger.secret.name) -}}
{{- fail "keeper.replicas more than 1 needs keeper.ledger.secret.name: SQLite has one writer" -}}
{{- end -}}
{{- if and $values.triton.enabled $values.triton.models.image (semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "triton.models.image needs Kubernetes 1.33 or later for image volumes, this is %s: use triton.models.url or triton.models.claim" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if eq $values.mode "sidecar" -}}
{{- if ne $values.attach.mesh "static" -}}
{{- fail (printf "attach.mesh %s has no pods of yours to patch: mode sidecar is for static" $values.attach.mesh) -}}
{{- end -}}
{{- if $values.autoscaling.kind -}}
{{- fail "autoscaling.kind has no pods to scale with mode sidecar: scale your Envoy" -}}
{{- end -}}
{{- if $persistence.enabled -}}
{{- fail "records.persistence is for mode deployment: in your Envoy's pods use records.kind spool with sealer.store" -}}
{{- end -}}
{{- if or $values.tls.secretName $values.tls.certManager.enabled -}}
{{- fail "tls is for mode deployment: a Unix socket does not leave the pod" -}}
{{- end -}}
{{- end -}}
{{- end -}}
