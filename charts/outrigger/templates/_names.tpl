{{/* What all objects of a revision are called, but for its webhook configuration and what the revisions share. */}}
{{- define "outrigger.name" -}}
outrigger{{ with .Values.revision }}-{{ . }}{{ end }}
{{- end }}

{{/* The webhook configuration's name after `outrigger-`, and the end of its webhooks' names. */}}
{{- define "outrigger.injector" -}}
sidecar-injector{{ with .Values.revision }}-{{ . }}{{ end }}
{{- end }}

{{/* The validating webhook configuration's name after `outrigger-`, and the end of its webhook's name. */}}
{{- define "outrigger.validator" -}}
validator{{ with .Values.revision }}-{{ . }}{{ end }}
{{- end }}

{{/* The value of the label istio.io/rev. */}}
{{- define "outrigger.revision" -}}
{{- if eq .Values.revision "outrigger" }}
{{- fail "revision is outrigger, which is the default installation's; it must be empty for that one, or another name" }}
{{- else if eq .Values.revision "ca-root" }}
{{- fail "revision is ca-root, and outrigger-ca-root is what all revisions share; it must be another name" }}
{{- end }}
{{- .Values.revision | default "outrigger" }}
{{- end }}

{{/* Labels of every object, and those that select the control plane's pods: those of one revision only. */}}
{{- define "outrigger.selectorLabels" -}}
app.kubernetes.io/name: {{ include "outrigger.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "outrigger.labels" -}}
{{ include "outrigger.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: outrigger
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{- define "outrigger.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* What the controller reads with --config, and `outrigger inject` with the same flag. */}}
{{- define "outrigger.settings" -}}
{{- $proxy := mergeOverwrite (deepCopy .Values.proxy) (dict
  "image" (include "outrigger.image" .)
  "imagePullPolicy" .Values.image.pullPolicy
  "discoveryAddress" (printf "%s.%s.svc:15012" (include "outrigger.name" .) .Release.Namespace)) }}
{{- if eq (toString $proxy.nativeSidecar) "auto" }}
{{- $_ := unset $proxy "nativeSidecar" }}
{{- end }}
{{- range list "includeInboundPorts" "excludeInboundPorts" "includeOutboundPorts" "excludeOutboundPorts" }}
{{- /* One port is a number with --set. */}}
{{- $_ := set $proxy . (get $proxy . | toString) }}
{{- end }}
{{- dict
  "clusterDomain" .Values.clusterDomain
  "meshRanges" .Values.meshRanges
  "outboundTrafficPolicy" .Values.outboundTrafficPolicy
  "injection" (merge (dict "revision" (include "outrigger.revision" .)) .Values.injection)
  "proxy" $proxy | toYaml }}
{{- end }}

{{/* A container that any Pod Security level admits. */}}
{{- define "outrigger.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
{{- end }}

{{- define "outrigger.podSecurity" -}}
runAsGroup: 65532
runAsNonRoot: true
runAsUser: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}
