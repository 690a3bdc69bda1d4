{{/* Labels of every object, and those that select the control plane's pods. */}}
{{- define "outrigger.selectorLabels" -}}
app.kubernetes.io/name: outrigger
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
  "discoveryAddress" (printf "outrigger.%s.svc:15012" .Release.Namespace)) }}
{{- dict
  "clusterDomain" .Values.clusterDomain
  "meshRanges" .Values.meshRanges
  "injection" .Values.injection
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
